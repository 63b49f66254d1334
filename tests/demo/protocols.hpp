// The two protocols' loops: each serves one connection on its own thread until it is over, and
// throws Gone when the peer broke off or broke the protocol.
#pragma once

#include <cstdint>
#include <string>

#include "reply.hpp"
#include "wire.hpp"

namespace sallyport::demo {

void serve_http1(Wire& wire, Stats& stats);

// `max_streams` is advertised as SETTINGS_MAX_CONCURRENT_STREAMS.
void serve_http2(Wire& wire, Stats& stats, std::uint32_t max_streams);

// After the 101: echoes messages until the peer closes. `received` is what came behind the request.
void serve_websocket(Wire& wire, std::string received);
// The value of Sec-WebSocket-Accept (RFC 6455 §4.2.2).
[[nodiscard]] std::string websocket_accept(const std::string& key);

}  // namespace sallyport::demo
