// Why a handshake failed: one stage and one reason out of a closed set, the same words in the
// metric's label, the log and the docs. Computed once per failed handshake from what is known:
// the hello, the policy it met, OpenSSL's error, the alert in either direction, how it ended.
// Values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sallyport/tls/hello.hpp"
#include "sallyport/tls/policy.hpp"

namespace sallyport::tls {

// How far it had come.
enum class Stage : std::uint8_t {
  hello,         // before the ClientHello was whole
  cert_select,   // finding the host, its policy and certificate
  key_exchange,  // version, suite, group, signature, ALPN; up to our flight
  client_cert,   // the client's certificate
  finished,      // our flight is out; the client's answer to it
};
inline constexpr std::size_t kStages = static_cast<std::size_t>(Stage::finished) + 1;

enum class HandshakeReason : std::uint8_t {
  none,
  no_shared_cipher,
  no_shared_group,
  no_shared_sigalg,
  unsupported_version,
  no_alpn_overlap,
  unknown_sni,
  missing_sni,
  refused_by_rule,  // of the host's policy, on what the hello offers
  not_tls,          // plain HTTP or anything else that is no TLS record
  bad_record,       // the record layer
  malformed_hello,  // the ClientHello's inside, or a second one that differs where it must not
  hello_too_large,
  peer_alert_bad_certificate,
  peer_alert_unknown_ca,
  peer_alert_certificate_expired,
  peer_alert_certificate_unknown,
  peer_alert_handshake_failure,
  peer_alert_other,
  client_cert_missing,
  client_cert_untrusted,
  client_cert_expired,
  client_cert_revoked,
  client_cert_pin,
  timeout,
  peer_closed_idle,   // not one byte came: a health probe or a port scan
  peer_closed_hello,  // within the ClientHello
  peer_closed,        // later
  peer_reset,
  shutdown,  // we ended it: draining, or over a limit
  internal,
};
inline constexpr std::size_t kHandshakeReasons = static_cast<std::size_t>(HandshakeReason::internal) + 1;

[[nodiscard]] std::string_view to_string(Stage stage) noexcept;
[[nodiscard]] std::string_view to_string(HandshakeReason reason) noexcept;

enum class ClientCertResult : std::uint8_t { off, absent, ok, untrusted, expired, revoked, pin_mismatch };
inline constexpr std::size_t kClientCertResults =
    static_cast<std::size_t>(ClientCertResult::pin_mismatch) + 1;
[[nodiscard]] std::string_view to_string(ClientCertResult result) noexcept;
// Of an X509_V_… code.
[[nodiscard]] ClientCertResult client_cert_result(long verify_code) noexcept;
// Why `require` would refuse, or has refused, a certificate of that result; none: it would not.
[[nodiscard]] HandshakeReason client_cert_reason(ClientCertResult result) noexcept;

struct HostEntry;

// How the bytes ended.
enum class Ending : std::uint8_t { protocol, eof, reset, timeout, closed_by_us };

struct Evidence {
  Ending ending = Ending::protocol;
  const HelloReader* reader = nullptr;  // nullptr: nothing was read
  const Policy* policy = nullptr;       // nullptr: no host was found, or not looked for
  const HostEntry* host = nullptr;      // with its certificates; nullptr as above
  bool flight_sent = false;             // ServerHello and what follows has been made
  unsigned long openssl_error = 0;      // as ERR_peek_error() packs it; 0: none
  long verify_code = 0;                 // X509_V_OK, or why the client's certificate was not taken
  bool hello_changed = false;           // the second ClientHello had another SNI
  std::optional<std::uint8_t> alert_sent{};
  std::optional<std::uint8_t> alert_received{};
};

struct Verdict {
  Stage stage = Stage::hello;
  HandshakeReason reason = HandshakeReason::none;
  bool operator==(const Verdict&) const = default;
};

[[nodiscard]] Verdict judge(const Evidence& evidence) noexcept;

}  // namespace sallyport::tls
