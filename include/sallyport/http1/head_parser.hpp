// Reads a start line and field lines, or a trailer section, into a flat table of offsets.
//
// Part of the codecs (codec.hpp). Strict: CRLF only, no obs-fold, no space around names, no
// control bytes, HTTP/1.0 and 1.1 only (RFC 9112 §2-§5). It holds no text: the caller keeps the
// bytes and offers them again, from the head's first byte on, with more behind them; the parser
// remembers how far it looked, so that a head that arrives byte by byte is still read once.
// One connection, one thread; clear() keeps the table's memory.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sallyport/base/error.hpp"
#include "sallyport/http/fields.hpp"
#include "sallyport/http/head.hpp"

namespace sallyport::http1 {

class HeadParser {
 public:
  enum class Kind : std::uint8_t { request, response, trailers };
  enum class Outcome : std::uint8_t { incomplete, complete, failed };
  struct Bounds {
    std::size_t total = 0;   // bytes of the whole section
    std::size_t line = 0;    // of one field line
    std::size_t target = 0;  // of a request's target
    std::size_t fields = 0;  // number of lines
  };
  using Slice = http::Fields::Slice;

  void begin(Kind kind, const Bounds& bounds) noexcept;
  [[nodiscard]] Outcome parse(std::span<const char> bytes);
  // Gives the table's memory back; only between heads.
  void release() noexcept;

  [[nodiscard]] bool started() const noexcept { return scan_ != 0; }
  [[nodiscard]] base::ErrorCode error() const noexcept { return error_; }

  // When complete, until begin(). Slices count from the head's first byte.
  [[nodiscard]] std::size_t size() const noexcept { return scan_; }
  [[nodiscard]] http::Version version() const noexcept { return version_; }
  [[nodiscard]] std::uint16_t status() const noexcept { return status_; }
  [[nodiscard]] Slice method() const noexcept { return method_; }
  [[nodiscard]] Slice target() const noexcept { return target_; }
  [[nodiscard]] std::size_t lines() const noexcept { return lines_.size(); }
  // Copies the section into `fields`, which is empty, in one piece and lists its lines, names
  // lower-cased. Afterwards the slices above are slices of `fields` too.
  void fill(std::span<const char> bytes, http::Fields& fields) const;

 private:
  enum class Stage : std::uint8_t { method, target, version, status, reason, name, value, complete };
  // Whether a step finished its stage, wants more bytes, or refused.
  enum class Step : std::uint8_t { done, more, failed };
  struct Line {
    std::uint32_t name;
    std::uint32_t value;
    std::uint32_t value_length;
    std::uint16_t name_length;
  };

  Step step(std::string_view text);
  Step read_method(std::string_view text);
  Step read_target(std::string_view text);
  Step read_version(std::string_view text);
  Step read_status(std::string_view text);
  Step read_reason(std::string_view text);
  void read_whole_lines(std::string_view text);
  Step read_name(std::string_view text);
  Step read_value(std::string_view text);
  Step end_of_line(std::string_view text, std::size_t at, Stage next);
  Step fail(base::ErrorCode code) noexcept;

  std::vector<Line> lines_;
  Bounds bounds_;
  std::size_t scan_ = 0;     // everything before is known to be good
  std::uint32_t line_ = 0;   // where the current token or line begins
  std::uint32_t colon_ = 0;  // in a field line
  Slice method_, target_;
  std::uint16_t status_ = 0;
  http::Version version_ = http::Version::http11;
  Kind kind_ = Kind::request;
  Stage stage_ = Stage::method;
  base::ErrorCode error_ = base::ErrorCode::none;
};

}  // namespace sallyport::http1
