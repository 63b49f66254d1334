// Just enough JSON to write a schema: ordered members, two blanks a level.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport::config {

class Json {
 public:
  Json() = default;  // {}
  static Json text(std::string_view value);
  static Json literal(std::string_view value);  // a number, true, false
  static Json list(std::vector<Json> items);

  Json& with(std::string_view name, Json value);
  Json& with(std::string_view name, std::string_view value) { return with(name, text(value)); }
  Json& with(std::string_view name, const char* value) { return with(name, text(value)); }
  Json& with(std::string_view name, bool value) { return with(name, literal(value ? "true" : "false")); }

  Json& with_all(const Json& other);  // the members of another object

  [[nodiscard]] std::string to_string(std::size_t indent = 0) const;

 private:
  enum class Kind { object, list, scalar };
  Kind kind_ = Kind::object;
  std::string scalar_;  // as written
  std::vector<std::pair<std::string, Json>> members_;
  std::vector<Json> items_;
};

}  // namespace sallyport::config
