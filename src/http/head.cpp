#include "sallyport/http/head.hpp"

#include <array>

namespace sallyport::http {

namespace {
constexpr std::array<std::string_view, 10> kMethods = {"other",  "GET",     "HEAD",    "POST",  "PUT",
                                                       "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
}  // namespace

std::string_view to_string(Version v) noexcept {
  switch (v) {
    case Version::http10:
      return "HTTP/1.0";
    case Version::http11:
      return "HTTP/1.1";
    case Version::http2:
      break;
  }
  return "HTTP/2.0";
}

Method method_of(std::string_view text) noexcept {
  for (std::size_t i = 1; i < kMethods.size(); ++i) {
    if (kMethods[i] == text) return static_cast<Method>(i);
  }
  return Method::other;
}

std::string_view to_string(Method m) noexcept {
  return kMethods[static_cast<std::size_t>(m)];
}

bool idempotent(Method m) noexcept {
  switch (m) {
    case Method::get:
    case Method::head:
    case Method::put:
    case Method::del:
    case Method::options:
    case Method::trace:
      return true;
    default:
      return false;
  }
}

std::string_view RequestHead::path() const noexcept {
  const std::string_view t = target();
  return t.substr(0, t.find('?'));
}

std::string_view RequestHead::query() const noexcept {
  const std::string_view t = target();
  const std::size_t at = t.find('?');
  return at == std::string_view::npos ? std::string_view{} : t.substr(at + 1);
}

void RequestHead::set_method(std::string_view text) {
  method = method_of(text);
  method_text_ = method == Method::other ? fields.store(text) : Fields::Slice{};
}

void RequestHead::clear() noexcept {
  fields.clear();
  method = Method::get;
  version = Version::http11;
  body = {};
  expects_continue = trailers_ok = false;
  method_text_ = scheme_ = authority_ = target_ = protocol_ = {};
}

void ResponseHead::clear() noexcept {
  fields.clear();
  status = 0;
  version = Version::http11;
  body = {};
}

}  // namespace sallyport::http
