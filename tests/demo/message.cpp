#include "message.hpp"

#include <charconv>

namespace sallyport::demo {

std::string_view Request::path() const {
  return std::string_view(target).substr(0, target.find('?'));
}

std::string_view Request::field(std::string_view name) const {
  for (const auto& field : fields) {
    if (field.name.size() != name.size()) continue;
    bool same = true;
    for (std::size_t i = 0; i < name.size() && same; ++i) {
      const char c = field.name[i];
      same = (c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c) == name[i];
    }
    if (same) return field.value;
  }
  return {};
}

std::uint64_t Request::number(std::string_view name, std::uint64_t fallback) const {
  std::string_view rest = std::string_view(target).substr(path().size());
  while (!rest.empty()) {
    rest.remove_prefix(1);  // '?' or '&'
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(pair.size());
    if (pair.size() <= name.size() || !pair.starts_with(name) || pair[name.size()] != '=') continue;
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(pair.data() + name.size() + 1, pair.data() + pair.size(), value);
    if (parsed.ec == std::errc{}) return value;
  }
  return fallback;
}

}  // namespace sallyport::demo
