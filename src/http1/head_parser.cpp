#include "sallyport/http1/head_parser.hpp"

#include <algorithm>

#include "sallyport/http/semantics.hpp"

#include "scan.hpp"

namespace sallyport::http1 {

namespace {

using base::ErrorCode;

// Longer than any registered method; a stream of tchars is no request line.
constexpr std::size_t kMethodBytes = 32;
constexpr std::string_view kVersion = "HTTP/1.";
constexpr std::size_t kVersionBytes = kVersion.size() + 1;
constexpr std::size_t kMajor = 5;  // where the digits stand
constexpr std::size_t kMinor = 7;
constexpr std::size_t kNameBytes = 0xFFFF;  // what a table entry holds

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

}  // namespace

void HeadParser::begin(Kind kind, const Bounds& bounds) noexcept {
  kind_ = kind;
  bounds_ = bounds;
  bounds_.line = std::min(bounds.line, kNameBytes);
  lines_.clear();
  scan_ = 0;
  line_ = colon_ = 0;
  method_ = target_ = {};
  status_ = 0;
  version_ = http::Version::http11;
  error_ = ErrorCode::none;
  switch (kind) {
    case Kind::request:
      stage_ = Stage::method;
      break;
    case Kind::response:
      stage_ = Stage::version;
      break;
    case Kind::trailers:
      stage_ = Stage::name;
      break;
  }
}

void HeadParser::release() noexcept {
  std::vector<Line>().swap(lines_);
}

HeadParser::Outcome HeadParser::parse(std::span<const char> bytes) {
  const std::string_view text(bytes.data(), std::min(bytes.size(), bounds_.total));
  while (stage_ != Stage::complete) {
    switch (step(text)) {
      case Step::done:
        break;
      case Step::failed:
        return Outcome::failed;
      case Step::more:
        if (bytes.size() < bounds_.total) return Outcome::incomplete;
        fail(stage_ == Stage::target ? ErrorCode::uri_too_long : ErrorCode::head_too_large);
        return Outcome::failed;
    }
  }
  return Outcome::complete;
}

HeadParser::Step HeadParser::step(std::string_view text) {
  switch (stage_) {
    case Stage::method:
      return read_method(text);
    case Stage::target:
      return read_target(text);
    case Stage::version:
      return read_version(text);
    case Stage::status:
      return read_status(text);
    case Stage::reason:
      return read_reason(text);
    case Stage::name:
      return read_name(text);
    case Stage::value:
      return read_value(text);
    case Stage::complete:
      break;
  }
  return Step::done;
}

HeadParser::Step HeadParser::fail(ErrorCode code) noexcept {
  error_ = code;
  return Step::failed;
}

HeadParser::Step HeadParser::read_method(std::string_view text) {
  scan_ = scan::plain(text, scan_, scan::ends_name);
  if (scan_ > kMethodBytes) return fail(ErrorCode::malformed);
  if (scan_ == text.size()) return Step::more;
  if (text[scan_] != ' ' || scan_ == 0) return fail(ErrorCode::malformed);
  method_ = {0, static_cast<std::uint32_t>(scan_)};
  line_ = static_cast<std::uint32_t>(++scan_);
  stage_ = Stage::target;
  return Step::done;
}

HeadParser::Step HeadParser::read_target(std::string_view text) {
  scan_ = scan::target_end(text, scan_);
  if (scan_ - line_ > bounds_.target) return fail(ErrorCode::uri_too_long);
  if (scan_ == text.size()) return Step::more;
  if (text[scan_] != ' ' || scan_ == line_) return fail(ErrorCode::malformed);
  target_ = {line_, static_cast<std::uint32_t>(scan_ - line_)};
  line_ = static_cast<std::uint32_t>(++scan_);
  stage_ = Stage::version;
  return Step::done;
}

// Both start lines hold it; a request's line ends behind it, a response's goes on with a space.
HeadParser::Step HeadParser::read_version(std::string_view text) {
  const std::string_view seen = text.substr(line_, kVersionBytes);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const bool number = i == kMajor || i == kMinor;
    if (number ? !is_digit(seen[i]) : seen[i] != kVersion[i]) return fail(ErrorCode::malformed);
  }
  if (seen.size() < kVersionBytes) {
    scan_ = line_ + seen.size();  // so that a response has started()
    return Step::more;
  }
  const char minor = seen[kMinor];
  // "HTTP/2.0" is well said, only not to us.
  if (seen[kMajor] != '1' || minor > '1') return fail(ErrorCode::unsupported);
  version_ = minor == '1' ? http::Version::http11 : http::Version::http10;
  const std::size_t behind = line_ + kVersionBytes;
  if (kind_ == Kind::request) return end_of_line(text, behind, Stage::name);
  if (behind == text.size()) return Step::more;
  if (text[behind] != ' ') return fail(ErrorCode::malformed);
  scan_ = behind + 1;
  line_ = static_cast<std::uint32_t>(scan_);
  stage_ = Stage::status;
  return Step::done;
}

HeadParser::Step HeadParser::read_status(std::string_view text) {
  constexpr std::size_t kDigits = 3;
  const std::string_view digits = text.substr(line_, kDigits);
  if (!std::all_of(digits.begin(), digits.end(), is_digit)) return fail(ErrorCode::malformed);
  const std::size_t behind = line_ + kDigits;
  if (behind >= text.size()) return Step::more;
  status_ = 0;
  for (const char c : digits) status_ = static_cast<std::uint16_t>(status_ * 10 + (c - '0'));
  if (status_ < 100) return fail(ErrorCode::malformed);
  // Some origins leave out the space before an empty reason; nothing can hide in that.
  if (text[behind] != ' ') return end_of_line(text, behind, Stage::name);
  scan_ = behind + 1;
  stage_ = Stage::reason;
  return Step::done;
}

HeadParser::Step HeadParser::read_reason(std::string_view text) {
  scan_ = scan::value_end(text, scan_);
  if (scan_ - line_ > bounds_.line) return fail(ErrorCode::head_too_large);
  if (scan_ == text.size()) return Step::more;
  return end_of_line(text, scan_, Stage::name);
}

// The loop that nearly all of a head goes through: lines that are there to their end and right.
// What is not stays for the resumable steps below, which tell why.
void HeadParser::read_whole_lines(std::string_view text) {
  std::size_t at = line_;
  while (at < text.size() && text[at] != '\r' && lines_.size() < bounds_.fields) {
    const std::size_t colon = scan::name_end(text, at);
    if (colon == text.size() || colon == at || text[colon] != ':') break;
    std::size_t end = scan::value_end(text, colon + 1);
    if (text.size() - end < 2 || text[end] != '\r' || text[end + 1] != '\n') break;
    if (end - at > bounds_.line) break;
    const std::size_t next = end + 2;
    std::size_t begin = colon + 1;
    while (begin < end && is_blank(text[begin])) ++begin;
    while (begin < end && is_blank(text[end - 1])) --end;
    lines_.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(begin),
                      static_cast<std::uint32_t>(end - begin), static_cast<std::uint16_t>(colon - at)});
    at = next;
  }
  scan_ = at;
  line_ = static_cast<std::uint32_t>(at);
}

HeadParser::Step HeadParser::read_name(std::string_view text) {
  if (scan_ == line_) read_whole_lines(text);
  if (scan_ == line_ && scan_ < text.size() && text[scan_] == '\r')
    return end_of_line(text, scan_, Stage::complete);
  scan_ = scan::name_end(text, scan_);
  if (scan_ - line_ > bounds_.line) return fail(ErrorCode::head_too_large);
  if (scan_ == text.size()) return Step::more;
  // A space here is a folded line or one before the colon: both have smuggled.
  if (text[scan_] != ':' || scan_ == line_) return fail(ErrorCode::malformed);
  if (lines_.size() == bounds_.fields) return fail(ErrorCode::head_too_large);
  colon_ = static_cast<std::uint32_t>(scan_++);
  stage_ = Stage::value;
  return read_value(text);
}

HeadParser::Step HeadParser::read_value(std::string_view text) {
  scan_ = scan::value_end(text, scan_);
  if (scan_ - line_ > bounds_.line) return fail(ErrorCode::head_too_large);
  if (scan_ == text.size()) return Step::more;
  const std::uint32_t name = line_;
  std::size_t end = scan_;
  const Step step = end_of_line(text, end, Stage::name);
  if (step != Step::done) return step;
  std::size_t begin = colon_ + std::size_t{1};
  while (begin < end && is_blank(text[begin])) ++begin;
  while (begin < end && is_blank(text[end - 1])) --end;
  lines_.push_back({name, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end - begin),
                    static_cast<std::uint16_t>(colon_ - name)});
  return Step::done;
}

// CR LF must stand at `at`; a lone one of them is an attack or a bug.
HeadParser::Step HeadParser::end_of_line(std::string_view text, std::size_t at, Stage next) {
  if (at == text.size()) return Step::more;
  if (text[at] != '\r') return fail(ErrorCode::malformed);
  if (at + 1 == text.size()) return Step::more;
  if (text[at + 1] != '\n') return fail(ErrorCode::malformed);
  scan_ = at + 2;
  line_ = static_cast<std::uint32_t>(scan_);
  stage_ = next;
  return Step::done;
}

void HeadParser::fill(std::span<const char> bytes, http::Fields& fields) const {
  std::uint32_t offset = 0;
  char* const text = fields.adopt(bytes.first(scan_), offset);
  fields.reserve(lines_.size());
  for (const Line& line : lines_) {
    char* const name = text + line.name;
    scan::lower(name, line.name_length, text + scan_);
    fields.add_slices({offset + line.name, line.name_length}, {offset + line.value, line.value_length},
                      http::field_id({name, line.name_length}));
  }
}

}  // namespace sallyport::http1
