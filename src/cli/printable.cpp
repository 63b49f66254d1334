#include "printable.hpp"

#include <cstddef>
#include <cstdint>

namespace sallyport::cli {

namespace {

// The length of the UTF-8 sequence at the front and its character; 0: it is none (RFC 3629 §4).
std::size_t sequence(std::string_view text, std::uint32_t& character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) {
    character = first;
    return 1;
  }
  const std::size_t size = first >= 0xf0 && first < 0xf8 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
  if (size == 0 || first >= 0xf8 || text.size() < size) return 0;
  character = first & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    character = character << 6 | (byte(i) & 0x3f);
  }
  static constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = character >= 0xd800 && character <= 0xdfff;
  return character < kLeast[size] || character > 0x10ffff || surrogate ? 0 : size;
}

bool harmless(std::uint32_t c) {
  const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  const bool line = c == 0x2028 || c == 0x2029;
  const bool direction = c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                         (c >= 0x2066 && c <= 0x2069);
  return !control && !line && !direction;
}

}  // namespace

std::string printable(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::uint32_t character = 0;
    const std::size_t size = sequence(text, character);
    if (size != 0 && harmless(character)) {
      out += text.substr(0, size);
      text.remove_prefix(size);
      continue;
    }
    const auto byte = static_cast<unsigned char>(text.front());
    out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    text.remove_prefix(1);
  }
  return out;
}

}  // namespace sallyport::cli
