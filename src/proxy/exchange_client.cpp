// Whom a request is from. A trusted peer is believed about its client; what anybody else claims
// is gone before a route, a log line or an upstream could take it for true.
#include <algorithm>

#include "sallyport/proxy/client_claims.hpp"

#include "exchange.hpp"

namespace sallyport::proxy {

namespace {

obs::IpSource source_of(config::ClientAddress where) noexcept {
  switch (where) {
    case config::ClientAddress::cf_connecting_ip:
      return obs::IpSource::cf_connecting_ip;
    case config::ClientAddress::true_client_ip:
      return obs::IpSource::true_client_ip;
    case config::ClientAddress::x_forwarded_for:
      return obs::IpSource::xff;
    case config::ClientAddress::peer:
      break;
  }
  return obs::IpSource::peer;
}

}  // namespace

// False: it has come by here too often.
bool Exchange::know_client() {
  const http::Fields& fields = head_.fields;
  if (is_trusted(peer_kind())) {
    believe();
  } else {
    disbelieve();
  }
  const config::CdnLoop& loop = snapshot_->model.cdn_loop;
  return passes(fields, loop.id) < loop.limit;
}

void Exchange::believe() {
  const ListenerEntry& entry = snapshot_->listeners[listener_];
  visitor_scheme_ = visitor_scheme(head_.fields);
  const config::ClientAddress where = entry.config->client_address;
  const auto told = told_address(head_.fields, where, [&](const net::IpAddress& address) {
    return entry.trust.contains(address, proxy_.address_sets());
  });
  if (!told) return;
  proxy_.metrics_.client_ip(proxy_.shard_, source_of(where), obs::IpVerdict::used);
  told_.emplace(ToldClient{{*told, session_.info().peer.port}, told->to_string()});
}

void Exchange::disbelieve() {
  using http::FieldId;
  const auto claimed = [this](FieldId id, obs::IpSource source) {
    if (head_.fields.has(id))
      proxy_.metrics_.client_ip(proxy_.shard_, source, obs::IpVerdict::stripped_untrusted);
  };
  claimed(FieldId::cf_connecting_ip, obs::IpSource::cf_connecting_ip);
  claimed(FieldId::true_client_ip, obs::IpSource::true_client_ip);
  claimed(FieldId::x_forwarded_for, obs::IpSource::xff);
  remove_claims(head_.fields);
}

// Or on a path that is excepted. Clear text shows no certificate, nor does it pass for TLS.
bool Exchange::pulled_by_cloudflare(const config::OriginPull& pull) const {
  if (session_.info().client_cert == "ok") return true;
  return std::find(pull.except.begin(), pull.except.end(), head_.path()) != pull.except.end();
}

// What a visitor behind Cloudflare saw of us, or would have seen but for our own answer.
CfRisk Exchange::cf_risk() const noexcept {
  // Cloudflare gives up at 120 s, in older zones at 100.
  constexpr base::Seconds kPatience{100};
  if (peer_kind() != obs::PeerKind::cloudflare) return CfRisk::none;
  if (error_) {
    const CfRisk risk = cf_risk_of(error_);
    return risk != CfRisk::none && cut_off_ ? CfRisk::cut_off : risk;
  }
  return first_byte_ && *first_byte_ > kPatience ? CfRisk::slow_answer : CfRisk::none;
}

}  // namespace sallyport::proxy
