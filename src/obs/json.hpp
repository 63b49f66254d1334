// Writing JSON by hand into memory that is known to be large enough.
//
// Pure. Each function writes at `out` and returns the new end; the caller has reserved the bound
// that stands beside it. Text of a client is made harmless here: control characters (C0, DEL, C1)
// become \u escapes and bytes that are not UTF-8 become U+FFFD, so that a line is one line, is
// valid JSON (RFC 8259 §7) and sends no code to a terminal.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "sallyport/base/clock.hpp"

namespace sallyport::obs::json {

// The most bytes that one byte of text becomes: \u00XX.
inline constexpr std::size_t kExpansion = 6;
// The most digits of a 64-bit number with its sign.
inline constexpr std::size_t kNumber = 20;

inline char* put(char* out, std::string_view verbatim) noexcept {
  std::memcpy(out, verbatim.data(), verbatim.size());
  return out + verbatim.size();
}

template <class Integer>
char* put_number(char* out, Integer n) noexcept {
  return std::to_chars(out, out + kNumber, n).ptr;
}

// Seconds with six decimals: at most kNumber + 7 bytes.
char* put_seconds(char* out, base::Duration d) noexcept;

// "2026-01-31T23:59:59", 19 bytes, UTC.
inline constexpr std::size_t kStamp = 19;
char* put_stamp(char* out, std::int64_t seconds_since_epoch) noexcept;
// ".123456", 7 bytes.
char* put_micros(char* out, std::uint32_t micros) noexcept;

// The text's characters, escaped, without quotes: at most kExpansion * size bytes.
char* put_escaped(char* out, std::string_view text) noexcept;
// With quotes: 2 bytes more.
inline char* put_text(char* out, std::string_view text) noexcept {
  *out++ = '"';
  out = put_escaped(out, text);
  *out++ = '"';
  return out;
}

// At most `limit` bytes of the text, not ending within a UTF-8 sequence.
[[nodiscard]] std::string_view cut(std::string_view text, std::size_t limit) noexcept;

}  // namespace sallyport::obs::json
