// How short of memory the process is. Each level sheds what the levels below it shed, and one
// thing more, so that the gateway keeps what it serves and gives up what costs the least first.
//
// A value. The control thread decides it, workers are told.
#pragma once

#include <cstdint>
#include <string_view>

namespace sallyport::base {

enum class Pressure : std::uint8_t {
  none,
  no_connections,  // nothing is accepted: who comes waits in the listener's backlog; and bodies in
                   // flight hold less (net::Loop::body_window)
  no_streams,      // new HTTP/2 streams get REFUSED_STREAM, which a client may repeat elsewhere
  no_requests,     // every new request gets 503 with Retry-After
  no_idle,         // idle connections, of clients and to upstreams, are closed
};

[[nodiscard]] constexpr std::string_view to_string(Pressure p) noexcept {
  switch (p) {
    case Pressure::none:
      return "none";
    case Pressure::no_connections:
      return "no_connections";
    case Pressure::no_streams:
      return "no_streams";
    case Pressure::no_requests:
      return "no_requests";
    case Pressure::no_idle:
      break;
  }
  return "no_idle";
}

}  // namespace sallyport::base
