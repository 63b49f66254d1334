// Which 52x page of Cloudflare's a failure of ours, or of an upstream's, stands for, and why.
//
// Pure. Where we answered first with a 502 or 504 of our own, the visitor saw that instead; the
// code says what it would have been (EDGE facts: Cloudflare's documentation of its 5xx errors).
// Labels `code` and `cause` of sallyport_cf_risk_total; `cf_risk` in the access log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "sallyport/base/error.hpp"

namespace sallyport::proxy {

enum class CfRisk : std::uint8_t {
  none,
  upstream_refused,          // 521
  upstream_connect_timeout,  // 522
  upstream_unreachable,      // 523
  upstream_slow,             // 524: no first byte, or a body that stalled
  upstream_tls,              // 525
  upstream_untrusted,        // 526
  upstream_empty,            // 520: closed or reset before an answer
  upstream_malformed,        // 520
  upstream_unavailable,      // 521: no endpoint is left
  cut_off,                   // 520: a response that did not become whole
  slow_answer,               // 524: answered, but so late that Cloudflare may have given up
  handshake,                 // 525: of a peer in the set cloudflare
  refused,                   // 521: likewise, closed at accept
  address_limits,            // 522: likewise, for limits that are counted by address
};
inline constexpr std::size_t kCfRisks = static_cast<std::size_t>(CfRisk::address_limits) + 1;

// {"524", "upstream_slow"}, by CfRisk; of `none` {"", ""}.
[[nodiscard]] std::span<const std::pair<std::string_view, std::string_view>> cf_risk_words() noexcept;

// What an exchange that failed stands for; none if it is the client's own fault.
[[nodiscard]] CfRisk cf_risk_of(const base::Error& error) noexcept;

}  // namespace sallyport::proxy
