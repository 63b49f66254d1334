// The code points of TLS that policies, hellos and logs name, and their words (RFC 8446 §4.1.2,
// §4.2.3, §4.2.7, §4.2.8; RFC 8701 for GREASE). Static tables; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace sallyport::tls {

enum class Version : std::uint16_t { none = 0, tls12 = 0x0303, tls13 = 0x0304 };
[[nodiscard]] std::string_view to_string(Version version) noexcept;  // "TLSv1.3"; static text

// What ALPN chose; none = the client sent no ALPN, which means HTTP/1.1.
enum class Protocol : std::uint8_t { none, http1, h2 };
[[nodiscard]] std::string_view to_string(Protocol protocol) noexcept;  // "none", "http/1.1", "h2"

// Values that clients send so that servers ignore what they do not know.
[[nodiscard]] constexpr bool is_grease(std::uint16_t value) noexcept {
  return (value & 0x0f0f) == 0x0a0a && (value >> 8) == (value & 0xff);
}

struct GroupName {
  std::uint16_t id;
  std::string_view name;     // ours, as the config spells it: "P-256"
  std::string_view openssl;  // as OpenSSL's group list spells it
  std::string_view alias;    // as OpenSSL reports it or others spell it
};
// By any of its spellings, without regard to case; nullptr: no such group.
[[nodiscard]] const GroupName* find_group(std::string_view name) noexcept;
[[nodiscard]] const GroupName* find_group(std::uint16_t id) noexcept;
[[nodiscard]] std::vector<std::string_view> group_names();

// "ecdsa_secp256r1_sha256"; empty when unknown.
[[nodiscard]] std::string_view signature_scheme_name(std::uint16_t id) noexcept;
[[nodiscard]] std::optional<std::uint16_t> find_signature_scheme(std::string_view name) noexcept;
[[nodiscard]] std::vector<std::string_view> signature_scheme_names();
// "unknown_ca"; "alert_<n>" is not made up: empty when unknown.
[[nodiscard]] std::string_view alert_name(std::uint8_t alert) noexcept;

// What a record holds (RFC 8446 §5.1).
namespace content {
inline constexpr std::uint8_t kChangeCipherSpec = 20;
inline constexpr std::uint8_t kAlert = 21;
inline constexpr std::uint8_t kHandshake = 22;
inline constexpr std::uint8_t kApplicationData = 23;
}  // namespace content

// The alerts that are sent or judged here (RFC 8446 §6, RFC 7301 §3.2).
namespace alert {
inline constexpr std::uint8_t kCloseNotify = 0;
inline constexpr std::uint8_t kUnexpectedMessage = 10;
inline constexpr std::uint8_t kBadRecordMac = 20;
inline constexpr std::uint8_t kRecordOverflow = 22;
inline constexpr std::uint8_t kHandshakeFailure = 40;
inline constexpr std::uint8_t kBadCertificate = 42;
inline constexpr std::uint8_t kCertificateExpired = 45;
inline constexpr std::uint8_t kCertificateUnknown = 46;
inline constexpr std::uint8_t kIllegalParameter = 47;
inline constexpr std::uint8_t kUnknownCa = 48;
inline constexpr std::uint8_t kAccessDenied = 49;
inline constexpr std::uint8_t kDecodeError = 50;
inline constexpr std::uint8_t kProtocolVersion = 70;
inline constexpr std::uint8_t kInternalError = 80;
inline constexpr std::uint8_t kUserCanceled = 90;
inline constexpr std::uint8_t kUnrecognizedName = 112;
inline constexpr std::uint8_t kNoApplicationProtocol = 120;
}  // namespace alert

}  // namespace sallyport::tls
