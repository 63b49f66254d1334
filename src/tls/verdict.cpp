#include "sallyport/tls/verdict.hpp"

#include <algorithm>

#include "sallyport/tls/context_store.hpp"

#include "client_rule.hpp"
#include "openssl.hpp"
#include "suites.hpp"

namespace sallyport::tls {

namespace {

using Reason = HandshakeReason;

Reason reason_of(HelloFault fault) noexcept {
  switch (fault) {
    case HelloFault::none:
      return Reason::internal;
    case HelloFault::plain_http:
    case HelloFault::proxy_header:
    case HelloFault::alert:  // told by its name where the reader is at hand
    case HelloFault::not_tls:
      return Reason::not_tls;
    case HelloFault::bad_record:
      return Reason::bad_record;
    case HelloFault::malformed:
      return Reason::malformed_hello;
    case HelloFault::too_large:
      return Reason::hello_too_large;
  }
  return Reason::internal;
}

Reason reason_of_peer_alert(std::uint8_t alert) noexcept {
  switch (alert) {
    case SSL_AD_CLOSE_NOTIFY:
      return Reason::peer_closed;
    case SSL_AD_BAD_CERTIFICATE:
      return Reason::peer_alert_bad_certificate;
    case SSL_AD_UNKNOWN_CA:
      return Reason::peer_alert_unknown_ca;
    case SSL_AD_CERTIFICATE_EXPIRED:
      return Reason::peer_alert_certificate_expired;
    case SSL_AD_CERTIFICATE_UNKNOWN:
      return Reason::peer_alert_certificate_unknown;
    case SSL_AD_HANDSHAKE_FAILURE:
      return Reason::peer_alert_handshake_failure;
    default:
      return Reason::peer_alert_other;
  }
}

// Under TLS 1.2: a suite is shared that one of the host's certificates could serve, but the client
// takes no signature that this certificate could make.
bool lacks_signature(const ClientHello& hello, const Policy& policy, const HostEntry& host) noexcept {
  if (hello.signature_algorithms.raw().empty()) return false;
  bool served = false;
  for (const auto& certificate : host.certificates) {
    const SuiteAuth auth = auth_of(*certificate);
    const bool suite = std::any_of(policy.ciphers.begin(), policy.ciphers.end(), [&](std::uint16_t id) {
      return suite_auth(id) == auth && hello.cipher_suites.contains(id);
    });
    if (!suite) continue;
    if (hello.signature_algorithms.contains_any(signature_schemes(*certificate, Version::tls12)))
      return false;
    served = true;
  }
  return served;
}

// OpenSSL says "no shared cipher" for TLS 1.2 also when it is the groups or the signatures that
// have nothing in common: its ECDHE suites, or those of a certificate, all fall away then.
Reason reason_of_no_cipher(const Evidence& evidence) noexcept {
  const ClientHello& hello = evidence.reader->hello();
  const Policy& policy = *evidence.policy;
  const bool tls13 = policy.allows(Version::tls13) && hello.offers(Version::tls13);
  if (tls13 || !hello.cipher_suites.contains_any(policy.ciphers)) return Reason::no_shared_cipher;
  const bool groups = hello.groups.raw().empty() || hello.groups.contains_any(policy.groups);
  if (!groups) return Reason::no_shared_group;
  const bool signature = evidence.host != nullptr && lacks_signature(hello, policy, *evidence.host);
  return signature ? Reason::no_shared_sigalg : Reason::no_shared_cipher;
}

// The alert that OpenSSL chose says what kind of error it was where its code is not known here.
Reason reason_of_own_alert(const Evidence& evidence) noexcept {
  if (!evidence.alert_sent) return Reason::internal;
  switch (*evidence.alert_sent) {
    case SSL_AD_DECODE_ERROR:
    case SSL_AD_ILLEGAL_PARAMETER:
    case SSL_AD_MISSING_EXTENSION:
    case SSL_AD_UNSUPPORTED_EXTENSION:
      return evidence.flight_sent ? Reason::bad_record : Reason::malformed_hello;
    case SSL_AD_BAD_RECORD_MAC:
    case SSL_AD_RECORD_OVERFLOW:
    case SSL_AD_UNEXPECTED_MESSAGE:
    case SSL_AD_DECRYPT_ERROR:
      return Reason::bad_record;
    case SSL_AD_PROTOCOL_VERSION:
      return Reason::unsupported_version;
    case SSL_AD_NO_APPLICATION_PROTOCOL:
      return Reason::no_alpn_overlap;
    case SSL_AD_CERTIFICATE_REQUIRED:
      return Reason::client_cert_missing;
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
      return Reason::client_cert_untrusted;
    default:
      return Reason::internal;
  }
}

Reason reason_of_openssl(const Evidence& evidence) noexcept {
  if (evidence.hello_changed) return Reason::malformed_hello;
  if (ERR_GET_LIB(evidence.openssl_error) != ERR_LIB_SSL) return reason_of_own_alert(evidence);
  switch (ERR_GET_REASON(evidence.openssl_error)) {
    case SSL_R_NO_SHARED_CIPHER:
      return reason_of_no_cipher(evidence);
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_GROUPS:
      return Reason::no_shared_group;
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
      return Reason::no_shared_sigalg;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_INAPPROPRIATE_FALLBACK:
      return Reason::unsupported_version;
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return Reason::no_alpn_overlap;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return Reason::client_cert_missing;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return evidence.verify_code == X509_V_OK ? Reason::client_cert_untrusted
                                               : client_cert_reason(client_cert_result(evidence.verify_code));
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_UNEXPECTED_RECORD:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
      return Reason::bad_record;
    default:
      return reason_of_own_alert(evidence);
  }
}

Stage stage_of(Reason reason, const Evidence& evidence) noexcept {
  switch (reason) {
    case Reason::client_cert_missing:
    case Reason::client_cert_untrusted:
    case Reason::client_cert_expired:
    case Reason::client_cert_revoked:
    case Reason::client_cert_pin:
      return Stage::client_cert;
    case Reason::no_shared_cipher:
    case Reason::no_shared_group:
    case Reason::no_shared_sigalg:
    case Reason::unsupported_version:
    case Reason::no_alpn_overlap:
      return Stage::key_exchange;
    default:
      return evidence.flight_sent ? Stage::finished : Stage::key_exchange;
  }
}

Reason reason_of_ending(Ending ending, Reason eof, Reason protocol) noexcept {
  switch (ending) {
    case Ending::protocol:
      return protocol;
    case Ending::eof:
      return eof;
    case Ending::reset:
      return Reason::peer_reset;
    case Ending::timeout:
      return Reason::timeout;
    case Ending::closed_by_us:
      return Reason::shutdown;
  }
  return protocol;
}

// Before the hello was whole. A probe that resets without a byte is a probe as well.
Reason reason_within_hello(const Evidence& evidence) noexcept {
  const HelloReader* reader = evidence.reader;
  if (reader != nullptr && reader->state() == HelloReader::State::failed) {
    const bool alert = reader->fault() == HelloFault::alert;
    return alert ? reason_of_peer_alert(reader->alert()) : reason_of(reader->fault());
  }
  const bool started = reader != nullptr && reader->started();
  const bool gone = evidence.ending == Ending::eof || evidence.ending == Ending::reset;
  if (gone && !started) return Reason::peer_closed_idle;
  return reason_of_ending(evidence.ending, Reason::peer_closed_hello, Reason::internal);
}

}  // namespace

std::string_view to_string(Stage stage) noexcept {
  switch (stage) {
    case Stage::hello:
      return "hello";
    case Stage::cert_select:
      return "cert_select";
    case Stage::key_exchange:
      return "key_exchange";
    case Stage::client_cert:
      return "client_cert";
    case Stage::finished:
      return "finished";
  }
  return "hello";
}

std::string_view to_string(HandshakeReason reason) noexcept {
  static constexpr std::string_view kWords[kHandshakeReasons] = {"none",
                                                                 "no_shared_cipher",
                                                                 "no_shared_group",
                                                                 "no_shared_sigalg",
                                                                 "unsupported_version",
                                                                 "no_alpn_overlap",
                                                                 "unknown_sni",
                                                                 "missing_sni",
                                                                 "refused_by_rule",
                                                                 "not_tls",
                                                                 "bad_record",
                                                                 "malformed_hello",
                                                                 "hello_too_large",
                                                                 "peer_alert_bad_certificate",
                                                                 "peer_alert_unknown_ca",
                                                                 "peer_alert_certificate_expired",
                                                                 "peer_alert_certificate_unknown",
                                                                 "peer_alert_handshake_failure",
                                                                 "peer_alert_other",
                                                                 "client_cert_missing",
                                                                 "client_cert_untrusted",
                                                                 "client_cert_expired",
                                                                 "client_cert_revoked",
                                                                 "client_cert_pin",
                                                                 "timeout",
                                                                 "peer_closed_idle",
                                                                 "peer_closed_hello",
                                                                 "peer_closed",
                                                                 "peer_reset",
                                                                 "shutdown",
                                                                 "internal"};
  return kWords[static_cast<std::size_t>(reason)];
}

std::string_view to_string(ClientCertResult result) noexcept {
  static constexpr std::string_view kWords[kClientCertResults] = {
      "off", "absent", "ok", "untrusted", "expired", "revoked", "pin_mismatch"};
  return kWords[static_cast<std::size_t>(result)];
}

ClientCertResult client_cert_result(long verify_code) noexcept {
  switch (verify_code) {
    case X509_V_OK:
      return ClientCertResult::ok;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return ClientCertResult::expired;
    case X509_V_ERR_CERT_REVOKED:
      return ClientCertResult::revoked;
    case kNoSanMatches:
    case kNoPinMatches:
      return ClientCertResult::pin_mismatch;
    default:
      return ClientCertResult::untrusted;
  }
}

HandshakeReason client_cert_reason(ClientCertResult result) noexcept {
  switch (result) {
    case ClientCertResult::off:
    case ClientCertResult::ok:
      return Reason::none;
    case ClientCertResult::absent:
      return Reason::client_cert_missing;
    case ClientCertResult::untrusted:
      return Reason::client_cert_untrusted;
    case ClientCertResult::expired:
      return Reason::client_cert_expired;
    case ClientCertResult::revoked:
      return Reason::client_cert_revoked;
    case ClientCertResult::pin_mismatch:
      return Reason::client_cert_pin;
  }
  return Reason::client_cert_untrusted;
}

Verdict judge(const Evidence& evidence) noexcept {
  const HelloReader* reader = evidence.reader;
  if (reader == nullptr || reader->state() != HelloReader::State::complete) {
    return {Stage::hello, reason_within_hello(evidence)};
  }
  if (evidence.policy == nullptr) {
    const Reason no_host =
        reader->hello().sni_state == SniState::absent ? Reason::missing_sni : Reason::unknown_sni;
    return {Stage::cert_select, reason_of_ending(evidence.ending, Reason::peer_closed, no_host)};
  }
  Reason reason = Reason::none;
  if (evidence.alert_received) {
    reason = reason_of_peer_alert(*evidence.alert_received);
  } else {
    const Reason protocol =
        evidence.ending == Ending::protocol ? reason_of_openssl(evidence) : Reason::internal;
    reason = reason_of_ending(evidence.ending, Reason::peer_closed, protocol);
  }
  return {stage_of(reason, evidence), reason};
}

}  // namespace sallyport::tls
