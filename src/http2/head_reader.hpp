// Makes a neutral head (http/head.hpp) or a trailer section of the fields of one HEADERS frame
// and its CONTINUATIONs, and judges it: RFC 9113 §8 (section_rules.hpp), and our limits.
//
// One a codec, for a connection carries one field section at a time; its memory is recycled.
// Nothing has looked at the fields before: HPACK carries any octets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/base/error.hpp"
#include "sallyport/http/head.hpp"
#include "sallyport/http2/codec.hpp"

#include "priority.hpp"
#include "section_rules.hpp"

namespace sallyport::http2 {

// What a field costs beside its text, in SETTINGS_MAX_HEADER_LIST_SIZE's measure (RFC 9113 §6.5.2).
inline constexpr std::size_t kFieldOverhead = 32;

class HeadReader {
 public:
  enum class Section : std::uint8_t { request, response, trailers };
  enum class Added : std::uint8_t {
    taken,
    malformed,
    // The section is so far over its limits that the rest is not to be looked at (an indexed field
    // costs its sender one octet and us its whole length).
    flood,
  };
  enum class Outcome : std::uint8_t {
    good,
    reset,    // malformed: the stream must be reset (RFC 9113 §8.1.1)
    refused,  // sound, but not served: problem() says why
  };

  explicit HeadReader(const Settings& limits) noexcept : limits_(limits) {}

  void begin_request() noexcept;
  // `tunnel`: of an extended CONNECT.
  void begin_response(bool tunnel) noexcept;
  // What the head of that message told before.
  void begin_trailers(bool of_request, bool host_told, bool length_told) noexcept;
  [[nodiscard]] Section section() const noexcept { return section_; }

  // The next field. None may follow one that was not taken.
  [[nodiscard]] Added add(std::string_view name, std::string_view value);

  // After the last field. `end`: the frame bore END_STREAM. `received`: octets of the body.
  [[nodiscard]] Outcome finish_request(bool end);
  [[nodiscard]] Outcome finish_response(http::Method method, bool end);
  [[nodiscard]] Outcome finish_trailers(bool end, std::uint64_t received);

  [[nodiscard]] base::ErrorCode problem() const noexcept { return problem_; }
  // After finish_request() and finish_response(), unless they said reset: how much DATA must come,
  // if that is `known` (RFC 9113 §8.1.1). Unlike the head's own body it holds for what is refused,
  // and is 0 where a length speaks of a body that is left out.
  [[nodiscard]] http::BodySize due() const noexcept { return due_; }
  [[nodiscard]] bool host_told() const noexcept { return rules_.host_told(); }
  // The request had a `priority` field (RFC 9218), and what it says if it can be read.
  [[nodiscard]] bool has_priority() const noexcept { return has_priority_; }
  [[nodiscard]] std::optional<Priority> priority() const noexcept { return priority_; }

  // What was read; copy it, which makes one block of exact size of what grew here by doubling.
  [[nodiscard]] const http::RequestHead& request() const noexcept { return request_; }
  [[nodiscard]] const http::ResponseHead& response() const noexcept { return response_; }
  [[nodiscard]] const http::Fields& trailers() const noexcept { return trailers_; }
  // Gives memory back that an unusually large section took.
  void trim() noexcept;
  // All of it, between two sections.
  void release() noexcept;

 private:
  void begin(Section section) noexcept;
  [[nodiscard]] bool within_limits(std::string_view name, std::string_view value, http::FieldId id) noexcept;
  void refuse(base::ErrorCode code) noexcept;
  void add_pseudo(std::string_view name, std::string_view value);
  void add_request_field(std::string_view name, std::string_view value, http::FieldId id);
  void add_response_field(std::string_view name, std::string_view value, http::FieldId id);
  void add_cookie(std::string_view crumb);
  void add_priority(std::string_view line) noexcept;
  [[nodiscard]] bool settle_authority();
  void lower_authority();

  const Settings& limits_;
  http::RequestHead request_;
  http::ResponseHead response_;
  http::Fields trailers_;
  std::string cookie_;  // crumbs, joined (RFC 9113 §8.2.3)
  http::Fields::Slice host_;
  SectionRules rules_;
  std::optional<Priority> priority_;
  http::BodySize due_;
  std::size_t bytes_ = 0;  // of names and values
  std::size_t count_ = 0;
  Section section_ = Section::request;
  base::ErrorCode problem_ = base::ErrorCode::none;
  bool has_authority_ = false;
  bool has_host_ = false;
  bool has_cookie_ = false;
  bool has_priority_ = false;
};

}  // namespace sallyport::http2
