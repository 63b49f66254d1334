#include "section_rules.hpp"

#include <algorithm>
#include <array>

#include "sallyport/http/semantics.hpp"

namespace sallyport::http2 {

using http::FieldId;

namespace {

// What RFC 3986 §3.2 lets stand in an authority. A name that we serve is much narrower; what is
// merely no such name is answered, not reset.
constexpr std::array<bool, 256> kAuthorityOctets = [] {
  std::array<bool, 256> t{};
  for (const char c : std::string_view("!$%&'()*+,-.:;=@[]_~0123456789"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
    t[static_cast<unsigned char>(c)] = true;
  return t;
}();

constexpr bool is_letter(char c) noexcept {
  return http::to_lower(c) >= 'a' && http::to_lower(c) <= 'z';
}
constexpr bool is_scheme_octet(char c) noexcept {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}
constexpr bool is_path_octet(char c) noexcept {
  return static_cast<unsigned char>(c) > 0x20 && c != 0x7F;
}

}  // namespace

void SectionRules::begin(Section section, bool of_request) noexcept {
  section_ = section;
  of_request_ = of_request;
  extended_ = false;
  facts_ = 0;
  status_ = 0;
  length_ = 0;
}

void SectionRules::begin_request(bool protocol) noexcept {
  begin(Section::request, true);
  extended_ = protocol;
}

void SectionRules::begin_response(bool tunnel) noexcept {
  begin(Section::response, false);
  extended_ = tunnel;
}

void SectionRules::begin_trailers(bool of_request, bool host_told, bool length_told) noexcept {
  begin(Section::trailers, of_request);
  if (host_told) tell(kHost);
  if (length_told) tell(kLengthOfHead);
}

SectionRules::Verdict SectionRules::judge(std::string_view name, std::string_view value,
                                          FieldId id) noexcept {
  const auto only_if = [](bool holds) { return holds ? Verdict::fine : Verdict::malformed; };
  if (name.starts_with(':')) return only_if(pseudo(name, value));
  tell(kRegular);
  switch (id) {
    case FieldId::other:
      return only_if(http::is_lower_field_name(name) && http::is_field_value(value));
    // Concern one connection, and HTTP/2 has none of them (RFC 9113 §8.2.2).
    case FieldId::connection:
    case FieldId::keep_alive:
    case FieldId::proxy_connection:
    case FieldId::transfer_encoding:
    case FieldId::upgrade:
      return Verdict::malformed;
    case FieldId::te:
      return only_if(http::equals_ignoring_case(value, "trailers"));
    case FieldId::content_length:
      return length(value);
    case FieldId::host:
      if (!of_request_) break;
      if (told(kHost) || value.empty()) return Verdict::malformed;
      tell(kHost);
      return only_if(authority(value, kGoodHost));
    default:
      break;
  }
  return only_if(http::is_field_value(value));
}

bool SectionRules::pseudo(std::string_view name, std::string_view value) noexcept {
  // In front of all others, each once, and none in trailers (RFC 9113 §8.3).
  if (section_ == Section::trailers || told(kRegular) || value.empty()) return false;
  const auto first = [this](Fact which) {
    const bool is_new = !told(which);
    tell(which);
    return is_new;
  };
  if (section_ == Section::response) return name == ":status" && first(kStatus) && read_status(value);
  if (name == ":method") return first(kMethod) && method(value);
  if (name == ":path") return first(kPath) && path(value);
  if (name == ":scheme") return first(kScheme) && scheme(value);
  if (name == ":authority") return first(kAuthority) && authority(value, kGoodAuthority);
  return name == ":protocol" && extended_ && first(kProtocol) && http::is_field_value(value);
}

bool SectionRules::method(std::string_view value) noexcept {
  switch (http::method_of(value)) {
    case http::Method::other:
      return http::is_token(value);
    case http::Method::connect:
      tell(kConnect);
      return true;
    case http::Method::options:
      tell(kOptions);
      return true;
    default:
      return true;
  }
}

bool SectionRules::scheme(std::string_view value) noexcept {
  if (http::equals_ignoring_case(value, "https") || http::equals_ignoring_case(value, "http")) {
    tell(kHttpScheme);
    return true;
  }
  return is_letter(value.front()) && std::all_of(value.begin(), value.end(), is_scheme_octet);
}

bool SectionRules::path(std::string_view value) noexcept {
  if (http::is_origin_target(value)) {
    tell(kSlash | kOriginTarget);
    return true;
  }
  if (value.front() == '/') tell(kSlash);
  if (value == "*") tell(kAsterisk);
  return std::all_of(value.begin(), value.end(), is_path_octet);
}

bool SectionRules::authority(std::string_view value, Fact good) noexcept {
  if (http::is_authority(value)) {
    tell(good);
    return true;
  }
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return kAuthorityOctets[static_cast<unsigned char>(c)]; });
}

bool SectionRules::read_status(std::string_view value) noexcept {
  if (value.size() != 3) return false;
  unsigned status = 0;
  for (const char c : value) {
    if (c < '0' || c > '9') return false;
    status = status * 10 + static_cast<unsigned>(c - '0');
  }
  status_ = static_cast<std::uint16_t>(status);
  // HTTP/2 has no upgrade within a connection (RFC 9113 §8.6).
  return status >= 100 && status != 101;
}

SectionRules::Verdict SectionRules::length(std::string_view value) noexcept {
  if (section_ == Section::response) {
    if (status_ < 200 && status_ != 0) return Verdict::malformed;  // RFC 9110 §8.6
    // Neither may have one, and servers send a 0 with a 204.
    if (status_ == 204) {
      if (value != "0" || told(kLengthOf204)) return Verdict::malformed;
      tell(kLengthOf204);
      return Verdict::dropped;
    }
    if (extended_ && status_ < 300 && status_ != 0)
      return http::is_field_value(value) ? Verdict::dropped : Verdict::malformed;
  }
  const auto n = http::parse_content_length(value);
  if (!n || told(kLength | kLengthOfHead)) return Verdict::malformed;
  tell(kLength);
  length_ = *n;
  return Verdict::fine;
}

bool SectionRules::is_request() const noexcept {
  if (told(kConnect) && !told(kProtocol)) return told(kAuthority) && !told(kScheme | kPath);
  if (!told(kMethod) || !told(kScheme) || !told(kPath) || !told(kAuthority | kHost)) return false;
  if (told(kProtocol) && !(told(kConnect) && told(kAuthority))) return false;
  return !told(kHttpScheme) || told(kSlash) || (told(kOptions) && told(kAsterisk));
}

}  // namespace sallyport::http2
