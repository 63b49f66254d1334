#include "head_reader.hpp"

#include <algorithm>

#include "sallyport/base/renew.hpp"
#include "sallyport/http/semantics.hpp"

namespace sallyport::http2 {

using base::ErrorCode;
using http::FieldId;

namespace {

// A section may exceed its limits by this factor and still be answered (431); then it is cut off.
constexpr std::size_t kAnswerable = 4;
constexpr std::size_t kKeptText = 4 * 1024;

}  // namespace

void HeadReader::begin(Section section) noexcept {
  section_ = section;
  switch (section) {
    case Section::request:
      request_.clear();
      request_.version = http::Version::http2;
      break;
    case Section::response:
      response_.clear();
      response_.version = http::Version::http2;
      break;
    case Section::trailers:
      trailers_.clear();
      break;
  }
  cookie_.clear();
  host_ = {};
  due_ = {};
  priority_.reset();
  bytes_ = count_ = 0;
  problem_ = ErrorCode::none;
  has_authority_ = has_host_ = has_cookie_ = has_priority_ = false;
}

void HeadReader::begin_request() noexcept {
  begin(Section::request);
  rules_.begin_request(limits_.enable_connect_protocol);
}

void HeadReader::begin_response(bool tunnel) noexcept {
  begin(Section::response);
  rules_.begin_response(tunnel);
}

void HeadReader::begin_trailers(bool of_request, bool host_told, bool length_told) noexcept {
  begin(Section::trailers);
  rules_.begin_trailers(of_request, host_told, length_told);
}

void HeadReader::trim() noexcept {
  if (bytes_ > kKeptText) release();
}

void HeadReader::release() noexcept {
  base::renew(request_);
  base::renew(response_);
  base::renew(trailers_);
  base::renew(cookie_);
  host_ = {};
}

void HeadReader::refuse(ErrorCode code) noexcept {
  if (problem_ == ErrorCode::none) problem_ = code;
}

bool HeadReader::within_limits(std::string_view name, std::string_view value, FieldId id) noexcept {
  bytes_ += name.size() + value.size();
  const bool pseudo = name.front() == ':';
  // One Cookie field may come in any number of crumbs; `bytes_` bounds them.
  if (!pseudo && (id != FieldId::cookie || !has_cookie_)) ++count_;
  const bool target = pseudo && name == ":path";
  if (target && value.size() > limits_.target_bytes) refuse(ErrorCode::uri_too_long);
  const bool field_fits = target || name.size() + value.size() <= limits_.field_bytes;
  if (!field_fits || bytes_ > limits_.head_bytes || count_ > limits_.fields)
    refuse(ErrorCode::head_too_large);
  return problem_ == ErrorCode::none;
}

HeadReader::Added HeadReader::add(std::string_view name, std::string_view value) {
  const bool pseudo = name.starts_with(':');
  const FieldId id = pseudo ? FieldId::other : http::field_id(name);
  switch (rules_.judge(name, value, id)) {
    case SectionRules::Verdict::malformed:
      return Added::malformed;
    case SectionRules::Verdict::dropped:
      return Added::taken;
    case SectionRules::Verdict::fine:
      break;
  }
  if (!within_limits(name, value, id)) {
    const std::size_t most = kAnswerable * (limits_.head_bytes + limits_.fields * kFieldOverhead);
    return bytes_ + count_ * kFieldOverhead <= most ? Added::taken : Added::flood;
  }
  if (pseudo) {
    add_pseudo(name, value);
    return Added::taken;
  }
  switch (section_) {
    case Section::request:
      add_request_field(name, value, id);
      break;
    case Section::response:
      add_response_field(name, value, id);
      break;
    case Section::trailers:
      trailers_.add(name, value, id);
      break;
  }
  return Added::taken;
}

void HeadReader::add_pseudo(std::string_view name, std::string_view value) {
  if (section_ == Section::response) {
    response_.status = rules_.status();
    return;
  }
  if (name == ":method") {
    request_.set_method(value);
  } else if (name == ":path") {
    request_.set_target(value);
  } else if (name == ":scheme") {
    request_.set_scheme(value);
  } else if (name == ":authority") {
    request_.set_authority(value);
    has_authority_ = true;
  } else {
    request_.set_protocol(value);
  }
}

void HeadReader::add_request_field(std::string_view name, std::string_view value, FieldId id) {
  switch (id) {
    case FieldId::host:
      host_ = request_.fields.store(value);
      has_host_ = true;
      return;
    case FieldId::cookie:
      add_cookie(value);
      return;
    case FieldId::content_length:
      return;  // the rules keep it
    case FieldId::te:
      request_.trailers_ok = true;
      return;
    case FieldId::http2_settings:
      return;  // of an upgrade from HTTP/1.1; means nothing here
    case FieldId::expect:
      if (http::equals_ignoring_case(value, "100-continue")) {
        request_.expects_continue = true;
        return;
      }
      break;
    default:
      if (id == FieldId::other && name == "priority") add_priority(value);
  }
  request_.fields.add(name, value, id);
}

void HeadReader::add_response_field(std::string_view name, std::string_view value, FieldId id) {
  switch (id) {
    case FieldId::content_length:  // the rules keep it
    case FieldId::te:
    case FieldId::http2_settings:
    case FieldId::host:
      return;  // the others mean nothing in a response
    default:
      response_.fields.add(name, value, id);
  }
}

void HeadReader::add_cookie(std::string_view crumb) {
  has_cookie_ = true;
  // An empty one would leave a space at the end, which makes the field malformed further on.
  if (crumb.empty()) return;
  if (!cookie_.empty()) cookie_.append("; ");
  cookie_.append(crumb);
  if (cookie_.size() > limits_.field_bytes) refuse(ErrorCode::head_too_large);
}

// Several lines are one dictionary; if one cannot be read, none counts.
void HeadReader::add_priority(std::string_view line) noexcept {
  const auto so_far = has_priority_ ? priority_ : std::optional(Priority{});
  has_priority_ = true;
  if (so_far) priority_ = read_priority(line, *so_far);
}

// Host says the same as :authority, or stands in for it (RFC 9113 §8.3.1).
bool HeadReader::settle_authority() {
  if (!has_authority_) {
    request_.set_authority(request_.fields.view(host_));
    return true;
  }
  return !has_host_ || http::equals_ignoring_case(request_.fields.view(host_), request_.authority());
}

// Hosts are looked up in lower case (RFC 9110 §4.2.3); most clients send nothing else.
void HeadReader::lower_authority() {
  const std::string_view sent = request_.authority();
  if (std::none_of(sent.begin(), sent.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) return;
  std::string lower(sent);
  http::to_lower(lower);
  request_.set_authority(lower);
}

HeadReader::Outcome HeadReader::finish_request(bool end) {
  const std::optional<std::uint64_t> length = rules_.length();
  if (!rules_.is_request() || (end && length.value_or(0) != 0)) return Outcome::reset;
  if (length) due_ = {http::BodySize::Kind::known, *length};
  if (problem_ != ErrorCode::none) return Outcome::refused;
  if (!settle_authority()) return Outcome::reset;

  const bool connect = request_.method == http::Method::connect;
  if (connect) {
    // RFC 8441 gives :protocol to CONNECT; a tunnel to anywhere is no business of a gateway.
    if (request_.protocol() != "websocket") {
      refuse(ErrorCode::unsupported);
      return Outcome::refused;
    }
    request_.method = http::Method::get;
  }
  const bool https = http::equals_ignoring_case(request_.scheme(), "https");
  if (!https && !http::equals_ignoring_case(request_.scheme(), "http")) {
    refuse(ErrorCode::malformed);
    return Outcome::refused;
  }
  request_.set_scheme(https ? "https" : "http");
  if (!rules_.authority_serves() || !rules_.target_serves()) {
    refuse(ErrorCode::malformed);
    return Outcome::refused;
  }
  lower_authority();
  if (!cookie_.empty()) request_.fields.add(FieldId::cookie, cookie_);
  if (connect) return Outcome::good;
  if (length || !end) request_.body = length ? due_ : http::BodySize{http::BodySize::Kind::unknown, 0};
  return Outcome::good;
}

HeadReader::Outcome HeadReader::finish_response(http::Method method, bool end) {
  const std::uint16_t status = rules_.status();
  const std::optional<std::uint64_t> length = rules_.length();
  const bool opens_tunnel = method == http::Method::connect && status >= 200 && status < 300;
  const bool bodiless = opens_tunnel ? status == 204 : http::is_bodiless(method, status);
  // An interim response announces another.
  if (status == 0 || (end && (status < 200 || (!bodiless && length.value_or(0) != 0)))) return Outcome::reset;
  if (bodiless || length) due_ = {http::BodySize::Kind::known, bodiless ? 0 : *length};
  if (problem_ != ErrorCode::none) return Outcome::refused;
  if (opens_tunnel) {
    response_.status = 101;
  } else if (length) {
    response_.body = {http::BodySize::Kind::known, *length};
  } else if (!bodiless && !end) {
    response_.body = {http::BodySize::Kind::unknown, 0};
  }
  return Outcome::good;
}

HeadReader::Outcome HeadReader::finish_trailers(bool end, std::uint64_t received) {
  if (!end || rules_.length().value_or(received) != received) return Outcome::reset;
  if (problem_ != ErrorCode::none) return Outcome::refused;
  http::strip_forbidden_trailers(trailers_);
  return Outcome::good;
}

}  // namespace sallyport::http2
