// An IP address and a port in one canonical form: a v4-mapped IPv6 address *is* its IPv4
// address, so every rule, cap and log line sees one thing (RFC 4291 §2.5.5.2). Values.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct sockaddr;

namespace sallyport::net {

class IpAddress {
 public:
  IpAddress() noexcept = default;  // 0.0.0.0
  // 16 bytes in network order; v4-mapped becomes IPv4.
  [[nodiscard]] static IpAddress v6(const std::array<std::uint8_t, 16>& bytes) noexcept;
  [[nodiscard]] static IpAddress v4(const std::array<std::uint8_t, 4>& bytes) noexcept;
  // "192.0.2.1", "2001:db8::1"; no zone, no brackets, no port.
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);

  [[nodiscard]] bool is_v4() const noexcept { return v4_; }
  [[nodiscard]] bool is_loopback() const noexcept;
  // IPv4 in its v4-mapped form.
  [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string to_string() const;
  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<std::uint8_t, 16> bytes_{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  bool v4_ = true;
};

// The client that an address stands for, as 16 bytes: all of an IPv4 address, `ipv6_prefix` bits
// of an IPv6 one.
[[nodiscard]] std::array<std::uint8_t, 16> client_key(const IpAddress& address,
                                                      unsigned ipv6_prefix) noexcept;

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  [[nodiscard]] static Endpoint from(const sockaddr* address) noexcept;
  // "192.0.2.1:80", "[2001:db8::1]:80"
  [[nodiscard]] static std::optional<Endpoint> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  auto operator<=>(const Endpoint&) const = default;
};

}  // namespace sallyport::net
