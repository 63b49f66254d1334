// One route's conditions, compiled. Immutable; matching allocates nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/config/model.hpp"
#include "sallyport/config/pattern.hpp"
#include "sallyport/http/head.hpp"

namespace sallyport::route {

// A text that must equal or match; or only be there, or not be there.
class ValueMatcher {
 public:
  explicit ValueMatcher(const config::ValueMatch& match);

  // Some field of the name has the value (a name may come more than once).
  [[nodiscard]] bool matches_field(const http::Fields& fields) const noexcept;
  // Some parameter of "a=1&b=2", names and values percent-decoded.
  [[nodiscard]] bool matches_query(std::string_view query) const noexcept;

 private:
  using Kind = config::ValueMatch::Kind;
  std::string name_;
  Kind kind_;
  std::string text_;
  std::optional<config::Pattern> pattern_;
};

class Matcher {
 public:
  explicit Matcher(const config::RouteMatch& match);

  [[nodiscard]] bool matches(const http::RequestHead& head, std::string_view path,
                             std::string_view query) const noexcept;

 private:
  enum class Path : std::uint8_t { any, exact, prefix, regex };

  [[nodiscard]] bool matches_path(std::string_view path) const noexcept;
  [[nodiscard]] bool matches_method(const http::RequestHead& head) const noexcept;

  Path path_kind_ = Path::any;
  std::string path_;
  std::optional<config::Pattern> pattern_;
  std::uint32_t methods_ = ~0U;             // bit = http::Method; all set = any
  std::vector<std::string> other_methods_;  // those without a bit of their own
  std::vector<ValueMatcher> headers_;
  std::vector<ValueMatcher> query_;
};

}  // namespace sallyport::route
