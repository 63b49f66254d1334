// What a client asks of the order in which its responses come: the Priority field (RFC 9218 §4).
// A wish, so what cannot be read is no fault. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sallyport/http/semantics.hpp"

namespace sallyport::http2 {

struct Priority {
  std::uint32_t urgency = 3;  // 0 comes first, 7 last
  bool incremental = false;   // takes turns with others of its urgency
  bool operator==(const Priority&) const = default;
};

// `so_far` with what one field line says; nothing when the line makes no sense. Of the dictionary
// (RFC 8941 §3.2) only `u` and `i` are read, others are stepped over.
[[nodiscard]] inline std::optional<Priority> read_priority(std::string_view line, Priority so_far) noexcept {
  line = http::trim(line);
  while (!line.empty()) {
    bool in_quotes = false;
    const auto comma = std::find_if(line.begin(), line.end(), [&](char c) {
      in_quotes = in_quotes != (c == '"');
      return c == ',' && !in_quotes;
    });
    const auto length = static_cast<std::size_t>(comma - line.begin());
    std::string_view member = http::trim(line.substr(0, length));
    member = http::trim(member.substr(0, member.find(';')));
    if (member.empty()) return std::nullopt;
    if (member == "i" || member == "i=?1" || member == "i=?0") {
      so_far.incremental = member != "i=?0";
    } else if (member.starts_with("u=") && member.size() == 3 && member[2] >= '0' && member[2] <= '7') {
      so_far.urgency = static_cast<std::uint32_t>(member[2] - '0');
    } else if (member == "u" || member.starts_with("u=") || member.starts_with("i=")) {
      return std::nullopt;
    }
    if (comma == line.end()) break;
    line = http::trim(line.substr(length + 1));
    if (line.empty()) return std::nullopt;  // nothing behind the last comma
  }
  return so_far;
}

}  // namespace sallyport::http2
