// THE table: what an exchange that failed looks like to the client, and what it is called in the
// access log and in the metrics. Nobody else picks a status.
//
// Pure. (what, whose fault, was a head sent) → a status, or a reset; the reason is the metric's
// label `reason` of sallyport_http_local_replies_total and, where the client got no whole response,
// of sallyport_http_cut_off_total; and the access log's "reason".
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "sallyport/base/error.hpp"

namespace sallyport::proxy {

enum class Reason : std::uint8_t {
  none,
  bad_request,
  bad_path,   // refused by the listener's rules for paths
  bad_field,  // a name that could be taken for one of ours
  header_too_large,
  uri_too_long,
  body_too_large,
  request_timeout,
  not_implemented,
  misdirected,
  no_route,
  method_not_allowed,
  websocket_not_allowed,
  rate_limited,
  origin_pull,  // Cloudflare's certificate is wanted and was not shown
  loop,         // the request has come by here too often
  redirect,
  reply,
  upstream_connect,
  upstream_tls,
  upstream_timeout,
  upstream_reset,
  upstream_malformed,
  upstream_unavailable,
  overloaded,
  draining,
  internal,
  client_gone,
};
inline constexpr std::size_t kReasons = static_cast<std::size_t>(Reason::client_gone) + 1;
[[nodiscard]] std::string_view to_string(Reason reason) noexcept;
[[nodiscard]] const std::array<std::string_view, kReasons>& reason_words() noexcept;

struct Answer {
  std::uint16_t status = 0;  // 0: there is nobody to answer
  Reason reason = Reason::none;
};

// Before any final head was sent. Afterwards the stream is reset with the error itself.
[[nodiscard]] Answer answer_for(const base::Error& error) noexcept;

// RFC 9209 §2.3: what went wrong, for Proxy-Status; empty if its registry has no word for it.
[[nodiscard]] std::string_view proxy_status_of(const base::Error& error) noexcept;

// A status' usual words ("Bad Gateway"); empty for one that is not registered.
[[nodiscard]] std::string_view status_text(std::uint16_t status) noexcept;

}  // namespace sallyport::proxy
