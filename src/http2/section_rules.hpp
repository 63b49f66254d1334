// RFC 9113 §8, field by field: what a field section must keep to, to be of an HTTP message at all.
// Whatever breaks it is malformed, and its stream is reset (§8.1.1).
//
// nghttp2 can judge this too, and is told not to: an octet is looked at once, by the one who knows
// what it is needed for. One a HeadReader, for one section at a time. Pure, holds no text.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sallyport/http/fields.hpp"

namespace sallyport::http2 {

class SectionRules {
 public:
  enum class Verdict : std::uint8_t {
    fine,
    dropped,  // allowed, and means nothing
    malformed,
  };

  // `protocol`: our SETTINGS allow an extended CONNECT (RFC 8441).
  void begin_request(bool protocol) noexcept;
  // `tunnel`: the request was an extended CONNECT.
  void begin_response(bool tunnel) noexcept;
  // Of a request's trailers, whether its head had a Host.
  void begin_trailers(bool of_request, bool host_told, bool length_told) noexcept;

  // The next field; `id` is that of its name, `other` for a pseudo-field.
  [[nodiscard]] Verdict judge(std::string_view name, std::string_view value, http::FieldId id) noexcept;

  // After the last field: whether the pseudo-fields make a request (§8.3.1, §8.5).
  [[nodiscard]] bool is_request() const noexcept;
  // 0 when there was none.
  [[nodiscard]] std::uint16_t status() const noexcept { return status_; }
  // By Content-Length.
  [[nodiscard]] std::optional<std::uint64_t> length() const noexcept {
    return told(kLength) ? std::optional(length_) : std::nullopt;
  }
  [[nodiscard]] bool host_told() const noexcept { return told(kHost); }
  // What :path, and what :authority or Host says is not only allowed: it is of the forms that we serve.
  [[nodiscard]] bool target_serves() const noexcept {
    return told(kOriginTarget) || (told(kOptions) && told(kAsterisk));
  }
  [[nodiscard]] bool authority_serves() const noexcept {
    return told(told(kAuthority) ? kGoodAuthority : kGoodHost);
  }

 private:
  enum Fact : std::uint32_t {
    kMethod = 1U << 0,
    kScheme = 1U << 1,
    kPath = 1U << 2,
    kAuthority = 1U << 3,
    kProtocol = 1U << 4,
    kStatus = 1U << 5,
    kRegular = 1U << 6,  // a field that is no pseudo-field
    kHost = 1U << 7,
    kLength = 1U << 8,
    kConnect = 1U << 9,
    kOptions = 1U << 10,
    kHttpScheme = 1U << 11,
    kSlash = 1U << 12,     // :path begins with it
    kAsterisk = 1U << 13,  // ... or is "*"
    kOriginTarget = 1U << 14,
    kGoodAuthority = 1U << 15,
    kGoodHost = 1U << 16,
    kLengthOf204 = 1U << 17,
    kLengthOfHead = 1U << 18,  // for trailers, which may say none then
  };
  enum class Section : std::uint8_t { request, response, trailers };

  void begin(Section section, bool of_request) noexcept;
  [[nodiscard]] bool told(std::uint32_t fact) const noexcept { return (facts_ & fact) != 0; }
  void tell(std::uint32_t fact) noexcept { facts_ |= fact; }

  [[nodiscard]] bool pseudo(std::string_view name, std::string_view value) noexcept;
  [[nodiscard]] bool method(std::string_view value) noexcept;
  [[nodiscard]] bool scheme(std::string_view value) noexcept;
  [[nodiscard]] bool path(std::string_view value) noexcept;
  [[nodiscard]] bool authority(std::string_view value, Fact good) noexcept;
  [[nodiscard]] bool read_status(std::string_view value) noexcept;
  [[nodiscard]] Verdict length(std::string_view value) noexcept;

  std::uint64_t length_ = 0;
  std::uint32_t facts_ = 0;
  std::uint16_t status_ = 0;
  Section section_ = Section::request;
  bool of_request_ = true;
  bool extended_ = false;  // an extended CONNECT may come, or is what this answers
};

}  // namespace sallyport::http2
