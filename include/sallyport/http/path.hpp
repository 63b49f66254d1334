// A request's path in the one form that routing, rewriting and upstreams all see.
//
// Two spellings of one path are two readings: a rule for /admin is worth nothing if /x/../admin,
// /%61dmin or /x%2f..%2fadmin reach the same place behind it. RFC 3986 §6.2.2 (escapes), §5.2.4
// (dot segments). Pure; the result is a fixed point. A path that has nothing to normalise costs
// one walk over it and no memory. The query is not looked at.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sallyport::http {

struct PathRules {
  enum class Dots : std::uint8_t { resolve, reject, keep };
  enum class Slashes : std::uint8_t { keep, decode, reject };
  enum class Repeated : std::uint8_t { keep, merge, reject };
  enum class Escapes : std::uint8_t { normalize, keep };

  // "." and "..", also written with %2E. Unless kept, a dot segment that is hidden, so that only
  // whoever decodes %2F, decodes twice, or cuts off ";…" would find it, is refused.
  Dots dot_segments = Dots::resolve;
  // %2F, %5C, and the backslash, which no URI may hold and which is taken for %5C.
  Slashes escaped_slashes = Slashes::keep;
  Repeated repeated_slashes = Repeated::keep;
  // %41 becomes A, %c3 becomes %C3.
  Escapes escapes = Escapes::normalize;
  bool operator==(const PathRules&) const = default;
};

enum class PathVerdict : std::uint8_t {
  as_is,    // `out` is not used
  changed,  // to `out`
  refused,  // by a rule, or always: % without two hex digits, %00
};

// `path` begins with a slash and is visible ASCII without '?'; `out` is the caller's scratch.
[[nodiscard]] PathVerdict normalize_path(std::string_view path, const PathRules& rules, std::string& out);

}  // namespace sallyport::http
