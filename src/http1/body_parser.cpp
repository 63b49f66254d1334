#include "sallyport/http1/body_parser.hpp"

#include <algorithm>
#include <cassert>

namespace sallyport::http1 {

namespace {

// A digit's value, or -1.
constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
// One digit more must fit, and the sum stay below 2^63 as for Content-Length.
constexpr std::uint64_t kGrowable = (std::uint64_t{1} << 59) - 1;

}  // namespace

void BodyParser::begin(const http::Framing& framing) noexcept {
  assert(framing.by != http::Framing::By::none);
  *this = {};
  switch (framing.by) {
    case http::Framing::By::length:
      left_ = framing.length;
      break;
    case http::Framing::By::chunked:
      stage_ = Stage::size_start;
      break;
    default:
      stage_ = Stage::until_close;
      break;
  }
}

BodyParser::Piece BodyParser::next(std::span<const char> bytes, const Limits& limits) noexcept {
  using Kind = Piece::Kind;
  if (stage_ == Stage::until_close) return {Kind::data, bytes.size(), bytes, false};
  std::size_t used = 0;
  while (used < bytes.size()) {
    if (stage_ == Stage::length || stage_ == Stage::chunk) {
      const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - used));
      left_ -= n;
      const bool end = stage_ == Stage::length && left_ == 0;
      if (stage_ == Stage::chunk && left_ == 0) stage_ = Stage::chunk_cr;
      return {Kind::data, used + n, bytes.subspan(used, n), end};
    }
    if (!read_framing(bytes[used], limits)) return {Kind::failed, used, {}, false};
    ++used;
    if (last_ && stage_ == Stage::chunk) return {Kind::trailers, used, {}, false};
  }
  return {Kind::more, used, {}, false};
}

bool BodyParser::read_framing(char byte, const Limits& limits) noexcept {
  switch (stage_) {
    case Stage::size_start:
      left_ = 0;
      line_ = 0;
      stage_ = Stage::size;
      return hex_value(byte) >= 0 && read_size(byte, limits);
    case Stage::size:
      return read_size(byte, limits);
    case Stage::extension:
      if (byte == '\r') {
        stage_ = Stage::size_lf;
        return true;
      }
      return byte == '\t' || (byte >= 0x20 && byte < 0x7F) ? count_extension(limits) : false;
    case Stage::size_lf:
      last_ = left_ == 0;
      stage_ = Stage::chunk;
      return byte == '\n';
    case Stage::chunk_cr:
      stage_ = Stage::chunk_lf;
      return byte == '\r';
    case Stage::chunk_lf:
      stage_ = Stage::size_start;
      return byte == '\n';
    default:
      return false;
  }
}

bool BodyParser::read_size(char byte, const Limits& limits) noexcept {
  constexpr std::uint32_t kDigits = 16;
  if (byte == '\r') {
    stage_ = Stage::size_lf;
    return true;
  }
  if (byte == ';') {
    stage_ = Stage::extension;
    return count_extension(limits);
  }
  const int digit = hex_value(byte);
  if (digit < 0 || left_ > kGrowable || ++line_ > kDigits) return false;
  left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
  return true;
}

bool BodyParser::count_extension(const Limits& limits) noexcept {
  return ++line_ <= limits.chunk_line_bytes && ++extensions_ <= limits.extension_bytes;
}

}  // namespace sallyport::http1
