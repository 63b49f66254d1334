// 64 bits as 16 hexadecimal digits, most significant first.
//
// Pure, and without a loop or a look-up: ids in this form stand in every line of the access log.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace sallyport::base {

namespace detail {

// Eight digits of a half, the least significant in the lowest byte.
[[nodiscard]] constexpr std::uint64_t hex_digits(std::uint32_t half) noexcept {
  std::uint64_t nibbles = half;
  nibbles = (nibbles | nibbles << 16) & 0x0000'ffff'0000'ffff;
  nibbles = (nibbles | nibbles << 8) & 0x00ff'00ff'00ff'00ff;
  nibbles = (nibbles | nibbles << 4) & 0x0f0f'0f0f'0f0f'0f0f;
  const std::uint64_t letters = ((nibbles + 0x0606'0606'0606'0606) >> 4) & 0x0101'0101'0101'0101;
  return nibbles + 0x3030'3030'3030'3030 + letters * ('a' - '0' - 10);
}

}  // namespace detail

inline void put_hex16(char* out, std::uint64_t value) noexcept {
  std::uint64_t halves[] = {detail::hex_digits(static_cast<std::uint32_t>(value >> 32)),
                            detail::hex_digits(static_cast<std::uint32_t>(value))};
  if constexpr (std::endian::native == std::endian::little) {
    for (std::uint64_t& half : halves) half = __builtin_bswap64(half);
  }
  std::memcpy(out, halves, sizeof halves);
}

[[nodiscard]] inline std::array<char, 16> hex16(std::uint64_t value) noexcept {
  std::array<char, 16> digits;
  put_hex16(digits.data(), value);
  return digits;
}

}  // namespace sallyport::base
