// The proof that a WebSocket handshake was understood (RFC 6455 §4.2.2): base64 of the SHA-1 of
// the client's key and a fixed GUID. It lives with the other hashes. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace sallyport::tls {

// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
[[nodiscard]] std::string websocket_accept(std::string_view key);
// A fresh Sec-WebSocket-Key: base64 of 16 random bytes.
[[nodiscard]] std::string websocket_key();

}  // namespace sallyport::tls
