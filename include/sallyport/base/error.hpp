// What went wrong on the data path, as a value: what, whose fault, what may be done about it.
//
// The data plane never throws. An Error is 12 bytes, is copied freely, owns nothing, and says
// no status code: proxy/ holds the one table that turns it into a reply, a reset or a close.
// Exceptions are for start-up and configuration only.
#pragma once

#include <cstdint>
#include <string_view>

#include <boost/system/result.hpp>

namespace sallyport::base {

// Who could have prevented it.
enum class Fault : std::uint8_t { client, upstream, gateway };

// A closed set: each has one word (to_string) that stands in logs and metric labels.
enum class ErrorCode : std::uint8_t {
  none,
  // Reaching a peer.
  connect_refused,      // RST in answer to our SYN
  connect_timeout,      // no answer within the connect deadline
  connect_unreachable,  // no route, network or host unreachable
  connect_failed,       // any other errno from connect()
  name_unresolved,      // the endpoint's name has no address
  no_endpoint,          // every endpoint is ejected or none is configured
  pool_exhausted,       // connection, stream or pending-request cap reached
  // TLS with a peer.
  tls_failed,     // handshake or record failure
  tls_untrusted,  // certificate chain or name not verified
  tls_timeout,    // handshake deadline
  tls_closed,     // FIN within the handshake
  tls_reset,      // RST within the handshake
  // Bytes of a peer that we already talk to.
  closed,             // FIN before the message was complete
  reset,              // RST (ECONNRESET, EPIPE)
  stream_reset,       // HTTP/2 RST_STREAM; cause = HTTP/2 error code
  stream_refused,     // REFUSED_STREAM, or above GOAWAY's last id: provably unprocessed
  malformed,          // breaks HTTP's framing or field rules
  head_too_large,     // field section over its limits
  uri_too_long,       // request target over its limit
  body_too_large,     // body over the configured limit
  unsupported,        // e.g. an unknown transfer coding, CONNECT, an HTTP major version
  enhance_your_calm,  // an abuse budget ran out
  rate_limited,       // a rate limit of the configuration; cause = seconds until it lets one through
  interim_flood,      // more 1xx heads than allowed before a response
  // Waiting.
  head_timeout,   // the rest of a head did not come in time (client), or the first byte (upstream)
  body_timeout,   // a body stalled
  idle_timeout,   // nothing in either direction
  total_timeout,  // the exchange's total deadline
  // Ourselves.
  canceled,    // the other side of the exchange is gone
  draining,    // shutting down
  overloaded,  // out of file handles, memory budget, …
  internal,    // a bug or an impossible state; always logged
};
inline constexpr std::size_t kErrorCodes = static_cast<std::size_t>(ErrorCode::internal) + 1;

[[nodiscard]] std::string_view to_string(ErrorCode code) noexcept;
[[nodiscard]] std::string_view to_string(Fault fault) noexcept;

struct Error {
  ErrorCode code = ErrorCode::none;
  Fault fault = Fault::gateway;
  bool unsent = false;     // provably nothing of the request reached the peer's application: retry is safe
  bool reused = false;     // it happened on a connection that had served an exchange before
  std::int32_t cause = 0;  // errno, HTTP/2 error code TLS alert or seconds, by code; 0 = none

  [[nodiscard]] explicit operator bool() const noexcept { return code != ErrorCode::none; }
  bool operator==(const Error&) const = default;
};

template <class T>
using Result = boost::system::result<T, Error>;

[[nodiscard]] inline Error client_error(ErrorCode code, std::int32_t cause = 0) noexcept {
  return Error{code, Fault::client, false, false, cause};
}
[[nodiscard]] inline Error upstream_error(ErrorCode code, std::int32_t cause = 0) noexcept {
  return Error{code, Fault::upstream, false, false, cause};
}
[[nodiscard]] inline Error gateway_error(ErrorCode code, std::int32_t cause = 0) noexcept {
  return Error{code, Fault::gateway, false, false, cause};
}

// The error that an errno of connect() / read() / write() means. Pure.
[[nodiscard]] ErrorCode code_of_connect_errno(int value) noexcept;
[[nodiscard]] ErrorCode code_of_io_errno(int value) noexcept;

}  // namespace sallyport::base
