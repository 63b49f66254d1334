// Everything that a request may read of the configuration: the rooms' immutable tables, side by
// side, of one generation.
//
// Built whole and aside by runtime, posted to every worker, shared by the exchanges that began
// under it, dead with the last of them. Nothing in it changes after it was built. Workers hold it
// by a local_shared_ptr each, so that an exchange's reference touches no cache line of another worker.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/smart_ptr/local_shared_ptr.hpp>
#include <boost/smart_ptr/shared_ptr.hpp>

#include "sallyport/config/model.hpp"
#include "sallyport/filter/chain.hpp"
#include "sallyport/http/path.hpp"
#include "sallyport/net/address_table.hpp"
#include "sallyport/net/cidr.hpp"
#include "sallyport/obs/metrics.hpp"
#include "sallyport/proxy/peers.hpp"
#include "sallyport/route/table.hpp"
#include "sallyport/session/client_session.hpp"
#include "sallyport/tls/context_store.hpp"
#include "sallyport/upstream/cluster.hpp"

namespace sallyport::proxy {

// One route, with all that it refers to resolved.
struct RouteEntry {
  const config::Route* config = nullptr;  // in Snapshot::model; nullptr: the entry for what no route took
  std::string name;                       // label in logs and metrics: "example.com/api/"
  std::string host;                       // first name of the host; empty for a listener's route
  filter::Chain chain;
  std::shared_ptr<const upstream::ClusterSpec> cluster;  // nullptr: answered by ourselves
  config::UpstreamTimeouts timeouts;                     // the upstream's with the route's laid over
  std::optional<std::size_t> request_body;  // the route's, else its host's; empty: the listener's
  std::shared_ptr<const obs::RouteMetrics> metrics;
  // Of the host, if it serves none without Cloudflare's certificate: over clear text there was no
  // handshake to refuse it, nor where some paths are excepted.
  const config::OriginPull* origin_pull = nullptr;
};

// Trusted peers are told apart from others when they are accepted.
[[nodiscard]] constexpr bool is_trusted(obs::PeerKind kind) noexcept {
  return kind != obs::PeerKind::other;
}

struct ListenerEntry {
  const config::Listener* config = nullptr;  // in Snapshot::model
  // Towards anybody, and towards trusted peers.
  struct Terms {
    std::shared_ptr<const session::ClientLimits> limits;
    net::AddressLimits address_limits;
    base::Milliseconds handshake{};
    std::size_t request_body = 0;  // 0 = no limit
  };
  Terms direct, trusted;
  PeerList allow;  // empty: everybody
  PeerList trust;
  http::PathRules paths;
  net::CidrSet proxy_senders;
  bool takes_proxy_header = false;
  std::shared_ptr<const obs::ListenerMetrics> metrics;

  [[nodiscard]] const Terms& terms(obs::PeerKind kind) const noexcept {
    return is_trusted(kind) ? trusted : direct;
  }
};

struct Snapshot {
  static constexpr std::uint32_t kNoListener = 0xffff'ffff;

  // Where a connection's listener stands in this snapshot, which may be younger than the
  // connection; kNoListener if a reload took it away.
  [[nodiscard]] std::uint32_t listener_of(const session::ConnectionInfo& info) const noexcept {
    const auto is = [&info, this](std::uint32_t i) {
      return listeners[i].config->name == info.listener_name;
    };
    if (info.listener < listeners.size() && is(info.listener)) return info.listener;
    for (std::uint32_t i = 0; i < listeners.size(); ++i) {
      if (is(i)) return i;
    }
    return kNoListener;
  }

  std::uint64_t generation = 0;
  config::Model model;
  std::shared_ptr<const tls::ContextStore> tls;  // nullptr: no https listener
  std::unique_ptr<const route::Table> routes;
  upstream::Clusters clusters;
  std::vector<RouteEntry> route_entries;  // by route::Match::route
  RouteEntry unrouted;
  std::vector<ListenerEntry> listeners;  // by config::Model::listeners
  // Sorted: the names in all routes' request_headers, with - for _. What a client sends under a name
  // that a CGI could take for one of them must not stand beside it.
  std::vector<std::string> edited_fields;
  PeerList exempt_addresses;     // of what is counted by address
  AddressSets address_sets;      // as they were when this was built
  std::uint32_t cloudflare = 0;  // index of that set
};

using SnapshotPtr = boost::shared_ptr<const Snapshot>;
using SnapshotRef = boost::local_shared_ptr<const Snapshot>;

}  // namespace sallyport::proxy
