#include "suites.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include "sallyport/config/cloudflare.hpp"

namespace sallyport::tls {

namespace {

struct Suite {
  std::uint16_t id;
  std::string_view name;
};

// By number (IANA TLS Cipher Suites), OpenSSL's names.
constexpr Suite kSuites[] = {
    {0x0004, "RC4-MD5"},
    {0x0005, "RC4-SHA"},
    {0x000a, "DES-CBC3-SHA"},
    {0x0016, "DHE-RSA-DES-CBC3-SHA"},
    {0x002f, "AES128-SHA"},
    {0x0032, "DHE-DSS-AES128-SHA"},
    {0x0033, "DHE-RSA-AES128-SHA"},
    {0x0035, "AES256-SHA"},
    {0x0038, "DHE-DSS-AES256-SHA"},
    {0x0039, "DHE-RSA-AES256-SHA"},
    {0x003c, "AES128-SHA256"},
    {0x003d, "AES256-SHA256"},
    {0x0040, "DHE-DSS-AES128-SHA256"},
    {0x0041, "CAMELLIA128-SHA"},
    {0x0045, "DHE-RSA-CAMELLIA128-SHA"},
    {0x0067, "DHE-RSA-AES128-SHA256"},
    {0x006a, "DHE-DSS-AES256-SHA256"},
    {0x006b, "DHE-RSA-AES256-SHA256"},
    {0x0084, "CAMELLIA256-SHA"},
    {0x0088, "DHE-RSA-CAMELLIA256-SHA"},
    {0x009c, "AES128-GCM-SHA256"},
    {0x009d, "AES256-GCM-SHA384"},
    {0x009e, "DHE-RSA-AES128-GCM-SHA256"},
    {0x009f, "DHE-RSA-AES256-GCM-SHA384"},
    {0x00a2, "DHE-DSS-AES128-GCM-SHA256"},
    {0x00a3, "DHE-DSS-AES256-GCM-SHA384"},
    {0x00ba, "CAMELLIA128-SHA256"},
    {0x00be, "DHE-RSA-CAMELLIA128-SHA256"},
    {0x00c0, "CAMELLIA256-SHA256"},
    {0x00c4, "DHE-RSA-CAMELLIA256-SHA256"},
    {0x1301, "TLS_AES_128_GCM_SHA256"},
    {0x1302, "TLS_AES_256_GCM_SHA384"},
    {0x1303, "TLS_CHACHA20_POLY1305_SHA256"},
    {0x1304, "TLS_AES_128_CCM_SHA256"},
    {0x1305, "TLS_AES_128_CCM_8_SHA256"},
    {0xc007, "ECDHE-ECDSA-RC4-SHA"},
    {0xc008, "ECDHE-ECDSA-DES-CBC3-SHA"},
    {0xc009, "ECDHE-ECDSA-AES128-SHA"},
    {0xc00a, "ECDHE-ECDSA-AES256-SHA"},
    {0xc011, "ECDHE-RSA-RC4-SHA"},
    {0xc012, "ECDHE-RSA-DES-CBC3-SHA"},
    {0xc013, "ECDHE-RSA-AES128-SHA"},
    {0xc014, "ECDHE-RSA-AES256-SHA"},
    {0xc023, "ECDHE-ECDSA-AES128-SHA256"},
    {0xc024, "ECDHE-ECDSA-AES256-SHA384"},
    {0xc027, "ECDHE-RSA-AES128-SHA256"},
    {0xc028, "ECDHE-RSA-AES256-SHA384"},
    {0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"},
    {0xc030, "ECDHE-RSA-AES256-GCM-SHA384"},
    {0xc050, "ARIA128-GCM-SHA256"},
    {0xc051, "ARIA256-GCM-SHA384"},
    {0xc052, "DHE-RSA-ARIA128-GCM-SHA256"},
    {0xc053, "DHE-RSA-ARIA256-GCM-SHA384"},
    {0xc05c, "ECDHE-ECDSA-ARIA128-GCM-SHA256"},
    {0xc05d, "ECDHE-ECDSA-ARIA256-GCM-SHA384"},
    {0xc060, "ECDHE-ARIA128-GCM-SHA256"},
    {0xc061, "ECDHE-ARIA256-GCM-SHA384"},
    {0xc072, "ECDHE-ECDSA-CAMELLIA128-SHA256"},
    {0xc073, "ECDHE-ECDSA-CAMELLIA256-SHA384"},
    {0xc076, "ECDHE-RSA-CAMELLIA128-SHA256"},
    {0xc077, "ECDHE-RSA-CAMELLIA256-SHA384"},
    {0xc09c, "AES128-CCM"},
    {0xc09d, "AES256-CCM"},
    {0xc09e, "DHE-RSA-AES128-CCM"},
    {0xc09f, "DHE-RSA-AES256-CCM"},
    {0xc0a0, "AES128-CCM8"},
    {0xc0a1, "AES256-CCM8"},
    {0xc0a2, "DHE-RSA-AES128-CCM8"},
    {0xc0a3, "DHE-RSA-AES256-CCM8"},
    {0xc0ac, "ECDHE-ECDSA-AES128-CCM"},
    {0xc0ad, "ECDHE-ECDSA-AES256-CCM"},
    {0xc0ae, "ECDHE-ECDSA-AES128-CCM8"},
    {0xc0af, "ECDHE-ECDSA-AES256-CCM8"},
    {0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"},
    {0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {0xccaa, "DHE-RSA-CHACHA20-POLY1305"},
};

// RFC 8446 §4.2.3. Under TLS 1.3 a curve has one hash, under TLS 1.2 any; PKCS#1 v1.5 is of 1.2.
constexpr std::array<std::uint16_t, 3> kRsa13{0x0804, 0x0805, 0x0806};
constexpr std::array<std::uint16_t, 6> kRsa12{0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601};
constexpr std::array<std::uint16_t, 3> kEcdsa{0x0403, 0x0503, 0x0603};
constexpr std::array<std::uint16_t, 1> kEd25519{0x0807};
constexpr std::array<std::uint16_t, 1> kEd448{0x0808};

constexpr const auto& kCloudflare = config::cloudflare::kSuites12;
constexpr std::uint16_t kCloudflareOld = 0x000a;  // with TLS 1.0 alone

std::size_t curve_index(const Certificate& certificate) noexcept {
  switch (certificate.key_bits()) {
    case 384:
      return 1;
    case 521:
      return 2;
    default:
      return 0;
  }
}

}  // namespace

std::string_view suite_name(std::uint16_t suite) noexcept {
  const auto* found = std::lower_bound(std::begin(kSuites), std::end(kSuites), suite,
                                       [](const Suite& entry, std::uint16_t id) { return entry.id < id; });
  return found != std::end(kSuites) && found->id == suite ? found->name : std::string_view();
}

std::optional<std::uint16_t> find_suite(std::string_view name) noexcept {
  const auto* found = std::find_if(std::begin(kSuites), std::end(kSuites),
                                   [&](const Suite& suite) { return suite.name == name; });
  if (found == std::end(kSuites)) return std::nullopt;
  return found->id;
}

std::vector<std::string_view> suite_names() {
  std::vector<std::string_view> names;
  for (const Suite& suite : kSuites) names.push_back(suite.name);
  return names;
}

SuiteAuth suite_auth(std::uint16_t suite) noexcept {
  const std::string_view name = suite_name(suite);
  if (name.empty() || name.starts_with("DHE-DSS-")) return SuiteAuth::other;
  if (name.starts_with("TLS_")) return SuiteAuth::any;
  return name.starts_with("ECDHE-ECDSA-") ? SuiteAuth::ecdsa : SuiteAuth::rsa;
}

SuiteExchange suite_exchange(std::uint16_t suite) noexcept {
  const std::string_view name = suite_name(suite);
  if (name.empty()) return SuiteExchange::other;
  if (name.starts_with("TLS_")) return SuiteExchange::any;
  if (name.starts_with("ECDHE-")) return SuiteExchange::ecdhe;
  return name.starts_with("DHE-") ? SuiteExchange::dhe : SuiteExchange::rsa;
}

std::span<const std::uint16_t> signature_schemes(const Certificate& certificate, Version version) noexcept {
  switch (certificate.key_type()) {
    case KeyType::rsa:
      if (version == Version::tls13) return kRsa13;
      return kRsa12;
    case KeyType::ecdsa:
      if (version == Version::tls13) return std::span(kEcdsa).subspan(curve_index(certificate), 1);
      return kEcdsa;
    case KeyType::ed25519:
      return kEd25519;
    case KeyType::ed448:
      return kEd448;
    case KeyType::other:
      break;
  }
  return {};
}

SuiteAuth auth_of(const Certificate& certificate) noexcept {
  switch (certificate.key_type()) {
    case KeyType::rsa:
      return SuiteAuth::rsa;
    case KeyType::ecdsa:
    case KeyType::ed25519:  // RFC 8422 §5.10: it authenticates the ECDSA suites
    case KeyType::ed448:
      return SuiteAuth::ecdsa;
    case KeyType::other:
      break;
  }
  return SuiteAuth::other;
}

std::uint16_t curve_of(const Certificate& certificate) noexcept {
  static constexpr std::uint16_t kCurves[] = {0x0017, 0x0018, 0x0019};
  return certificate.key_type() == KeyType::ecdsa ? kCurves[curve_index(certificate)] : std::uint16_t{0};
}

std::span<const std::uint16_t> cloudflare_suites() noexcept {
  return kCloudflare;
}

bool offers_as_cloudflare(const U16View& suites) noexcept {
  std::size_t found = 0;
  for (const std::uint16_t suite : suites) {
    if (is_signal(suite) || suite == kCloudflareOld || suite_exchange(suite) == SuiteExchange::any) continue;
    if (std::find(std::begin(kCloudflare), std::end(kCloudflare), suite) == std::end(kCloudflare))
      return false;
    ++found;
  }
  return found == std::size(kCloudflare);
}

}  // namespace sallyport::tls
