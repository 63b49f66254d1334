// The PROXY protocol, versions 1 and 2: who the client behind a load balancer is, told in front
// of the connection's first byte (HAProxy's doc/proxy-protocol.txt).
//
// A pure, resumable parser: bytes in, a verdict out; no socket, no allocation. Owned by whoever
// reads the connection's first bytes, and used only for peers that are configured as senders:
// anybody else could claim any address. At most 4 KiB are looked at: 107 for version 1, and for
// version 2 the addresses and room for TLVs (which are skipped); a longer header is an error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "sallyport/net/address.hpp"

namespace sallyport::net {

class ProxyProtocol {
 public:
  enum class State : std::uint8_t { more, done, error };

  // LOCAL (a health check of the sender itself), UNKNOWN, and families other than IP carry no
  // addresses: the connection's own count.
  struct Header {
    bool has_addresses = false;
    Endpoint source;
    Endpoint destination;
  };

  static constexpr std::size_t kMaxV1 = 107;        // the specification's worst case, CRLF included
  static constexpr std::size_t kMaxV2 = 16 + 4080;  // ample for TLVs such as a TLS client's names

  // Takes bytes until the header is complete; returns how many it took (the rest is the
  // connection's own). In a terminal state it takes none.
  std::size_t consume(std::span<const char> bytes) noexcept;

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] const Header& header() const noexcept { return header_; }
  // Why, once the state is error; a literal.
  [[nodiscard]] std::string_view why() const noexcept { return why_; }

 private:
  enum class Version : std::uint8_t { unknown, one, two };

  void fail(std::string_view why) noexcept;
  void step(char byte) noexcept;
  void step_start() noexcept;
  void step_v1() noexcept;
  void finish_v1() noexcept;
  void step_v2() noexcept;
  void finish_v2() noexcept;

  Header header_;
  // Version 1's line, or version 2's fixed part and addresses (16 + 36; a UNIX pair's 216 are not kept).
  std::array<char, kMaxV1> kept_{};
  std::size_t seen_ = 0;
  std::size_t wanted_ = 0;  // version 2: the header's length
  std::string_view why_;
  Version version_ = Version::unknown;
  State state_ = State::more;
};

}  // namespace sallyport::net
