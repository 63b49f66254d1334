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

// Concern one connection: malformed in HTTP/2, which has none of them (RFC 9113 §8.2.2).
bool is_connection_specific(FieldId id) noexcept {
  switch (id) {
    case FieldId::connection:
    case FieldId::keep_alive:
    case FieldId::proxy_connection:
    case FieldId::transfer_encoding:
    case FieldId::upgrade:
      return true;
    default:
      return false;
  }
}

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
  content_length_ = bytes_ = count_ = 0;
  problem_ = ErrorCode::none;
  malformed_ = has_authority_ = has_host_ = has_cookie_ = has_content_length_ = has_priority_ = false;
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

http::Fields& HeadReader::fields() noexcept {
  switch (section_) {
    case Section::request:
      return request_.fields;
    case Section::response:
      return response_.fields;
    case Section::trailers:
      break;
  }
  return trailers_;
}

void HeadReader::refuse(ErrorCode code) noexcept {
  if (problem_ == ErrorCode::none) problem_ = code;
}

bool HeadReader::within_limits(std::string_view name, std::string_view value) noexcept {
  bytes_ += name.size() + value.size();
  // One Cookie field may come in any number of crumbs; `bytes_` bounds them.
  if (name.front() != ':' && (name != "cookie" || !has_cookie_)) ++count_;
  const bool target = name == ":path";
  if (target && value.size() > limits_.target_bytes) refuse(ErrorCode::uri_too_long);
  const bool field_fits = target || name.size() + value.size() <= limits_.field_bytes;
  if (!field_fits || bytes_ > limits_.head_bytes || count_ > limits_.fields)
    refuse(ErrorCode::head_too_large);
  return problem_ == ErrorCode::none;
}

bool HeadReader::add(std::string_view name, std::string_view value) {
  if (!within_limits(name, value)) {
    return bytes_ + count_ * kFieldOverhead <=
           kAnswerable * (limits_.head_bytes + limits_.fields * kFieldOverhead);
  }
  if (name.front() == ':') {
    add_pseudo(name, value);
    return true;
  }
  const FieldId id = http::field_id(name);
  if (is_connection_specific(id)) {
    malformed_ = true;
    return true;
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
  return true;
}

void HeadReader::add_pseudo(std::string_view name, std::string_view value) {
  if (section_ == Section::response) {
    // Three digits, as nghttp2 saw to.
    std::uint16_t status = 0;
    for (const char c : value) status = static_cast<std::uint16_t>(status * 10 + (c - '0'));
    response_.status = status;
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
      add_content_length(value);
      return;
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
      has_priority_ = has_priority_ || (id == FieldId::other && name == "priority");
  }
  request_.fields.add(name, value, id);
}

void HeadReader::add_response_field(std::string_view name, std::string_view value, FieldId id) {
  switch (id) {
    case FieldId::content_length:
      add_content_length(value);
      return;
    case FieldId::te:
    case FieldId::http2_settings:
    case FieldId::host:
      return;  // mean nothing in a response
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

void HeadReader::add_content_length(std::string_view value) noexcept {
  const auto length = http::parse_content_length(value);
  if (!length || has_content_length_) {
    malformed_ = true;
    return;
  }
  content_length_ = *length;
  has_content_length_ = true;
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
  if (malformed_) return Outcome::reset;
  if (problem_ != ErrorCode::none) return Outcome::refused;
  if (!settle_authority() || (end && content_length_ != 0)) return Outcome::reset;

  const bool connect = request_.method == http::Method::connect;
  if (connect) {
    // RFC 8441 gives :protocol to CONNECT; a tunnel to anywhere is no business of a gateway.
    if (request_.protocol() != "websocket") {
      refuse(ErrorCode::unsupported);
      return Outcome::refused;
    }
    request_.method = http::Method::get;
    has_content_length_ = false;
  }
  const bool https = http::equals_ignoring_case(request_.scheme(), "https");
  if (!https && !http::equals_ignoring_case(request_.scheme(), "http")) {
    refuse(ErrorCode::malformed);
    return Outcome::refused;
  }
  request_.set_scheme(https ? "https" : "http");
  if (!http::is_authority(request_.authority()) || !http::is_target(request_.method, request_.target())) {
    refuse(ErrorCode::malformed);
    return Outcome::refused;
  }
  lower_authority();
  if (!cookie_.empty()) request_.fields.add(FieldId::cookie, cookie_);
  if (has_content_length_) {
    request_.body = {http::BodySize::Kind::known, content_length_};
  } else if (!end && !connect) {
    request_.body = {http::BodySize::Kind::unknown, 0};
  }
  return Outcome::good;
}

HeadReader::Outcome HeadReader::finish_response(http::Method method, bool tunnel, bool end) {
  if (malformed_ || response_.status < 100) return Outcome::reset;
  if (problem_ != ErrorCode::none) return Outcome::refused;
  if (tunnel && response_.status >= 200 && response_.status < 300) {
    response_.status = 101;
    return Outcome::good;
  }
  if (http::is_bodiless(method, response_.status)) {
    if (has_content_length_) response_.body = {http::BodySize::Kind::known, content_length_};
    return Outcome::good;
  }
  if (end && content_length_ != 0) return Outcome::reset;
  if (has_content_length_) {
    response_.body = {http::BodySize::Kind::known, content_length_};
  } else if (!end) {
    response_.body = {http::BodySize::Kind::unknown, 0};
  }
  return Outcome::good;
}

HeadReader::Outcome HeadReader::finish_trailers() {
  if (malformed_) return Outcome::reset;
  if (problem_ != ErrorCode::none) return Outcome::refused;
  http::strip_forbidden_trailers(trailers_);
  return Outcome::good;
}

}  // namespace sallyport::http2
