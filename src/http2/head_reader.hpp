// Makes a neutral head (http/head.hpp) or a trailer section of the fields of one HEADERS frame
// and its CONTINUATIONs, and judges it: RFC 9113 §8 beyond what nghttp2 checks, and our limits.
//
// One a codec, for a connection carries one field section at a time; its memory is recycled.
// nghttp2 has already refused: names that are no lower-case tokens, values with controls or outer
// spaces, unknown, repeated, late or missing pseudo-fields, connection-specific fields, a `te`
// other than "trailers", a repeated or unreadable content-length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "sallyport/base/error.hpp"
#include "sallyport/http/head.hpp"
#include "sallyport/http2/codec.hpp"

namespace sallyport::http2 {

// What a field costs beside its text, in SETTINGS_MAX_HEADER_LIST_SIZE's measure (RFC 9113 §6.5.2).
inline constexpr std::size_t kFieldOverhead = 32;

class HeadReader {
 public:
  enum class Section : std::uint8_t { request, response, trailers };
  enum class Outcome : std::uint8_t {
    good,
    reset,    // malformed: the stream must be reset (RFC 9113 §8.1.1)
    refused,  // sound, but not served: problem() says why
  };

  explicit HeadReader(const Settings& limits) noexcept : limits_(limits) {}

  void begin(Section section) noexcept;
  [[nodiscard]] Section section() const noexcept { return section_; }

  // The next field. False: the section is so far over its limits that the rest is not to be
  // looked at (an indexed field costs its sender one octet and us its whole length).
  [[nodiscard]] bool add(std::string_view name, std::string_view value);
  // A field that nghttp2 would have dropped.
  void add_invalid() noexcept { malformed_ = true; }

  // After the last field. `end`: the frame bore END_STREAM.
  [[nodiscard]] Outcome finish_request(bool end);
  [[nodiscard]] Outcome finish_response(http::Method method, bool tunnel, bool end);
  [[nodiscard]] Outcome finish_trailers();

  [[nodiscard]] base::ErrorCode problem() const noexcept { return problem_; }
  // The request had a `priority` field (RFC 9218).
  [[nodiscard]] bool has_priority() const noexcept { return has_priority_; }

  // What was read; copy it, which makes one block of exact size of what grew here by doubling.
  [[nodiscard]] const http::RequestHead& request() const noexcept { return request_; }
  [[nodiscard]] const http::ResponseHead& response() const noexcept { return response_; }
  [[nodiscard]] const http::Fields& trailers() const noexcept { return trailers_; }
  // Gives memory back that an unusually large section took.
  void trim() noexcept;
  // All of it, between two sections.
  void release() noexcept;

 private:
  [[nodiscard]] http::Fields& fields() noexcept;
  [[nodiscard]] bool within_limits(std::string_view name, std::string_view value) noexcept;
  void refuse(base::ErrorCode code) noexcept;
  void add_pseudo(std::string_view name, std::string_view value);
  void add_request_field(std::string_view name, std::string_view value, http::FieldId id);
  void add_response_field(std::string_view name, std::string_view value, http::FieldId id);
  void add_cookie(std::string_view crumb);
  void add_content_length(std::string_view value) noexcept;
  [[nodiscard]] bool settle_authority();
  void lower_authority();

  const Settings& limits_;
  http::RequestHead request_;
  http::ResponseHead response_;
  http::Fields trailers_;
  std::string cookie_;  // crumbs, joined (RFC 9113 §8.2.3)
  http::Fields::Slice host_;
  std::uint64_t content_length_ = 0;
  std::size_t bytes_ = 0;  // of names and values
  std::size_t count_ = 0;
  Section section_ = Section::request;
  base::ErrorCode problem_ = base::ErrorCode::none;
  bool malformed_ = false;
  bool has_authority_ = false;
  bool has_host_ = false;
  bool has_cookie_ = false;
  bool has_content_length_ = false;
  bool has_priority_ = false;
};

}  // namespace sallyport::http2
