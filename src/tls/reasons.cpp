// The table reason → cause → remedy.
#include <array>

#include "sallyport/tls/explain.hpp"

namespace sallyport::tls {

namespace {

using Reason = HandshakeReason;

constexpr std::array<ReasonText, kHandshakeReasons> kTable{{
    {Reason::none, "the handshake did not fail", "nothing"},
    {Reason::no_shared_cipher,
     "no cipher suite that the client offers is allowed by the host's policy and fits one of its "
     "certificates",
     "give the host a certificate of the other key type (RSA beside ECDSA), or add a suite of the client's "
     "to "
     "the policy"},
    {Reason::no_shared_group, "the client and the host's policy have no key-exchange group in common",
     "add a group of the client's to the policy's `groups`; P-256 is what old clients have"},
    {Reason::no_shared_sigalg, "the client takes no signature that the host's certificates can make",
     "give the host a certificate of a key type that the client takes, RSA beside ECDSA"},
    {Reason::unsupported_version, "the client and the host's policy have no TLS version in common",
     "update the client, or lower the policy's `min_version` to 1.2; TLS 1.0 and 1.1 are not spoken"},
    {Reason::no_alpn_overlap,
     "the client insists on application protocols by ALPN and the policy speaks none of them",
     "add the protocol to the policy's `alpn`, or point the client at the service that it means"},
    {Reason::unknown_sni, "no host on this listener has the name that the client asks for",
     "add the name to a host's `names`, or name a host for such clients in `tls.unknown_sni`"},
    {Reason::missing_sni, "the client sent no server name and no host is named for such clients",
     "name a host in `tls.missing_sni`, or have the client ask by name instead of by address"},
    {Reason::refused_by_rule, "a rule of the host's policy refuses clients that offer what this one does",
     "nothing if it was meant; else narrow the rule's `when`, or put a rule that lets the client in before "
     "it"},
    {Reason::not_tls, "what came first is no TLS record: plain HTTP, a PROXY header or another protocol",
     "use https:// or a listener with `protocol: http`; behind a balancer list it in `proxy_protocol.from`"},
    {Reason::bad_record, "a TLS record is broken, or one came that has no place there",
     "look for a middlebox or a faulty client between; a single address that does it is a scanner"},
    {Reason::malformed_hello,
     "the ClientHello breaks the rules of TLS, or the second one contradicts the first",
     "nothing to configure: update the client; a single address that does it is a scanner"},
    {Reason::hello_too_large, "the ClientHello is larger than 16 KiB, or cut into more than 1024 records",
     "nothing to configure: no client needs that much; look at who sends it"},
    {Reason::peer_alert_bad_certificate,
     "the client refused the certificate: it finds it broken or not ours to show",
     "compare the certificate's names with the name asked for, then its chain"},
    {Reason::peer_alert_unknown_ca, "the client does not know the CA behind the certificate",
     "append the missing intermediate to the certificate's chain file, or give the client the root"},
    {Reason::peer_alert_certificate_expired, "the client finds the certificate, or one above it, expired",
     "renew the certificate and send SIGHUP; if it is valid, look at the intermediates and the client's "
     "clock"},
    {Reason::peer_alert_certificate_unknown,
     "the client refused the certificate without saying why; Java and browsers do so when they lack the CA",
     "check the chain, the names and the dates, then the client's own log"},
    {Reason::peer_alert_handshake_failure, "the client found nothing acceptable in what was chosen",
     "compare what was offered with what was configured; the client's own log has the reason"},
    {Reason::peer_alert_other, "the client ended the handshake with another alert",
     "look the alert up in the client's log"},
    {Reason::client_cert_missing, "the host requires a client certificate and the client sent none",
     "give the client a certificate of the configured CA, or set the policy's `client_auth` to request or "
     "off"},
    {Reason::client_cert_untrusted,
     "the client's certificate does not lead to a CA of the host's policy, or no valid revocation list "
     "covers "
     "it",
     "add its CA to `client_auth.ca` and that CA's list to `client_auth.crls`, or have the client send its "
     "intermediates as well"},
    {Reason::client_cert_expired, "the client's certificate, or one above it, is expired or not valid yet",
     "renew it at the client; check both clocks"},
    {Reason::client_cert_revoked, "the client's certificate, or one above it, is revoked",
     "give the client a new one"},
    {Reason::client_cert_pin,
     "the client's certificate is valid, but has none of the names or keys that the policy asks for",
     "add its name to `client_auth.sans` or its pin to `client_auth.spki_pins`, or give the client the right "
     "certificate"},
    {Reason::timeout,
     "the handshake was not done within `timeouts.handshake`; the stage tells what was waited for",
     "a loss on the way or a stalled client; many at stage hello are idle connections or an attack"},
    {Reason::peer_closed_idle, "the client connected and left without a byte: a health check or a port scan",
     "nothing; a check that speaks TLS tells more"},
    {Reason::peer_closed_hello, "the client left within its ClientHello",
     "look for a middlebox that cuts large hellos, post-quantum ones come in two packets; or a scanner"},
    {Reason::peer_closed, "the client closed after its ClientHello without an alert",
     "often a client that does not trust the certificate, or gave up waiting: look at the client's log"},
    {Reason::peer_reset, "the client reset the connection within the handshake",
     "often a client that was killed or a firewall between; the stage tells how far it had come"},
    {Reason::shutdown, "the gateway ended it: it was draining, or over a limit",
     "nothing; if it does not restart or reload just now, look at the limits"},
    {Reason::internal, "the gateway failed: out of memory, or OpenSSL refused something unexpected",
     "report it with the log line, whose field openssl has the error"},
}};

constexpr bool reasons_in_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].reason) != i || kTable[i].cause.empty() ||
        kTable[i].remedy.empty()) {
      return false;
    }
  }
  return true;
}
static_assert(reasons_in_order(), "one entry for each reason, in their order");

}  // namespace

std::span<const ReasonText> reason_table() noexcept {
  return kTable;
}

const ReasonText& about(HandshakeReason reason) noexcept {
  return kTable[static_cast<std::size_t>(reason)];
}

std::string reason_markdown() {
  std::string text = "| reason | cause | remedy |\n|---|---|---|\n";
  for (const ReasonText& row : reason_table()) {
    if (row.reason == Reason::none) continue;
    text.append("| `").append(to_string(row.reason)).append("` | ").append(row.cause);
    text.append(" | ").append(row.remedy).append(" |\n");
  }
  return text;
}

}  // namespace sallyport::tls
