// The inside of a ClientHello message (RFC 8446 §4.1.2). Private to tls; HelloReader is its user.
#pragma once

#include <cstdint>
#include <span>

#include "sallyport/tls/hello.hpp"

namespace sallyport::tls {

// `body` is the message behind its 4-byte header; the views of `hello` point into it. The host
// name in it is put into lower case. False: malformed.
[[nodiscard]] bool parse_client_hello(std::span<std::uint8_t> body, ClientHello& hello);

// The host name of a server_name extension's body as HelloReader gives it, for a second hello.
struct ServerName {
  SniState state = SniState::absent;
  std::span<std::uint8_t> name;  // without a trailing dot; in lower case when valid
};
[[nodiscard]] bool parse_server_name(std::span<std::uint8_t> body, ServerName& out);

}  // namespace sallyport::tls
