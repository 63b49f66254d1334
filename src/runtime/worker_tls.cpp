// The worker's TLS handshakes: begun, counted, explained.
#include <optional>

#include "sallyport/base/hex.hpp"
#include "sallyport/proxy/reply_table.hpp"
#include "sallyport/tls/explain.hpp"

#include "client_fields.hpp"
#include "door.hpp"
#include "worker.hpp"

namespace sallyport::runtime {

namespace {

obs::TlsVersion version_of(tls::Version version) {
  switch (version) {
    case tls::Version::tls12:
      return obs::TlsVersion::tls12;
    case tls::Version::tls13:
      return obs::TlsVersion::tls13;
    default:
      return obs::TlsVersion::other;
  }
}

obs::Alpn alpn_of(tls::Protocol protocol) {
  switch (protocol) {
    case tls::Protocol::h2:
      return obs::Alpn::h2;
    case tls::Protocol::http1:
      return obs::Alpn::http11;
    case tls::Protocol::none:
      break;
  }
  return obs::Alpn::none;
}

std::optional<obs::CertResult> result_of(tls::ClientCertResult result) {
  switch (result) {
    case tls::ClientCertResult::off:
      break;
    case tls::ClientCertResult::absent:
      return obs::CertResult::absent;
    case tls::ClientCertResult::ok:
      return obs::CertResult::ok;
    case tls::ClientCertResult::untrusted:
      return obs::CertResult::untrusted;
    case tls::ClientCertResult::expired:
      return obs::CertResult::expired;
    case tls::ClientCertResult::revoked:
      return obs::CertResult::revoked;
    case tls::ClientCertResult::pin_mismatch:
      return obs::CertResult::pin_mismatch;
  }
  return std::nullopt;
}

// Of a handshake that failed for its client certificate.
std::optional<obs::CertResult> result_of(tls::HandshakeReason reason) {
  switch (reason) {
    case tls::HandshakeReason::client_cert_missing:
      return obs::CertResult::absent;
    case tls::HandshakeReason::client_cert_untrusted:
      return obs::CertResult::untrusted;
    case tls::HandshakeReason::client_cert_expired:
      return obs::CertResult::expired;
    case tls::HandshakeReason::client_cert_revoked:
      return obs::CertResult::revoked;
    case tls::HandshakeReason::client_cert_pin:
      return obs::CertResult::pin_mismatch;
    default:
      return std::nullopt;
  }
}

// What of the client's certificate outlives the handshake.
void keep_client(session::ConnectionInfo& info, const tls::Handshake& facts) {
  const tls::Policy& policy = facts.terms->policy();
  if (policy.client_auth == tls::ClientAuthMode::off) return;
  info.client_cert = tls::to_string(facts.client_cert);
  info.client_fields = client_fields(facts.client.get(), policy.client_forward);
}

}  // namespace

void Worker::begin_handshake(Door& door, obs::PeerKind kind, net::TcpSocket socket, const net::Endpoint& peer,
                             const net::Endpoint& local, net::AddressTable::Seat place,
                             std::span<const char> early) {
  const proxy::ListenerEntry::Terms& terms = entry_of(door).terms(kind);
  const std::uint32_t most = terms.address_limits.handshakes;
  if (!place.begin_handshake(most)) {
    reject(door, kind, obs::RejectReason::address_limit, proxy::CfRisk::address_limits);
    leave(door, kind, obs::Proto::none, obs::ClosedBy::error);
    return;
  }
  if (!shared_.budgets.handshakes.take()) {
    reject(door, kind, obs::RejectReason::limit, proxy::CfRisk::handshake);
    leave(door, kind, obs::Proto::none, obs::ClosedBy::error);
    return;
  }
  door.metrics->handshake_begun(shard_);
  tls::ServerStreamOptions options;
  options.listener = door.snapshot_index(*snapshot_);
  options.handshake_timeout = terms.handshake;
  tls::HandshakeHandler& handler = *this;
  auto stream = std::make_unique<tls::ServerStream>(loop_, std::move(socket), peer, local, options, handler);
  handshakes_.push_back(stream.get());
  handshaking_.emplace(stream.get(), Handshaking{door.id, kind, std::move(place), tls_ids_.next()});
  stream.release()->begin(early);
}

// The end of what begin_handshake() began. The door, if it is still known.
Worker::Door* Worker::end_handshake(tls::ServerStream& stream, std::uint64_t& tls_id) {
  shared_.budgets.handshakes.give_back();
  const auto at = handshaking_.find(&stream);
  if (at == handshaking_.end()) return nullptr;
  at->second.seat.end_handshake();
  tls_id = at->second.tls_id;
  Door* door = door_of(at->second.door);
  if (door != nullptr) door->metrics->handshake_ended(shard_);
  return door;
}

std::shared_ptr<const tls::ContextStore> Worker::context_store() {
  return snapshot_->tls;
}

void Worker::on_handshake(tls::ServerStream& stream, const tls::Handshake& facts) {
  static_cast<base::ListHook<tls::HandshakeTag>&>(stream).unlink();
  session::ConnectionInfo info;
  Door* door = end_handshake(stream, info.tls_id);
  net::AddressTable::Seat place;
  if (const auto at = handshaking_.find(&stream); at != handshaking_.end()) {
    place = std::move(at->second.seat);
    info.peer_kind = static_cast<std::uint8_t>(at->second.kind);
    handshaking_.erase(at);
  }
  std::unique_ptr<net::ByteStream> connection(&stream);
  if (door == nullptr) return;
  info.health = static_cast<std::uint8_t>(count_handshake(*door, facts));
  if (facts.rule != nullptr) shard_.add(facts.rule->counter);
  info.peer = stream.peer();
  info.local = stream.local();
  info.tls = true;
  info.sni = facts.sni;
  info.host_name = facts.host->name;
  info.auth_rule = facts.terms->auth_rule;
  info.tls_version = tls::to_string(facts.version);
  info.cipher = facts.cipher;
  info.resumed = facts.resumed;
  info.seat = std::move(place);
  keep_client(info, facts);
  log_handshake(*door, info, facts);
  log_client_report(*door, info, facts);
  const bool h2 = facts.protocol == tls::Protocol::h2;
  admit(*door, std::move(connection), std::move(info), h2 ? http::Version::http2 : http::Version::http11);
}

unsigned Worker::count_handshake(Door& door, const tls::Handshake& facts) {
  const HostSeries& series = series_of(door, facts.host);
  const obs::HostMetrics& host = *series.metrics;
  const unsigned health = tls::health_score(tls::health_facts(facts, snapshot_->model.tls.tickets),
                                            health_weights_, loop_.wall_now());
  host.health(shard_, health);
  series.health->add(health);
  host.handshake(shard_, version_of(facts.version), alpn_of(facts.protocol), facts.resumed);
  if (const auto result = result_of(facts.client_cert)) host.client_cert(shard_, *result);
  const obs::ListenerMetrics& listener = *door.metrics;
  listener.handshake_duration(shard_, facts.resumed, facts.duration);
  listener.handshake_cpu(shard_, facts.busy);
  if (facts.hello_retried) listener.hello_retry_request(shard_);
  if (facts.hello_segmented) listener.hello_segmented(shard_);
  if (!facts.cipher.empty()) listener.cipher(shard_, facts.cipher);
  if (!facts.group.empty()) listener.group(shard_, facts.group);
  if (!facts.sigalg.empty()) listener.sigalg(shard_, facts.sigalg);
  return health;
}

void Worker::on_handshake_failed(tls::ServerStream& stream, const tls::HandshakeFailure& failure) {
  std::uint64_t tls_id = 0;
  Door* door = end_handshake(stream, tls_id);
  if (door == nullptr) return;
  const obs::HostMetrics& host = *series_of(*door, failure.host).metrics;
  host.handshake_failed(shard_, static_cast<std::size_t>(failure.verdict.stage),
                        static_cast<std::size_t>(failure.verdict.reason));
  if (const auto result = result_of(failure.verdict.reason)) host.client_cert(shard_, *result);
  door->metrics->handshake_cpu(shard_, failure.busy);
  if (failure.rule != nullptr) shard_.add(failure.rule->counter);
  // A visitor sees a page for it, unless nobody wanted to say a thing.
  const bool idle = failure.verdict.reason == tls::HandshakeReason::peer_closed_idle ||
                    failure.verdict.reason == tls::HandshakeReason::shutdown;
  if (!idle && handshaking_.at(&stream).kind == obs::PeerKind::cloudflare)
    shared_.metrics.cf_risk(shard_, static_cast<std::size_t>(proxy::CfRisk::handshake));
  log_failure(*door, stream, tls_id, failure);
}

void Worker::log_failure(const Door& door, tls::ServerStream& stream, std::uint64_t tls_id,
                         const tls::HandshakeFailure& failure) {
  // A probe that connects and says nothing is nobody's trouble.
  const bool probe = failure.verdict.reason == tls::HandshakeReason::peer_closed_idle;
  const obs::Level level = probe ? obs::Level::debug : obs::Level::warn;
  if (!shared_.log.enabled(level)) return;
  const auto limit = failure_limits_[static_cast<std::size_t>(failure.verdict.reason)].admit(loop_.now());
  if (!limit.pass) return;
  const auto alert = [](const std::optional<std::uint8_t>& code) {
    return code ? tls::alert_name(*code) : std::string_view{};
  };
  const tls::Explanation told = tls::explain(failure);
  const bool met = failure.host != nullptr;
  const auto id = base::hex16(tls_id);
  shared_.log.event(
      level, "handshake_failed",
      {{"reason", tls::to_string(failure.verdict.reason)},
       {"stage", tls::to_string(failure.verdict.stage)},
       {"hint", told.hint},
       {"tls_id", std::string_view(id.data(), id.size())},
       {"client", stream.peer().to_string()},
       {"listener", door.name},
       {"sni", failure.sni},
       {"host", met ? std::string_view(failure.host->name) : std::string_view{}},
       {"policy", met ? std::string_view(failure.policy->name) : std::string_view{}},
       {"rule", failure.rule == nullptr ? std::string_view{} : std::string_view(failure.rule->name)},
       {"alert_sent", alert(failure.alert_sent)},
       {"alert_received", alert(failure.alert_received)},
       {"openssl", tls::openssl_reason(failure.openssl_error)},
       {"versions_offered", told.versions.offered},
       {"versions_configured", told.versions.configured},
       {"versions_shared", told.versions.shared},
       {"ciphers_offered", told.ciphers.offered},
       {"ciphers_configured", told.ciphers.configured},
       {"ciphers_shared", told.ciphers.shared},
       {"groups_offered", told.groups.offered},
       {"groups_configured", told.groups.configured},
       {"groups_shared", told.groups.shared},
       {"sigalgs_offered", told.sigalgs.offered},
       {"sigalgs_configured", told.sigalgs.configured},
       {"sigalgs_shared", told.sigalgs.shared},
       {"alpn_offered", told.alpn.offered},
       {"alpn_configured", told.alpn.configured},
       {"alpn_shared", told.alpn.shared},
       {"ja3", told.ja3},
       {"ja4", told.ja4},
       {"duration_ms", std::chrono::duration<double, std::milli>(failure.duration).count()},
       {"held_back", limit.held_back}});
}

void Worker::on_handshake_over(tls::ServerStream& stream) {
  static_cast<base::ListHook<tls::HandshakeTag>&>(stream).unlink();
  const auto at = handshaking_.find(&stream);
  if (at != handshaking_.end()) {
    if (Door* door = door_of(at->second.door))
      leave(*door, at->second.kind, obs::Proto::none, obs::ClosedBy::error);
    handshaking_.erase(at);
  }
  loop_.reap(std::unique_ptr<net::Reapable>(&stream));
  check_drained();
}

// `host`: nullptr if none was found. It may be of a store of before, if a reload overtook the
// handshake; then its name is looked up, otherwise its place is enough.
const Worker::HostSeries& Worker::series_of(Door& door, const tls::HostEntry* host) {
  if (host == nullptr) return series_named(door, obs::kUnmatched);
  static const std::vector<tls::HostEntry> kNone;
  const std::vector<tls::HostEntry>& hosts = snapshot_->tls == nullptr ? kNone : snapshot_->tls->hosts();
  const std::string_view label = obs::host_label(host->name, hosts.size());
  if (host->index >= hosts.size() || &hosts[host->index] != host) return series_named(door, label);
  // All hosts share one series where they are too many for labels.
  const bool shared = hosts.size() > obs::kHostLabelLimit;
  if (door.hosts.empty()) door.hosts.resize(shared ? 1 : hosts.size());
  const HostSeries*& series = door.hosts[shared ? 0 : host->index];
  if (series == nullptr) series = &series_named(door, label);
  return *series;
}

const Worker::HostSeries& Worker::series_named(const Door& door, std::string_view host) {
  std::string key = door.name;
  key += '\n';
  key += host;
  HostSeries& series = host_series_[key];
  if (series.metrics == nullptr) {
    series.metrics = shared_.metrics.host(door.name, host);
    series.health = shared_.health.host(host);
  }
  return series;
}

}  // namespace sallyport::runtime
