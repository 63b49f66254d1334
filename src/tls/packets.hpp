// The first ClientHello in packets: link layer, IP, TCP in order. Untrusted input, bounded: so many
// connections, so many bytes of each. Private to tls.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "sallyport/net/address.hpp"
#include "sallyport/tls/hello.hpp"

namespace sallyport::tls {

// A run of unread bytes; whoever reads past the end gets nothing, and `bad` stays.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) noexcept : left_(bytes) {}
  [[nodiscard]] std::string_view left() const noexcept { return left_; }
  [[nodiscard]] bool bad() const noexcept { return bad_; }
  std::string_view take(std::size_t n) noexcept {
    if (n > left_.size()) {
      bad_ = true;
      n = left_.size();
    }
    const std::string_view taken = left_.substr(0, n);
    left_.remove_prefix(n);
    return taken;
  }
  std::uint8_t u8() noexcept { return static_cast<std::uint8_t>(number(1, true)); }
  std::uint16_t u16(bool big = true) noexcept { return static_cast<std::uint16_t>(number(2, big)); }
  std::uint32_t u32(bool big = true) noexcept { return number(4, big); }

 private:
  std::uint32_t number(std::size_t size, bool big) noexcept {
    const std::string_view bytes = take(size);
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      value = value << 8 | static_cast<std::uint8_t>(bytes[big ? i : bytes.size() - 1 - i]);
    }
    return value;
  }
  std::string_view left_;
  bool bad_ = false;
};

// The numbers of the tcpdump group's registry.
enum class Link : std::uint16_t {
  null = 0,
  ethernet = 1,
  raw_bsd = 12,
  raw_openbsd = 14,
  raw = 101,
  loop = 108,
  cooked = 113,
  ipv4 = 228,
  ipv6 = 229,
  cooked2 = 276,
};
[[nodiscard]] bool is_known(Link link) noexcept;

class Packets {
 public:
  struct Found {
    std::string records;  // as sent, up to the segment that completed the hello
    net::Endpoint client, server;
  };

  // One more. True once a ClientHello is whole; then found() has it.
  bool add(Link link, std::string_view packet);
  [[nodiscard]] const Found& found() const noexcept { return found_; }
  // Why there was none, when all have been seen.
  [[nodiscard]] std::string why_not() const;

 private:
  using Ends = std::pair<net::Endpoint, net::Endpoint>;
  // One direction of a connection. A SYN tells where it begins; without one, the first segment that
  // looks like a hello does.
  struct Flow {
    bool based = false;
    bool over = false;  // it is something else
    std::uint32_t base = 0;
    std::string bytes;                             // in order, from `base`
    std::map<std::uint32_t, std::string> waiting;  // by sequence number
    std::unique_ptr<HelloReader> reader;
  };
  static constexpr std::size_t kFlows = 4096;
  static constexpr std::size_t kFlowBytes = 64 * 1024;
  static constexpr std::size_t kWaiting = 256;                    // segments of a flow
  static constexpr std::size_t kWaitingBytes = 16 * 1024 * 1024;  // of all

  bool ip(std::string_view packet);
  bool ipv4(ByteReader packet);
  bool ipv6(ByteReader packet);
  bool tcp(const net::IpAddress& from, const net::IpAddress& to, ByteReader segment);
  bool segment(Flow& flow, const Ends& ends, std::uint32_t sequence, std::string_view payload);
  bool advance(Flow& flow, const Ends& ends);

  std::map<Ends, Flow> flows_;
  Found found_;
  std::size_t packets_ = 0, tcp_segments_ = 0, fragments_ = 0, waiting_bytes_ = 0;
};

}  // namespace sallyport::tls
