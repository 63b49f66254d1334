// A ClientHello out of what people have of one: a hex dump (as xxd, hexdump and Wireshark print it, or
// bare digits), the bytes themselves (TLS records or the handshake message alone), or a packet
// capture (pcap and pcapng; Ethernet, Linux cooked, raw IP and loopback; TCP segments put in order).
//
// For the command line; pure, any thread. The file comes from anywhere: every length in it is checked
// against what encloses it, and what is kept of it is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

#include "sallyport/net/address.hpp"

namespace sallyport::tls {

struct Capture {
  enum class Form : std::uint8_t { hex, bytes, pcap, pcapng };
  Form form = Form::bytes;
  std::string records;  // of TLS, with the first ClientHello whole in them and nothing behind it
  std::optional<net::Endpoint> client, server;  // where packets told
};
[[nodiscard]] std::string_view to_string(Capture::Form form) noexcept;  // "a hex dump"

inline constexpr std::size_t kMaxCaptureBytes = 256 * 1024 * 1024;

// The error says where it is wrong, or what it is instead.
[[nodiscard]] boost::system::result<Capture, std::string> read_capture(std::string_view file);

}  // namespace sallyport::tls
