#include "sallyport/tls/names.hpp"

#include <algorithm>
#include <iterator>

namespace sallyport::tls {

namespace {

constexpr GroupName kGroups[] = {
    {0x001d, "X25519", "X25519", "x25519"},
    {0x0017, "P-256", "P-256", "prime256v1"},
    {0x0017, "P-256", "P-256", "secp256r1"},
    {0x0018, "P-384", "P-384", "secp384r1"},
    {0x0019, "P-521", "P-521", "secp521r1"},
    {0x001e, "X448", "X448", "x448"},
    {0x11ec, "X25519MLKEM768", "X25519MLKEM768", "X25519MLKEM768"},
    {0x11eb, "SecP256r1MLKEM768", "SecP256r1MLKEM768", "SecP256r1MLKEM768"},
    {0x11ed, "SecP384r1MLKEM1024", "SecP384r1MLKEM1024", "SecP384r1MLKEM1024"},
    {0x0200, "MLKEM512", "MLKEM512", "MLKEM512"},
    {0x0201, "MLKEM768", "MLKEM768", "MLKEM768"},
    {0x0202, "MLKEM1024", "MLKEM1024", "MLKEM1024"},
    {0x0100, "ffdhe2048", "ffdhe2048", "ffdhe2048"},
    {0x0101, "ffdhe3072", "ffdhe3072", "ffdhe3072"},
    {0x0102, "ffdhe4096", "ffdhe4096", "ffdhe4096"},
};

struct Word {
  std::uint16_t id;
  std::string_view name;
};

constexpr Word kSignatureSchemes[] = {
    {0x0201, "rsa_pkcs1_sha1"},
    {0x0203, "ecdsa_sha1"},
    {0x0401, "rsa_pkcs1_sha256"},
    {0x0403, "ecdsa_secp256r1_sha256"},
    {0x0501, "rsa_pkcs1_sha384"},
    {0x0503, "ecdsa_secp384r1_sha384"},
    {0x0601, "rsa_pkcs1_sha512"},
    {0x0603, "ecdsa_secp521r1_sha512"},
    {0x0804, "rsa_pss_rsae_sha256"},
    {0x0805, "rsa_pss_rsae_sha384"},
    {0x0806, "rsa_pss_rsae_sha512"},
    {0x0807, "ed25519"},
    {0x0808, "ed448"},
    {0x0809, "rsa_pss_pss_sha256"},
    {0x080a, "rsa_pss_pss_sha384"},
    {0x080b, "rsa_pss_pss_sha512"},
    {0x0904, "mldsa44"},
    {0x0905, "mldsa65"},
    {0x0906, "mldsa87"},
};

constexpr Word kAlerts[] = {
    {0, "close_notify"},
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {22, "record_overflow"},
    {40, "handshake_failure"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {100, "no_renegotiation"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {112, "unrecognized_name"},
    {113, "bad_certificate_status_response"},
    {115, "unknown_psk_identity"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
};

bool same_word(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

template <std::size_t N>
std::string_view word_of(const Word (&table)[N], std::uint16_t id) noexcept {
  const auto* found =
      std::find_if(std::begin(table), std::end(table), [&](const Word& w) { return w.id == id; });
  return found == std::end(table) ? std::string_view() : found->name;
}

}  // namespace

std::string_view to_string(Version version) noexcept {
  switch (version) {
    case Version::none:
      return "none";
    case Version::tls12:
      return "TLSv1.2";
    case Version::tls13:
      return "TLSv1.3";
  }
  return "none";
}

std::string_view to_string(Protocol protocol) noexcept {
  switch (protocol) {
    case Protocol::none:
      return "none";
    case Protocol::http1:
      return "http/1.1";
    case Protocol::h2:
      return "h2";
  }
  return "none";
}

const GroupName* find_group(std::string_view name) noexcept {
  for (const GroupName& group : kGroups) {
    if (same_word(name, group.name) || same_word(name, group.openssl) || same_word(name, group.alias)) {
      return &group;
    }
  }
  return nullptr;
}

const GroupName* find_group(std::uint16_t id) noexcept {
  for (const GroupName& group : kGroups) {
    if (group.id == id) return &group;
  }
  return nullptr;
}

std::vector<std::string_view> group_names() {
  std::vector<std::string_view> names;
  for (const GroupName& group : kGroups) {
    if (names.empty() || names.back() != group.name) names.push_back(group.name);
  }
  return names;
}

std::optional<std::uint16_t> find_signature_scheme(std::string_view name) noexcept {
  const auto* found = std::find_if(std::begin(kSignatureSchemes), std::end(kSignatureSchemes),
                                   [&](const Word& word) { return same_word(word.name, name); });
  if (found == std::end(kSignatureSchemes)) return std::nullopt;
  return found->id;
}

std::vector<std::string_view> signature_scheme_names() {
  std::vector<std::string_view> names;
  for (const Word& word : kSignatureSchemes) names.push_back(word.name);
  return names;
}

std::string_view signature_scheme_name(std::uint16_t id) noexcept {
  return word_of(kSignatureSchemes, id);
}
std::string_view alert_name(std::uint8_t alert) noexcept {
  return word_of(kAlerts, alert);
}

}  // namespace sallyport::tls
