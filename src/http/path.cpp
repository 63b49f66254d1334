#include "sallyport/http/path.hpp"

#include <algorithm>
#include <cstring>

namespace sallyport::http {

namespace {

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986 §2.3: escaping these means nothing.
constexpr bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

bool needs_a_look(std::string_view path) {
  char previous = '\0';
  for (const char c : path) {
    if (c == '%' || c == '\\' || (previous == '/' && (c == '/' || c == '.'))) return true;
    previous = c;
  }
  return false;
}

// Whether some recipient could read a dot segment out of a segment: one that takes escaped
// slashes for slashes, that decodes more than once, or to which ";…" is a parameter.
class HiddenDots {
 public:
  static bool in(std::string_view segment) {
    HiddenDots dots;
    for (const char c : segment) dots.feed(c);
    dots.flush();
    dots.end_piece();
    return dots.found_;
  }

 private:
  // Decodes as it goes, and what comes of it again: %25 begins another escape.
  void feed(char c) {
    const int digit = hex_value(c);
    if (held_ == 1 && digit >= 0) {
      high_ = c;
      held_ = 2;
      return;
    }
    if (held_ == 2 && digit >= 0) {
      held_ = 0;
      c = static_cast<char>(hex_value(high_) * 16 + digit);
    } else {
      flush();
    }
    if (c == '%') {
      held_ = 1;
    } else {
      take(c);
    }
  }
  void flush() {
    if (held_ != 0) other_ = true;
    held_ = 0;
  }
  void take(char c) {
    if (c == '/' || c == '\\') {
      end_piece();
    } else if (c == ';') {
      parameter_ = true;
    } else if (!parameter_) {
      if (c == '.') {
        ++dots_;
      } else {
        other_ = true;
      }
    }
  }
  void end_piece() {
    found_ = found_ || (!other_ && (dots_ == 1 || dots_ == 2));
    dots_ = 0;
    other_ = parameter_ = false;
  }

  std::size_t dots_ = 0;
  int held_ = 0;  // of "%h": characters that may become an escape
  char high_ = '\0';
  bool other_ = false;
  bool parameter_ = false;
  bool found_ = false;
};

class Normalizer {
 public:
  Normalizer(const PathRules& rules, std::string& out) : rules_(rules), out_(out) { out_.clear(); }

  bool run(std::string_view path) { return decode(path) && (keeps_dots() || resolve()); }

 private:
  [[nodiscard]] bool keeps_dots() const { return rules_.dot_segments == PathRules::Dots::keep; }

  bool decode(std::string_view path) {
    for (std::size_t i = 0; i < path.size(); ++i) {
      const char c = path[i];
      if (c == '%') {
        if (path.size() - i < 3 || !escape(path[i + 1], path[i + 2])) return false;
        i += 2;
      } else if (c == '/') {
        if (!slash()) return false;
      } else if (c == '\\') {
        if (!escaped_slash("%5C")) return false;
      } else {
        out_ += c;
      }
    }
    return true;
  }

  bool escape(char high, char low) {
    const int value = hex_value(high) * 16 + hex_value(low);
    if (hex_value(high) < 0 || hex_value(low) < 0 || value == 0) return false;
    const char c = static_cast<char>(value);
    const bool normalize = rules_.escapes == PathRules::Escapes::normalize;
    if (c == '/') return escaped_slash(normalize || low == 'F' ? "%2F" : "%2f");
    if (c == '\\') return escaped_slash(normalize || low == 'C' ? "%5C" : "%5c");
    if (is_unreserved(c) && (normalize || (c == '.' && !keeps_dots()))) {
      out_ += c;
      return true;
    }
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    out_ += '%';
    out_ += normalize ? kDigits[static_cast<std::size_t>(hex_value(high))] : high;
    out_ += normalize ? kDigits[static_cast<std::size_t>(hex_value(low))] : low;
    return true;
  }

  bool escaped_slash(std::string_view kept) {
    switch (rules_.escaped_slashes) {
      case PathRules::Slashes::keep:
        out_ += kept;
        return true;
      case PathRules::Slashes::decode:
        return slash();
      case PathRules::Slashes::reject:
        break;
    }
    return false;
  }

  bool slash() {
    if (out_.ends_with('/') && rules_.repeated_slashes != PathRules::Repeated::keep)
      return rules_.repeated_slashes == PathRules::Repeated::merge;
    out_ += '/';
    return true;
  }

  // RFC 3986 §5.2.4, in place: what is written ends with a slash between segments.
  bool resolve() {
    std::size_t written = 1;
    for (std::size_t begin = 1; begin <= out_.size();) {
      const std::size_t end = std::min(out_.find('/', begin), out_.size());
      const std::string_view segment(out_.data() + begin, end - begin);
      const bool up = segment == "..";
      if (up || segment == ".") {
        if (rules_.dot_segments == PathRules::Dots::reject) return false;
        if (up && written > 1) written = out_.rfind('/', written - 2) + 1;
      } else {
        if (HiddenDots::in(segment)) return false;
        std::memmove(out_.data() + written, segment.data(), segment.size());
        written += segment.size();
        if (end < out_.size()) out_[written++] = '/';
      }
      begin = end + 1;
    }
    out_.resize(written);
    return true;
  }

  const PathRules& rules_;
  std::string& out_;
};

}  // namespace

PathVerdict normalize_path(std::string_view path, const PathRules& rules, std::string& out) {
  if (!needs_a_look(path)) return PathVerdict::as_is;
  if (!Normalizer(rules, out).run(path)) return PathVerdict::refused;
  return out == path ? PathVerdict::as_is : PathVerdict::changed;
}

}  // namespace sallyport::http
