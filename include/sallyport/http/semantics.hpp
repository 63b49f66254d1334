// What HTTP means whichever version carries it: who may stand where, and where a body ends.
//
// Pure functions over text and Fields, shared by HTTP/1.1 and HTTP/2 and by both sides, so that
// no rule has two readings (two readings of one message are what request smuggling lives on).
// RFC 9110 §5 (fields), §6.5 (trailers), §7.6.1 (hop-by-hop); RFC 9112 §6.3 (body length);
// RFC 3986 §3.2 (authority). Nothing here throws, keeps state or allocates beyond a Fields arena.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sallyport/base/error.hpp"
#include "sallyport/http/fields.hpp"
#include "sallyport/http/head.hpp"

namespace sallyport::http {

// ---- Characters -----------------------------------------------------------------------------

// By byte: the lower-case form of a tchar (RFC 9110 §5.6.2), 0 for what no token may hold.
inline constexpr std::array<char, 256> kTokenLower = [] {
  std::array<char, 256> t{};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"))
    t[static_cast<unsigned char>(c)] = c;
  for (char c = 'A'; c <= 'Z'; ++c) t[static_cast<unsigned char>(c)] = static_cast<char>(c - 'A' + 'a');
  return t;
}();

[[nodiscard]] constexpr bool is_tchar(char c) noexcept {
  return kTokenLower[static_cast<unsigned char>(c)] != 0;
}
[[nodiscard]] constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
void to_lower(std::span<char> text) noexcept;
// ASCII only.
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;
// Without spaces and tabs at either end.
[[nodiscard]] std::string_view trim(std::string_view text) noexcept;

// A method, a field name: one or more tchars.
[[nodiscard]] bool is_token(std::string_view text) noexcept;
// As HTTP/2 wants names: a token without upper-case letters.
[[nodiscard]] bool is_lower_field_name(std::string_view text) noexcept;
// No control but tab, no DEL, no space or tab at either end. Bytes above 0x7F pass: they are
// obs-text, which recipients carry as opaque (RFC 9110 §5.5).
[[nodiscard]] bool is_field_value(std::string_view text) noexcept;

// Calls f with each non-empty element of a comma-separated list; stops and returns false when f
// does. Commas inside quotes split too: right for lists of tokens, which is all that we read.
template <class F>
bool each_item(std::string_view list, F&& f) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view item = trim(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
    if (!item.empty() && !f(item)) return false;
  }
  return true;
}
[[nodiscard]] bool lists(std::string_view list, std::string_view token) noexcept;

// ---- Where a request goes -------------------------------------------------------------------

// host[:port] as we let it pass, in either case: labels of letters, digits, '-' and '_', or an
// IPv4 or bracketed IPv6 address; a port of 1-65535. No userinfo, no zone, no percent-encoding,
// no empty label (one final dot may stand). Narrower than RFC 3986 on purpose: routing, SNI,
// logs and origins must all read the same name.
[[nodiscard]] bool is_authority(std::string_view text) noexcept;
// "/…" of visible ASCII without '#'. Dot segments and escapes are the path rules' business.
[[nodiscard]] bool is_origin_target(std::string_view text) noexcept;
// Origin form, or "*" for OPTIONS.
[[nodiscard]] bool is_target(Method method, std::string_view text) noexcept;

// ---- Where a body ends ----------------------------------------------------------------------

// Never a body, whatever the fields say: an answer to HEAD, 1xx, 204, 304, 2xx to CONNECT.
[[nodiscard]] bool is_bodiless(Method request, std::uint16_t status) noexcept;
// 1 to 19 digits and nothing else, at most 2^63-1, so that no recipient can see it wrap.
[[nodiscard]] std::optional<std::uint64_t> parse_content_length(std::string_view text) noexcept;

struct Framing {
  enum class By : std::uint8_t { none, length, chunked, close };
  By by = By::none;
  // Of the body, or with `none` of what a bodiless response (HEAD, 304) says of its
  // representation, if `stated`.
  std::uint64_t length = 0;
  bool stated = false;  // Content-Length was there
};

// One head's part in the decision.
struct Message {
  bool is_request = true;
  Version version = Version::http11;
  Method method = Method::get;  // of the request, also when this is its response
  std::uint16_t status = 0;     // of a response
};

// The one place where a body's length is decided (RFC 9112 §6.3), for both directions and both
// sides, stricter than the RFC lets us be lenient:
//   Content-Length twice, listed, equal or not, signed, hex, empty, too big   malformed
//   Content-Length beside Transfer-Encoding; Transfer-Encoding in HTTP/1.0    malformed
//   Transfer-Encoding whose last coding is not chunked, twice, obfuscated     malformed
//   well-formed codings before a final chunked                                unsupported
//   a length or a coding on 1xx and 204 (Content-Length: 0 is let through)    malformed
[[nodiscard]] base::Result<Framing> message_framing(const Message& message, const Fields& fields) noexcept;

// What a head says of its body, for the neutral form. A bodiless response keeps its stated
// length: {known, n} together with end.
[[nodiscard]] BodySize body_size(const Framing& framing) noexcept;

// ---- Fields that concern one hop ------------------------------------------------------------

// More options in Connection fields than anyone needs: each costs a walk over all fields.
inline constexpr std::size_t kConnectionOptions = 32;
inline constexpr std::size_t kConnectionOptionBytes = 128;

struct HopByHop {
  bool valid = true;  // false: an option is no token, or there are too many; treat as malformed
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;      // Connection lists "upgrade"
  bool te_trailers = false;  // TE lists "trailers"
};
// Removes Connection, every field that it lists, Keep-Alive, Proxy-Connection, TE,
// Transfer-Encoding, Upgrade and HTTP2-Settings (RFC 9110 §7.6.1), and tells what they said.
// Trailer stays. Read framing, Host and Upgrade before.
HopByHop take_hop_by_hop(Fields& fields) noexcept;

// Whether a name, in lower case, holds an underscore and is, with '-' for each, one of `others`
// (sorted, dashes only) or one that we read or write. RFC 3875 §4.1.18 makes both one variable, so
// an origin behind CGI, WSGI or Rack would take the client's field for ours.
[[nodiscard]] bool collides_by_underscore(std::string_view name, std::span<const std::string> others);

// Client-Cert, Client-Cert-Chain (RFC 9440), X-Forwarded-Client-Cert, X-Client-Cert and X-Client-Cert-…,
// with '_' for any '-' as well: who reads one of them takes the client for whom it names, so only we may
// write it. The name is lower case.
[[nodiscard]] bool tells_of_client_certificate(std::string_view name) noexcept;

// May not stand in a trailer section (RFC 9110 §6.5.1): framing, routing, authentication,
// request modifiers, content format, and whatever tells who the client is. The name is lower case.
[[nodiscard]] bool is_forbidden_trailer(std::string_view name, FieldId id) noexcept;
// Removes those.
void strip_forbidden_trailers(Fields& trailers) noexcept;

}  // namespace sallyport::http
