// A request's and a response's head in the one form that filters, proxy and upstream know,
// whichever HTTP version it came by or leaves by.
//
// The neutral form: pseudo-fields stand apart; `fields` holds no Host (it became the
// authority), no framing and no connection-specific field, for the serializers write those from
// events. A WebSocket (RFC 6455 and RFC 8441 alike) is a GET with protocol() == "websocket",
// accepted by status 101; sec-websocket-* stay in `fields`. Values; owned by one exchange.
#pragma once

#include <cstdint>
#include <string_view>

#include "sallyport/http/fields.hpp"

namespace sallyport::http {

enum class Version : std::uint8_t { http10, http11, http2 };
[[nodiscard]] std::string_view to_string(Version v) noexcept;  // "HTTP/1.0", "HTTP/1.1", "HTTP/2.0"

enum class Method : std::uint8_t { other, get, head, post, put, del, connect, options, trace, patch };
[[nodiscard]] Method method_of(std::string_view text) noexcept;
[[nodiscard]] std::string_view to_string(Method m) noexcept;  // "GET" …; "other" for other
// RFC 9110 §9.2.2.
[[nodiscard]] bool idempotent(Method m) noexcept;

// What is known of a body's length when its head is complete.
struct BodySize {
  enum class Kind : std::uint8_t { none, known, unknown };
  Kind kind = Kind::none;
  std::uint64_t length = 0;  // when known; may be 0
  bool operator==(const BodySize&) const = default;
};

class RequestHead {
 public:
  Fields fields;
  Method method = Method::get;
  Version version = Version::http11;
  BodySize body;
  bool expects_continue = false;  // Expect: 100-continue (the field is removed from `fields`)
  bool trailers_ok = false;       // TE: trailers was sent (the field is removed from `fields`)

  [[nodiscard]] std::string_view method_text() const noexcept {
    return method == Method::other ? fields.view(method_text_) : to_string(method);
  }
  [[nodiscard]] std::string_view scheme() const noexcept { return fields.view(scheme_); }  // "https"
  [[nodiscard]] std::string_view authority() const noexcept {
    return fields.view(authority_);
  }                                                                                        // host[:port]
  [[nodiscard]] std::string_view target() const noexcept { return fields.view(target_); }  // "/a?b", or "*"
  [[nodiscard]] std::string_view protocol() const noexcept {
    return fields.view(protocol_);
  }  // "" or "websocket"
  // As of now; stays readable through fields.view() when a filter sets another.
  [[nodiscard]] Fields::Slice authority_slice() const noexcept { return authority_; }
  [[nodiscard]] Fields::Slice target_slice() const noexcept { return target_; }
  [[nodiscard]] std::string_view path() const noexcept;   // the target without its query
  [[nodiscard]] std::string_view query() const noexcept;  // behind '?', without it

  void set_method(std::string_view text);
  void set_scheme(std::string_view text) { scheme_ = fields.store(text); }
  void set_authority(std::string_view text) { authority_ = fields.store(text); }
  void set_target(std::string_view text) { target_ = fields.store(text); }
  void set_target(Fields::Slice of_fields) { target_ = of_fields; }
  void set_protocol(std::string_view text) { protocol_ = fields.store(text); }
  // Forgets everything, keeps the memory.
  void clear() noexcept;

 private:
  Fields::Slice method_text_, scheme_, authority_, target_, protocol_;
};

class ResponseHead {
 public:
  Fields fields;
  std::uint16_t status = 0;
  Version version = Version::http11;
  BodySize body;

  [[nodiscard]] bool informational() const noexcept { return status >= 100 && status < 200; }
  void clear() noexcept;
};

}  // namespace sallyport::http
