// Cipher suites, signature schemes and certificates: which goes with which, in words. Unlike
// OpenSSL's tables these also name what clients offer and this OpenSSL does not have. Static,
// pure; private to tls.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/hello.hpp"

namespace sallyport::tls {

// "ECDHE-RSA-AES128-GCM-SHA256", as OpenSSL and the configuration spell it; empty when unknown.
[[nodiscard]] std::string_view suite_name(std::uint16_t suite) noexcept;
[[nodiscard]] std::optional<std::uint16_t> find_suite(std::string_view name) noexcept;
[[nodiscard]] std::vector<std::string_view> suite_names();

// Of a TLS 1.2 suite; those of TLS 1.3 leave both open.
enum class SuiteAuth : std::uint8_t { any, rsa, ecdsa, other };
[[nodiscard]] SuiteAuth suite_auth(std::uint16_t suite) noexcept;
enum class SuiteExchange : std::uint8_t { any, ecdhe, dhe, rsa, other };
[[nodiscard]] SuiteExchange suite_exchange(std::uint16_t suite) noexcept;

// A signal that stands among the suites and is none (RFC 5746 §3.3, RFC 7507).
[[nodiscard]] constexpr bool is_signal(std::uint16_t suite) noexcept {
  return suite == 0x00ff || suite == 0x5600;
}

// What a key can sign a handshake with, best first; empty for a kind that is not known here.
[[nodiscard]] std::span<const std::uint16_t> signature_schemes(const Certificate& certificate,
                                                               Version version) noexcept;
[[nodiscard]] SuiteAuth auth_of(const Certificate& certificate) noexcept;
// The curve of an ECDSA key; 0 for others.
[[nodiscard]] std::uint16_t curve_of(const Certificate& certificate) noexcept;

// The TLS 1.2 suites that Cloudflare offers an origin, in its order.
[[nodiscard]] std::span<const std::uint16_t> cloudflare_suites() noexcept;
// Whether a client's are those.
[[nodiscard]] bool offers_as_cloudflare(const U16View& suites) noexcept;

}  // namespace sallyport::tls
