#include "json.hpp"

#include <algorithm>

namespace sallyport::config {
namespace {

std::string escaped(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;  // our own words hold no control characters
  }
  return out + "\"";
}

}  // namespace

Json Json::text(std::string_view value) {
  Json json;
  json.kind_ = Kind::scalar;
  json.scalar_ = escaped(value);
  return json;
}

Json Json::literal(std::string_view value) {
  Json json;
  json.kind_ = Kind::scalar;
  json.scalar_ = value;
  return json;
}

Json Json::list(std::vector<Json> items) {
  Json json;
  json.kind_ = Kind::list;
  json.items_ = std::move(items);
  return json;
}

Json& Json::with(std::string_view name, Json value) {
  members_.emplace_back(name, std::move(value));
  return *this;
}

Json& Json::with_all(const Json& other) {
  members_.insert(members_.end(), other.members_.begin(), other.members_.end());
  return *this;
}

std::string Json::to_string(std::size_t indent) const {
  if (kind_ == Kind::scalar) return scalar_;
  const bool object = kind_ == Kind::object;
  const bool flat = !object && std::all_of(items_.begin(), items_.end(),
                                           [](const Json& item) { return item.kind_ == Kind::scalar; });
  const std::string line = flat ? "" : "\n" + std::string(indent + 2, ' ');
  std::string out(1, object ? '{' : '[');
  bool first = true;
  const auto next = [&] {
    if (!first) out += flat ? ", " : ",";
    first = false;
    out += line;
  };
  for (const auto& [name, value] : members_) {
    next();
    out += escaped(name) + ": " + value.to_string(indent + 2);
  }
  for (const Json& item : items_) {
    next();
    out += item.to_string(indent + 2);
  }
  if (!flat && !first) out += "\n" + std::string(indent, ' ');
  return out + (object ? '}' : ']');
}

}  // namespace sallyport::config
