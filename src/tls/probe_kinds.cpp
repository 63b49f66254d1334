// The kinds of clients that a probe stands for, in words.
#include <algorithm>
#include <array>

#include "sallyport/tls/probe.hpp"

namespace sallyport::tls {

namespace {

constexpr std::array<ProbeKindText, kProbeKinds> kKinds{{
    {ProbeKind::tls13, "tls13", "a current client that speaks TLS 1.3 alone, without post-quantum groups"},
    {ProbeKind::tls13_mlkem, "tls13-mlkem",
     "a current browser: TLS 1.3 with X25519MLKEM768, a hello of two packets"},
    {ProbeKind::tls12, "tls12", "a client of TLS 1.2 with every suite that OpenSSL offers"},
    {ProbeKind::cloudflare_13, "cloudflare-13",
     "Cloudflare to an origin, in its order, with its post-quantum group"},
    {ProbeKind::cloudflare_12, "cloudflare-12", "Cloudflare to an origin that does not speak TLS 1.3"},
    {ProbeKind::split_hello, "split-hello", "the hello of cloudflare-13 in two TCP segments that come apart"},
    {ProbeKind::split_records, "split-records", "the hello of cloudflare-13 in two TLS records"},
    {ProbeKind::ecdsa_only, "ecdsa-only", "a client that takes ECDSA certificates alone"},
    {ProbeKind::rsa_only, "rsa-only", "an old client that takes RSA certificates alone"},
    {ProbeKind::h2_only, "h2-only", "a client that speaks HTTP/2 alone, as gRPC does"},
    {ProbeKind::http1_only, "http1-only", "a client that speaks HTTP/1.1 alone, as for WebSocket"},
    {ProbeKind::no_alpn, "no-alpn", "a client that says no application protocol"},
    {ProbeKind::no_sni, "no-sni", "a client that says no name: health checks, very old clients"},
    {ProbeKind::unknown_sni, "unknown-sni", "a client that asks for a name that nobody has"},
    {ProbeKind::legacy, "legacy", "a client of TLS 1.0 and 1.1, which should be refused (RFC 8996)"},
    {ProbeKind::plain_http, "plain-http", "a request in clear text on the TLS port"},
    {ProbeKind::resumption, "resumption", "a client that comes back with the session that it was given"},
}};

constexpr bool kinds_in_order() {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (static_cast<std::size_t>(kKinds[i].kind) != i) return false;
  }
  return true;
}
static_assert(kinds_in_order(), "one entry for each kind, in their order");

}  // namespace

std::span<const ProbeKindText> probe_kinds() noexcept {
  return kKinds;
}

const ProbeKindText& about(ProbeKind kind) noexcept {
  return kKinds[static_cast<std::size_t>(kind)];
}

std::optional<ProbeKind> find_probe_kind(std::string_view name) noexcept {
  const auto found =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const ProbeKindText& one) { return one.name == name; });
  if (found == kKinds.end()) return std::nullopt;
  return found->kind;
}

std::string_view to_string(ProbeEnd end) noexcept {
  switch (end) {
    case ProbeEnd::done:
      return "done";
    case ProbeEnd::answered:
      return "answered";
    case ProbeEnd::alert:
      return "alert";
    case ProbeEnd::closed:
      return "closed";
    case ProbeEnd::reset:
      return "reset";
    case ProbeEnd::timeout:
      return "timeout";
    case ProbeEnd::not_tls:
      return "not_tls";
    case ProbeEnd::broken:
      break;
  }
  return "broken";
}

std::string_view to_string(ShownStaple::Status status) noexcept {
  switch (status) {
    case ShownStaple::Status::absent:
      return "absent";
    case ShownStaple::Status::good:
      return "good";
    case ShownStaple::Status::revoked:
      return "revoked";
    case ShownStaple::Status::unknown:
      return "unknown";
    case ShownStaple::Status::unreadable:
      break;
  }
  return "unreadable";
}

}  // namespace sallyport::tls
