#include "hello_parser.hpp"

#include <algorithm>

#include "extension_types.hpp"

namespace sallyport::tls {

namespace {

using HelloBytes = std::span<std::uint8_t>;

// Takes lengths and pieces off the front; once something does not fit, everything fails.
class HelloCursor {
 public:
  explicit HelloCursor(HelloBytes bytes) noexcept : rest_(bytes) {}

  [[nodiscard]] HelloBytes bytes(std::size_t n) noexcept {
    if (n > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const HelloBytes taken = rest_.first(n);
    rest_ = rest_.subspan(n);
    return taken;
  }
  [[nodiscard]] std::uint8_t u8() noexcept {
    const HelloBytes b = bytes(1);
    return b.empty() ? std::uint8_t{0} : b[0];
  }
  [[nodiscard]] std::uint16_t u16() noexcept {
    const HelloBytes b = bytes(2);
    return b.empty() ? std::uint16_t{0} : static_cast<std::uint16_t>((b[0] << 8) | b[1]);
  }
  [[nodiscard]] HelloBytes prefixed8() noexcept { return bytes(u8()); }
  [[nodiscard]] HelloBytes prefixed16() noexcept { return bytes(u16()); }
  [[nodiscard]] bool ok() const noexcept { return ok_; }
  [[nodiscard]] bool at_end() const noexcept { return ok_ && rest_.empty(); }

 private:
  HelloBytes rest_;
  bool ok_ = true;
};

// A non-empty list of 16-bit values that fills the body.
bool u16_list(HelloCursor cursor, bool one_byte_length, U16View& out) {
  const HelloBytes list = one_byte_length ? cursor.prefixed8() : cursor.prefixed16();
  if (!cursor.at_end() || list.empty() || list.size() % 2 != 0) return false;
  out = U16View(list);
  return true;
}

bool read_alpn(HelloBytes body, ClientHello& hello) {
  HelloCursor cursor(body);
  const HelloBytes list = cursor.prefixed16();
  if (!cursor.at_end() || list.empty()) return false;
  HelloCursor names(list);
  while (!names.at_end()) {
    const bool empty = names.prefixed8().empty();
    if (!names.ok() || empty) return false;
  }
  hello.alpn = AlpnView(list);
  hello.has_alpn = true;
  return true;
}

// May be empty: the client asks for a HelloRetryRequest (RFC 8446 §4.2.8).
bool key_shares(HelloBytes body, ClientHello& hello) {
  HelloCursor cursor(body);
  const HelloBytes list = cursor.prefixed16();
  if (!cursor.at_end()) return false;
  HelloCursor entries(list);
  while (!entries.at_end()) {
    static_cast<void>(entries.u16());
    const bool empty = entries.prefixed16().empty();
    if (!entries.ok() || empty) return false;
  }
  hello.key_share_bytes = list;
  hello.has_key_share = true;
  return true;
}

bool read_server_name(HelloBytes body, ClientHello& hello) {
  ServerName parsed;
  if (!parse_server_name(body, parsed)) return false;
  hello.sni_state = parsed.state;
  if (parsed.state == SniState::valid) {
    hello.sni = {reinterpret_cast<const char*>(parsed.name.data()), parsed.name.size()};
  }
  return true;
}

bool parse_extension(std::uint16_t type, HelloBytes body, ClientHello& hello) {
  switch (type) {
    case kServerName:
      return read_server_name(body, hello);
    case kSupportedGroups:
      return u16_list(HelloCursor(body), false, hello.groups);
    case kSignatureAlgorithms:
      return u16_list(HelloCursor(body), false, hello.signature_algorithms);
    case kSignatureAlgorithmsCert:
      return u16_list(HelloCursor(body), false, hello.signature_algorithms_cert);
    case kSupportedVersions:
      return u16_list(HelloCursor(body), true, hello.supported_versions);
    case kAlpn:
      return read_alpn(body, hello);
    case kKeyShare:
      return key_shares(body, hello);
    case kSessionTicket:
      hello.has_session_ticket = !body.empty();
      return true;
    case kPreSharedKey:
      hello.has_psk = true;
      return true;
    case kEarlyData:
      hello.has_early_data = true;
      return true;
    case kEncryptedClientHello:
      hello.has_ech = true;
      return true;
    default:
      return true;
  }
}

bool parse_extensions(HelloBytes list, ClientHello& hello) {
  std::uint64_t seen = 0;
  bool seen_ech = false;
  HelloCursor cursor(list);
  while (!cursor.at_end()) {
    const std::uint16_t type = cursor.u16();
    const HelloBytes body = cursor.prefixed16();
    if (!cursor.ok()) return false;
    // Twice the same (RFC 8446 §4.2): two SNIs could mean one host to us and another to OpenSSL.
    // Every type that is read here is below 64, ECH apart.
    if (type < 64) {
      const std::uint64_t bit = std::uint64_t{1} << type;
      if ((seen & bit) != 0) return false;
      seen |= bit;
    } else if (type == kEncryptedClientHello) {
      if (seen_ech) return false;
      seen_ech = true;
    }
    if (!parse_extension(type, body, hello)) return false;
    // RFC 8446 §4.2.11: the last one, since its binders cover all before it.
    if (type == kPreSharedKey && !cursor.at_end()) return false;
  }
  hello.extensions = ExtensionView(list);
  return true;
}

}  // namespace

bool parse_server_name(std::span<std::uint8_t> body, ServerName& out) {
  HelloCursor cursor(body);
  HelloCursor list(cursor.prefixed16());
  if (!cursor.at_end()) return false;
  const std::uint8_t name_type = list.u8();
  HelloBytes name = list.prefixed16();
  // Exactly one name, of the only type there is (RFC 6066 §3): OpenSSL takes no other either.
  if (!list.at_end() || name_type != 0 || name.empty()) return false;
  if (name.back() == '.') name = name.first(name.size() - 1);
  out.name = name;
  for (std::uint8_t& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<std::uint8_t>(c + ('a' - 'A'));
  }
  const std::string_view text(reinterpret_cast<const char*>(name.data()), name.size());
  out.state = is_host_name(text) ? SniState::valid : SniState::invalid;
  return true;
}

bool parse_client_hello(std::span<std::uint8_t> body, ClientHello& hello) {
  HelloCursor cursor(body);
  hello.legacy_version = cursor.u16();
  hello.random = cursor.bytes(32);
  hello.session_id = cursor.prefixed8();
  const HelloBytes suites = cursor.prefixed16();
  const HelloBytes compression = cursor.prefixed8();
  if (!cursor.ok() || hello.session_id.size() > 32 || suites.empty() || suites.size() % 2 != 0) return false;
  if (std::find(compression.begin(), compression.end(), 0) == compression.end()) return false;
  hello.cipher_suites = U16View(suites);
  if (cursor.at_end()) return true;  // a 1.2 client without extensions
  const HelloBytes extensions = cursor.prefixed16();
  return cursor.at_end() && parse_extensions(extensions, hello);
}

}  // namespace sallyport::tls
