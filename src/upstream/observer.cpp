#include "sallyport/upstream/observer.hpp"

#include "sallyport/obs/metrics.hpp"

namespace sallyport::upstream {

namespace {

obs::Proto proto_of(http::Version version) {
  return version == http::Version::http2 ? obs::Proto::h2 : obs::Proto::http11;
}

obs::ConnectResult result_of(base::ErrorCode code) {
  switch (code) {
    case base::ErrorCode::none:
      return obs::ConnectResult::ok;
    case base::ErrorCode::connect_refused:
      return obs::ConnectResult::refused;
    case base::ErrorCode::connect_timeout:
    case base::ErrorCode::tls_timeout:
      return obs::ConnectResult::timeout;
    case base::ErrorCode::connect_unreachable:
      return obs::ConnectResult::unreachable;
    case base::ErrorCode::name_unresolved:
      return obs::ConnectResult::dns;
    case base::ErrorCode::tls_untrusted:
      return obs::ConnectResult::tls_verify;
    case base::ErrorCode::tls_failed:
    case base::ErrorCode::tls_closed:
    case base::ErrorCode::tls_reset:
      return obs::ConnectResult::tls_other;
    default:
      return obs::ConnectResult::other;
  }
}

obs::PoolState state_of(ConnectionState state) {
  switch (state) {
    case ConnectionState::connecting:
      return obs::PoolState::connecting;
    case ConnectionState::active:
      return obs::PoolState::active;
    case ConnectionState::idle:
      break;
  }
  return obs::PoolState::idle;
}

}  // namespace

void MetricsObserver::on_connected(const ClusterSpec& spec, http::Version version, base::ErrorCode code,
                                   base::Duration connect, base::Duration tls) {
  if (!spec.metrics) return;
  spec.metrics->connected(shard_, proto_of(version), result_of(code));
  if (code != base::ErrorCode::none) return;
  spec.metrics->connect_duration(shard_, connect);
  if (spec.tls) spec.metrics->tls_duration(shard_, tls);
}

void MetricsObserver::on_connections(const ClusterSpec& spec, http::Version version, ConnectionState state,
                                     int delta) {
  if (spec.metrics) spec.metrics->connections(shard_, proto_of(version), state_of(state), delta);
}

void MetricsObserver::on_pending(const ClusterSpec& spec, int delta) {
  if (spec.metrics) spec.metrics->pending(shard_, delta);
}

void MetricsObserver::on_endpoints(const ClusterSpec& spec, int healthy, int ejected) {
  if (!spec.metrics || !tells_endpoints_) return;
  spec.metrics->endpoints(shard_, obs::EndpointState::healthy, healthy);
  spec.metrics->endpoints(shard_, obs::EndpointState::ejected, ejected);
}

void MetricsObserver::on_ejected(const ClusterSpec& spec, std::string_view, EjectedFor why, base::Duration) {
  if (!spec.metrics) return;
  spec.metrics->ejected(shard_,
                        why == EjectedFor::connect ? obs::EjectionKind::connect : obs::EjectionKind::errors);
}

void MetricsObserver::on_h2_flood(http2::Flood flood) {
  metrics_.flood(shard_, static_cast<std::size_t>(flood));
}

void MetricsObserver::on_h2_reset(bool sent, std::uint32_t code) {
  metrics_.stream_reset(shard_, obs::Side::upstream, sent ? obs::Dir::tx : obs::Dir::rx, code);
}

void MetricsObserver::on_h2_goaway(bool sent, std::uint32_t code) {
  metrics_.goaway(shard_, obs::Side::upstream, sent ? obs::Dir::tx : obs::Dir::rx, code);
}

}  // namespace sallyport::upstream
