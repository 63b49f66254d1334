// Finds a body's pieces in the bytes behind a head: by length, by chunks, until close, or raw.
//
// Part of the codecs (codec.hpp). Holds numbers only, copies nothing: pieces are views into what
// it is given. Chunk framing is read byte by byte (RFC 9112 §7.1) and strictly: hex digits, CRLF,
// extensions bounded and skipped. One connection, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sallyport/http/semantics.hpp"
#include "sallyport/http1/limits.hpp"

namespace sallyport::http1 {

class BodyParser {
 public:
  struct Piece {
    enum class Kind : std::uint8_t {
      more,      // nothing but framing so far; all bytes used
      data,      // `data`; the last one of a body by length has `end`
      trailers,  // the last chunk was read: a trailer section follows
      failed,    // malformed
    };
    Kind kind;
    std::size_t used;
    std::span<const char> data;
    bool end;
  };

  // Not for Framing::By::none.
  void begin(const http::Framing& framing) noexcept;
  // From here on every byte is data.
  void begin_tunnel() noexcept { begin({http::Framing::By::close, 0, false}); }
  // `bytes` is not empty.
  [[nodiscard]] Piece next(std::span<const char> bytes, const Limits& limits) noexcept;
  // The end of the stream is the end of the body.
  [[nodiscard]] bool ends_with_stream() const noexcept { return stage_ == Stage::until_close; }

 private:
  enum class Stage : std::uint8_t {
    length,
    until_close,
    size_start,  // the first digit must come
    size,
    extension,
    size_lf,
    chunk,
    chunk_cr,
    chunk_lf,
  };

  [[nodiscard]] bool read_framing(char byte, const Limits& limits) noexcept;
  [[nodiscard]] bool read_size(char byte, const Limits& limits) noexcept;
  [[nodiscard]] bool count_extension(const Limits& limits) noexcept;

  std::uint64_t left_ = 0;  // of the body, or of the chunk
  std::uint32_t line_ = 0;  // bytes of the chunk-size line
  std::uint32_t extensions_ = 0;
  Stage stage_ = Stage::length;
  bool last_ = false;  // the chunk-size line said 0
};

}  // namespace sallyport::http1
