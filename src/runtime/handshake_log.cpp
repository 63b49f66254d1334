// A handshake that was done, and a client certificate that would not do, in lines of the event log.
#include "sallyport/base/hex.hpp"
#include "sallyport/tls/explain.hpp"
#include "sallyport/tls/fingerprint.hpp"

#include "door.hpp"
#include "worker.hpp"

namespace sallyport::runtime {

namespace {

double milliseconds(base::Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

}  // namespace

// The names are those of handshake_failed and of the access log, so that lines can be joined and compared.
void Worker::log_handshake(const Door& door, const session::ConnectionInfo& info,
                           const tls::Handshake& facts) {
  const obs::RateLimit::Verdict sample = samples_.next(loop_.now());
  if (!sample.pass || !shared_.log.enabled(obs::Level::info)) return;
  const auto id = base::hex16(info.tls_id);
  const tls::Certificate* const certificate = facts.certificate;
  const bool spoken = facts.protocol != tls::Protocol::none;
  shared_.log.event(
      obs::Level::info, "handshake_done",
      {{"tls_id", std::string_view(id.data(), id.size())},
       {"client", info.peer.to_string()},
       {"listener", door.name},
       {"sni", facts.sni},
       {"host", facts.host->name},
       {"policy", facts.terms->policy().name},
       {"rule", facts.rule == nullptr ? std::string_view{} : std::string_view(facts.rule->name)},
       {"version", tls::to_string(facts.version)},
       {"cipher", facts.cipher},
       {"group", facts.group},
       {"sigalg", facts.sigalg},
       {"alpn_offered", tls::offered_protocols(*facts.hello)},
       {"alpn", spoken ? tls::to_string(facts.protocol) : std::string_view{}},
       {"resumed", facts.resumed},
       {"hello_retry", facts.hello_retried},
       {"certificate_sha256", tls::certificate_text(facts)},
       {"certificate", certificate == nullptr ? std::string_view{} : std::string_view(certificate->label())},
       {"client_certificate", tls::to_string(facts.client_cert)},
       {"client_subject", facts.client_subject},
       {"health", unsigned{info.health}},
       {"ja3", tls::ja3(*facts.hello)},
       {"ja4", tls::ja4(*facts.hello)},
       {"duration_ms", milliseconds(facts.duration)},
       {"cpu_ms", milliseconds(facts.busy)},
       {"held_back", sample.held_back}});
}

// Mode report: whom require would have refused. The reasons are those of handshake_failed.
void Worker::log_client_report(const Door& door, const session::ConnectionInfo& info,
                               const tls::Handshake& facts) {
  const tls::Policy& policy = facts.terms->policy();
  const tls::HandshakeReason reason = tls::client_cert_reason(facts.client_cert);
  if (policy.client_auth != tls::ClientAuthMode::report || reason == tls::HandshakeReason::none) return;
  if (!shared_.log.enabled(obs::Level::warn)) return;
  const auto limit = report_limits_[static_cast<std::size_t>(facts.client_cert)].admit(loop_.now());
  if (!limit.pass) return;
  const auto id = base::hex16(info.tls_id);
  const tls::ClientCertificate* const client = facts.client.get();
  shared_.log.event(
      obs::Level::warn, "client_certificate_report",
      {{"reason", tls::to_string(reason)},
       {"hint", tls::hint_of_client(facts)},
       {"tls_id", std::string_view(id.data(), id.size())},
       {"client", info.peer.to_string()},
       {"listener", door.name},
       {"sni", facts.sni},
       {"host", facts.host->name},
       {"policy", policy.name},
       {"rule", facts.rule == nullptr ? std::string_view{} : std::string_view(facts.rule->name)},
       {"client_subject", client == nullptr ? std::string_view{} : client->subject},
       {"client_issuer", client == nullptr ? std::string_view{} : client->issuer},
       {"client_sha256", client == nullptr ? std::string_view{} : client->sha256},
       {"resumed", facts.resumed},
       {"ja3", tls::ja3(*facts.hello)},
       {"ja4", tls::ja4(*facts.hello)},
       {"held_back", limit.held_back}});
}

}  // namespace sallyport::runtime
