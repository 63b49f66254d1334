#include "json.hpp"

namespace sallyport::demo::json {

std::string text(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += "\\u00";
      out += kHex[byte >> 4U];
      out += kHex[byte & 0xfU];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string object(const std::vector<Member>& members) {
  std::string out = "{";
  for (const auto& [name, value] : members) {
    if (out.size() > 1) out += ", ";
    out += text(name) + ": " + value;
  }
  return out + "}";
}

std::string fields(const Fields& list) {
  std::string out = "[";
  for (const auto& field : list) {
    if (out.size() > 1) out += ", ";
    out += "[" + text(field.name) + ", " + text(field.value) + "]";
  }
  return out + "]";
}

}  // namespace sallyport::demo::json
