#include "sallyport/proxy/cf_risk.hpp"

#include <array>

namespace sallyport::proxy {

namespace {

using Word = std::pair<std::string_view, std::string_view>;
constexpr std::array<Word, kCfRisks> kRiskWords = {{{"", ""},
                                                    {"521", "upstream_refused"},
                                                    {"522", "upstream_connect_timeout"},
                                                    {"523", "upstream_unreachable"},
                                                    {"524", "upstream_slow"},
                                                    {"525", "upstream_tls"},
                                                    {"526", "upstream_untrusted"},
                                                    {"520", "upstream_empty"},
                                                    {"520", "upstream_malformed"},
                                                    {"521", "upstream_unavailable"},
                                                    {"520", "cut_off"},
                                                    {"524", "slow_answer"},
                                                    {"525", "handshake"},
                                                    {"521", "refused"},
                                                    {"522", "address_limits"}}};

}  // namespace

std::span<const Word> cf_risk_words() noexcept {
  return kRiskWords;
}

CfRisk cf_risk_of(const base::Error& error) noexcept {
  using base::ErrorCode;
  if (error.fault == base::Fault::client) return CfRisk::none;
  switch (error.code) {
    case ErrorCode::connect_refused:
    case ErrorCode::connect_failed:
      return CfRisk::upstream_refused;
    case ErrorCode::connect_timeout:
      return CfRisk::upstream_connect_timeout;
    case ErrorCode::connect_unreachable:
    case ErrorCode::name_unresolved:
      return CfRisk::upstream_unreachable;
    case ErrorCode::head_timeout:
    case ErrorCode::body_timeout:
    case ErrorCode::idle_timeout:
    case ErrorCode::total_timeout:
      return CfRisk::upstream_slow;
    case ErrorCode::tls_failed:
    case ErrorCode::tls_timeout:
    case ErrorCode::tls_closed:
    case ErrorCode::tls_reset:
      return CfRisk::upstream_tls;
    case ErrorCode::tls_untrusted:
      return CfRisk::upstream_untrusted;
    case ErrorCode::closed:
    case ErrorCode::reset:
    case ErrorCode::stream_reset:
    case ErrorCode::stream_refused:
      return CfRisk::upstream_empty;
    case ErrorCode::malformed:
    case ErrorCode::head_too_large:
    case ErrorCode::interim_flood:
    case ErrorCode::unsupported:
    case ErrorCode::enhance_your_calm:
      return CfRisk::upstream_malformed;
    case ErrorCode::no_endpoint:
    case ErrorCode::pool_exhausted:
      return CfRisk::upstream_unavailable;
    default:
      return CfRisk::none;
  }
}

}  // namespace sallyport::proxy
