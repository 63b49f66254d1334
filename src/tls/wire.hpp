// TLS messages and records as bytes: the pieces that hellos made by hand are put together from (RFC 8446
// §3, §5.1), and the values of a list that came. Private to tls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/tls/hello.hpp"

namespace sallyport::tls {

inline constexpr std::size_t kRecordHeader = 5;

namespace wire {

[[nodiscard]] inline std::string u8(std::size_t n) {
  return std::string(1, static_cast<char>(n));
}
[[nodiscard]] inline std::string u16(std::size_t n) {
  return {static_cast<char>(n >> 8), static_cast<char>(n)};
}
// A vector with its length before it, in one byte or two.
[[nodiscard]] inline std::string with8(std::string_view body) {
  return u8(body.size()).append(body);
}
[[nodiscard]] inline std::string with16(std::string_view body) {
  return u16(body.size()).append(body);
}
[[nodiscard]] inline std::string extension(std::uint16_t type, std::string_view body) {
  return u16(type) + with16(body);
}

}  // namespace wire

// A handshake message, its 4-byte header included.
[[nodiscard]] std::string client_hello_message(std::string_view body);
// As handshake records, the first of `first` bytes, the rest as large as a record may be. 0: not cut.
[[nodiscard]] std::string hello_records(std::string_view message, std::size_t first = 0);

[[nodiscard]] std::vector<std::uint16_t> values_of(const U16View& view);

}  // namespace sallyport::tls
