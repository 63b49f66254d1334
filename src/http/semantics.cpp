#include "sallyport/http/semantics.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>

namespace sallyport::http {

namespace {

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
constexpr bool is_field_byte(char c) {
  return static_cast<unsigned char>(c) >= 0x20 ? c != 0x7F : c == '\t';
}

// ---- Eight octets at a time: most text is sound, and needs no look at each of them.

using Word = std::uint64_t;
constexpr Word kOnes = 0x0101010101010101;
constexpr Word kHighs = 0x8080808080808080;

// Not 0 when an octet is below `bound` <= 0x80. Which one does not show: a borrow runs upwards.
constexpr Word any_below(Word octets, Word bound) {
  return (octets - kOnes * bound) & ~octets & kHighs;
}
constexpr Word any_is(Word octets, char c) {
  return any_below(octets ^ (kOnes * static_cast<Word>(c)), 1);
}
constexpr auto kNoFieldByte = [](Word octets) {  // takes a tab for one
  return any_below(octets, 0x20) | any_is(octets, 0x7F);
};
constexpr auto kNoTargetByte = [](Word octets) {
  return (octets & kHighs) | any_below(octets, 0x21) | any_is(octets, 0x7F) | any_is(octets, '#');
};

template <class T>
T load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Whether `any` finds nothing in a text that is not empty. Words overlap rather than reach beyond it.
template <class Any>
bool none_of_words(std::string_view text, Any any) {
  const char* const p = text.data();
  const std::size_t n = text.size();
  if (n >= sizeof(Word)) {
    Word found = any(load<Word>(p + n - sizeof(Word)));
    for (std::size_t i = 0; i + sizeof(Word) < n; i += sizeof(Word)) found |= any(load<Word>(p + i));
    return found == 0;
  }
  if (n >= sizeof(std::uint32_t)) {
    const Word last = load<std::uint32_t>(p + n - sizeof(std::uint32_t));
    return any(last << 32 | load<std::uint32_t>(p)) == 0;
  }
  const auto octet = [p](std::size_t i) { return static_cast<Word>(static_cast<unsigned char>(p[i])); };
  return any(octet(0) * (kOnes & ~Word{0xFFFF}) | octet(n / 2) << 8 | octet(n - 1)) == 0;
}

// The longest name in DNS, a final dot included.
constexpr std::size_t kHostBytes = 254;

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || !std::all_of(text.begin(), text.end(), is_digit)) return false;
  std::uint32_t port = 0;
  for (const char c : text) port = port * 10 + static_cast<std::uint32_t>(c - '0');
  return port >= 1 && port <= 65535;
}

bool is_ipv6(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> zero_ended{};
  // inet_pton() would stop at a NUL and believe what stands before it.
  if (text.size() >= zero_ended.size() || text.find('\0') != std::string_view::npos) return false;
  std::copy(text.begin(), text.end(), zero_ended.begin());
  in6_addr address;
  return inet_pton(AF_INET6, zero_ended.data(), &address) == 1;
}

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > kHostBytes) return false;
  char previous = '.';
  for (const char c : text) {
    if (c == '.' ? previous == '.' : !is_digit(c) && !is_alpha(c) && c != '-' && c != '_') return false;
    previous = c;
  }
  return true;
}

// RFC 9112 §6.1: a coding that we do not know is another matter than one that hides the end. An
// empty element, a parameter or a quote is how the last one is hidden.
base::ErrorCode verdict_on_coding(std::string_view list) {
  for (std::size_t comma = 0; comma != std::string_view::npos;) {
    comma = list.find(',');
    const std::string_view coding = trim(list.substr(0, comma));
    const bool last = comma == std::string_view::npos;
    if (!is_token(coding) || equals_ignoring_case(coding, "chunked") != last)
      return base::ErrorCode::malformed;
    if (!last) list.remove_prefix(comma + 1);
  }
  return base::ErrorCode::unsupported;
}

}  // namespace

void to_lower(std::span<char> text) noexcept {
  for (char& c : text) c = to_lower(c);
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && to_lower(a[i]) != to_lower(b[i])) return false;
  }
  return true;
}

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_token(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_tchar);
}

bool is_lower_field_name(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return kTokenLower[static_cast<unsigned char>(c)] == c && c != '\0';
  });
}

bool is_field_value(std::string_view text) noexcept {
  if (text.empty()) return true;
  if (is_blank(text.front()) || is_blank(text.back())) return false;
  return none_of_words(text, kNoFieldByte) || std::all_of(text.begin(), text.end(), is_field_byte);
}

bool lists(std::string_view list, std::string_view token) noexcept {
  return !each_item(list, [&](std::string_view item) { return !equals_ignoring_case(item, token); });
}

bool is_authority(std::string_view text) noexcept {
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos || !is_ipv6(text.substr(1, close - 1))) return false;
    text.remove_prefix(close + 1);
    return text.empty() || (text.front() == ':' && is_port(text.substr(1)));
  }
  const std::size_t colon = text.find(':');
  return is_host_name(text.substr(0, colon)) &&
         (colon == std::string_view::npos || is_port(text.substr(colon + 1)));
}

bool is_origin_target(std::string_view text) noexcept {
  return text.starts_with('/') && none_of_words(text, kNoTargetByte);
}

bool is_target(Method method, std::string_view text) noexcept {
  return is_origin_target(text) || (method == Method::options && text == "*");
}

bool is_bodiless(Method request, std::uint16_t status) noexcept {
  return request == Method::head || (status >= 100 && status < 200) || status == 204 || status == 304 ||
         (request == Method::connect && status >= 200 && status < 300);
}

std::optional<std::uint64_t> parse_content_length(std::string_view text) noexcept {
  constexpr std::size_t kDigits = 19;  // cannot wrap in 64 bits
  if (text.empty() || text.size() > kDigits) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (!is_digit(c)) return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (value > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
  return value;
}

base::Result<Framing> message_framing(const Message& message, const Fields& fields) noexcept {
  const auto refuse = [&](base::ErrorCode code) {
    return message.is_request ? base::client_error(code) : base::upstream_error(code);
  };
  const bool coded = fields.has(FieldId::transfer_encoding);
  Framing framing;
  framing.stated = fields.has(FieldId::content_length);
  if (coded) {
    if (framing.stated || message.version == Version::http10 || fields.count(FieldId::transfer_encoding) != 1)
      return refuse(base::ErrorCode::malformed);
    const std::string_view coding = *fields.find(FieldId::transfer_encoding);
    if (!equals_ignoring_case(coding, "chunked")) return refuse(verdict_on_coding(coding));
    framing.by = Framing::By::chunked;
  } else if (framing.stated) {
    const auto length = parse_content_length(*fields.find(FieldId::content_length));
    if (!length || fields.count(FieldId::content_length) != 1) return refuse(base::ErrorCode::malformed);
    framing.length = *length;
    framing.by = Framing::By::length;
  } else if (!message.is_request) {
    framing.by = Framing::By::close;
  }
  if (message.is_request || !is_bodiless(message.method, message.status)) {
    if (framing.by == Framing::By::length && framing.length == 0) framing.by = Framing::By::none;
    return framing;
  }
  // RFC 9112 §6.1 and RFC 9110 §8.6: these may not even speak of a body.
  const bool may_state = message.status >= 200 && message.status != 204;
  if (!may_state && (coded || framing.length != 0)) return refuse(base::ErrorCode::malformed);
  if (!may_state) framing.stated = false;
  framing.by = Framing::By::none;
  return framing;
}

BodySize body_size(const Framing& framing) noexcept {
  switch (framing.by) {
    case Framing::By::chunked:
    case Framing::By::close:
      return {BodySize::Kind::unknown, 0};
    case Framing::By::length:
      return {BodySize::Kind::known, framing.length};
    case Framing::By::none:
      break;
  }
  return framing.stated ? BodySize{BodySize::Kind::known, framing.length} : BodySize{};
}

namespace {

struct OptionCount {
  std::size_t seen = 0;
};

// One Connection option: notes what it says and removes the field that it names.
bool take_option(std::string_view option, Fields& fields, HopByHop& hop, OptionCount& count) {
  if (++count.seen > kConnectionOptions || option.size() > kConnectionOptionBytes || !is_token(option))
    return false;
  std::array<char, kConnectionOptionBytes> lower;
  const std::span<char> text(lower.data(), option.size());
  std::memcpy(text.data(), option.data(), option.size());
  to_lower(text);
  const std::string_view name(text.data(), text.size());
  if (name == "close") {
    hop.close = true;
  } else if (name == "keep-alive") {
    hop.keep_alive = true;
  } else if (name == "upgrade") {
    hop.upgrade = true;
  } else if (name != "te" && name != "connection") {
    fields.remove(name);
  }
  return true;
}

}  // namespace

HopByHop take_hop_by_hop(Fields& fields) noexcept {
  HopByHop hop;
  if (fields.has(FieldId::connection)) {
    OptionCount count;
    // Removing moves no text and no entry, so walking on is safe.
    fields.for_each([&](const Fields::Field& f) {
      if (f.id != FieldId::connection || !hop.valid) return;
      if (equals_ignoring_case(f.value, "keep-alive")) {  // by far the most common
        hop.keep_alive = true;
        return;
      }
      hop.valid = each_item(f.value,
                            [&](std::string_view option) { return take_option(option, fields, hop, count); });
    });
    fields.remove(FieldId::connection);
  }
  if (fields.has(FieldId::te)) {
    fields.for_each([&](const Fields::Field& f) {
      if (f.id == FieldId::te && lists(f.value, "trailers")) hop.te_trailers = true;
    });
    fields.remove(FieldId::te);
  }
  for (const FieldId id : {FieldId::keep_alive, FieldId::proxy_connection, FieldId::transfer_encoding,
                           FieldId::upgrade, FieldId::http2_settings})
    if (fields.has(id)) fields.remove(id);
  return hop;
}

bool collides_by_underscore(std::string_view name, std::span<const std::string> others) {
  if (name.find('_') == std::string_view::npos) return false;
  std::string dashed(name);
  std::replace(dashed.begin(), dashed.end(), '_', '-');
  return field_id(dashed) != FieldId::other || dashed.starts_with("x-forwarded-") ||
         dashed.starts_with("cf-") || std::binary_search(others.begin(), others.end(), dashed);
}

bool tells_of_client_certificate(std::string_view name) noexcept {
  // Asked of every field that has no id: most are told apart by the first letter.
  if (name.size() < 11 || (name[0] != 'c' && name[0] != 'x')) return false;
  constexpr std::string_view kOurs = "x-client-cert";
  const auto begins = [name](std::string_view with) {
    return name.size() >= with.size() && std::equal(with.begin(), with.end(), name.begin(),
                                                    [](char a, char b) { return a == (b == '_' ? '-' : b); });
  };
  const auto is = [&](std::string_view with) { return name.size() == with.size() && begins(with); };
  if (name[0] == 'c') return is("client-cert") || is("client-cert-chain");
  if (is("x-forwarded-client-cert")) return true;
  if (!begins(kOurs)) return false;
  return name.size() == kOurs.size() || name[kOurs.size()] == '-' || name[kOurs.size()] == '_';
}

bool is_forbidden_trailer(std::string_view name, FieldId id) noexcept {
  switch (id) {
    case FieldId::age:
    case FieldId::authorization:
    case FieldId::cache_control:
    case FieldId::cdn_loop:
    case FieldId::connection:
    case FieldId::cookie:
    case FieldId::date:
    case FieldId::expect:
    case FieldId::forwarded:
    case FieldId::host:
    case FieldId::http2_settings:
    case FieldId::keep_alive:
    case FieldId::location:
    case FieldId::max_forwards:
    case FieldId::origin:
    case FieldId::proxy_authenticate:
    case FieldId::proxy_authorization:
    case FieldId::proxy_connection:
    case FieldId::referer:
    case FieldId::retry_after:
    case FieldId::set_cookie:
    case FieldId::te:
    case FieldId::trailer:
    case FieldId::transfer_encoding:
    case FieldId::true_client_ip:
    case FieldId::upgrade:
    case FieldId::via:
    case FieldId::x_real_ip:
    case FieldId::x_request_id:
      return true;
    default:
      break;
  }
  if (tells_of_client_certificate(name)) return true;
  // content-digest is made for trailers (RFC 9530).
  if (name.starts_with("content-")) return name != "content-digest";
  constexpr std::array<std::string_view, 5> kPrefixes = {"if-", "cf-", "x-forwarded-", "sec-",
                                                         "access-control-"};
  constexpr std::array<std::string_view, 7> kWholeNames = {
      "expires", "pragma", "range", "vary", "warning", "set-cookie2", "www-authenticate"};
  return std::any_of(kPrefixes.begin(), kPrefixes.end(), [&](auto p) { return name.starts_with(p); }) ||
         std::find(kWholeNames.begin(), kWholeNames.end(), name) != kWholeNames.end();
}

void strip_forbidden_trailers(Fields& trailers) noexcept {
  trailers.for_each([&](const Fields::Field& f) {
    if (is_forbidden_trailer(f.name, f.id)) trailers.remove(f.name);
  });
}

}  // namespace sallyport::http
