#include "matcher.hpp"

#include <algorithm>
#include <stdexcept>
#include <variant>

namespace sallyport::route {
namespace {

config::Pattern compiled(const std::string& text) {
  auto result = config::Pattern::compile(text);
  if (auto* why = std::get_if<std::string>(&result)) throw std::invalid_argument(text + ": " + *why);
  return std::get<config::Pattern>(std::move(result));
}

int hex(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The next byte of a percent-encoded text, taken off it. A % without two digits is a %.
char take_decoded(std::string_view& text) noexcept {
  if (text[0] == '%' && text.size() >= 3 && hex(text[1]) >= 0 && hex(text[2]) >= 0) {
    const char c = static_cast<char>(hex(text[1]) * 16 + hex(text[2]));
    text.remove_prefix(3);
    return c;
  }
  const char c = text[0];
  text.remove_prefix(1);
  return c;
}

bool decodes_to(std::string_view encoded, std::string_view text) noexcept {
  for (const char c : text) {
    if (encoded.empty() || take_decoded(encoded) != c) return false;
  }
  return encoded.empty();
}

bool decoded_matches(std::string_view encoded, const config::Pattern& pattern) noexcept {
  config::Pattern::Run run(pattern);
  while (!encoded.empty()) {
    if (!run.feed(take_decoded(encoded))) return false;
  }
  return run.matched();
}

}  // namespace

ValueMatcher::ValueMatcher(const config::ValueMatch& match)
    : name_(match.name), kind_(match.kind), text_(match.text) {
  if (kind_ == Kind::regex) pattern_ = compiled(match.text);
}

bool ValueMatcher::matches_field(const http::Fields& fields) const noexcept {
  const bool none = fields.all_of([&](const http::Fields::Field& field) {
    if (field.name != name_) return true;
    if (kind_ == Kind::exact) return field.value != text_;
    if (kind_ == Kind::regex) return !pattern_->matches(field.value);
    return false;
  });
  return none == (kind_ == Kind::absent);
}

bool ValueMatcher::matches_query(std::string_view query) const noexcept {
  bool found = false;
  while (!query.empty() && !found) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (pair.empty() || !decodes_to(pair.substr(0, equals), name_)) continue;
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    found = kind_ == Kind::exact   ? decodes_to(value, text_)
            : kind_ == Kind::regex ? decoded_matches(value, *pattern_)
                                   : true;
  }
  return found == (kind_ != Kind::absent);
}

Matcher::Matcher(const config::RouteMatch& match) {
  if (match.path) {
    path_kind_ = Path::exact;
    path_ = *match.path;
  } else if (match.path_prefix) {
    path_kind_ = Path::prefix;
    path_ = *match.path_prefix;
  } else if (match.path_regex) {
    path_kind_ = Path::regex;
    pattern_ = compiled(*match.path_regex);
  }
  if (!match.methods.empty()) methods_ = 0;
  for (const std::string& name : match.methods) {
    const http::Method method = http::method_of(name);
    if (method == http::Method::other) {
      other_methods_.push_back(name);
    } else {
      methods_ |= 1U << static_cast<unsigned>(method);
    }
  }
  for (const config::ValueMatch& header : match.headers) headers_.emplace_back(header);
  for (const config::ValueMatch& parameter : match.query) query_.emplace_back(parameter);
}

bool Matcher::matches(const http::RequestHead& head, std::string_view path,
                      std::string_view query) const noexcept {
  return matches_path(path) && matches_method(head) &&
         std::all_of(headers_.begin(), headers_.end(),
                     [&](const ValueMatcher& m) { return m.matches_field(head.fields); }) &&
         std::all_of(query_.begin(), query_.end(),
                     [&](const ValueMatcher& m) { return m.matches_query(query); });
}

bool Matcher::matches_path(std::string_view path) const noexcept {
  switch (path_kind_) {
    case Path::any:
      return true;
    case Path::exact:
      return path == path_;
    case Path::prefix:
      return config::has_prefix(path, path_);
    case Path::regex:
      return pattern_->matches(path);
  }
  return false;
}

bool Matcher::matches_method(const http::RequestHead& head) const noexcept {
  if ((methods_ >> static_cast<unsigned>(head.method) & 1U) != 0) return true;
  return head.method == http::Method::other &&
         std::find(other_methods_.begin(), other_methods_.end(), head.method_text()) != other_methods_.end();
}

}  // namespace sallyport::route
