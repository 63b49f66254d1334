// The configured upstreams as the data path reads them: one immutable ClusterSpec each, and the
// table of all of them, which is part of the snapshot.
//
// Built on the control thread, shared by all workers. What runs (connections, balancer state,
// ejections) is in each worker's Pools and is found by the spec's identity, so that a pool
// survives a reload which leaves its upstream as it was.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sallyport/config/model.hpp"
#include "sallyport/session/upstream_session.hpp"

namespace sallyport::tls {
class ClientContext;
}
namespace sallyport::obs {
class UpstreamMetrics;
}

namespace sallyport::upstream {

struct ClusterSpec {
  std::string name;
  // A hash over everything below that makes its pool what it is, and over the name.
  std::uint64_t identity = 0;
  config::UpstreamProtocol protocol = config::UpstreamProtocol::automatic;
  std::shared_ptr<const tls::ClientContext> tls;  // null = cleartext
  std::string server_name;                        // SNI and verified name; empty = the endpoint's own host
  config::Balance balance = config::Balance::round_robin;
  std::vector<config::UpstreamEndpoint> endpoints;
  config::UpstreamTimeouts timeouts;
  config::Pool pool;
  config::Retries retries;
  config::Ejection ejection;
  config::Resolve resolve;
  session::UpstreamLimits limits;
  std::shared_ptr<const obs::UpstreamMetrics> metrics;  // may be null; not part of the identity
};

// `tls_identity` stands for the content of the TLS context (file bytes, not paths): a renewed
// client certificate or CA makes a new pool.
[[nodiscard]] std::shared_ptr<const ClusterSpec> make_cluster(
    const config::Upstream& upstream, std::shared_ptr<const tls::ClientContext> tls,
    std::string_view tls_identity, std::shared_ptr<const obs::UpstreamMetrics> metrics);

// By index (a route holds it) and by name.
class Clusters {
 public:
  Clusters() = default;
  // Names are unique: validation saw to that.
  explicit Clusters(std::vector<std::shared_ptr<const ClusterSpec>> clusters);

  [[nodiscard]] std::size_t size() const noexcept { return clusters_.size(); }
  [[nodiscard]] const std::shared_ptr<const ClusterSpec>& at(std::size_t index) const {
    return clusters_[index];
  }
  [[nodiscard]] std::optional<std::size_t> index_of(std::string_view name) const;
  [[nodiscard]] auto begin() const noexcept { return clusters_.begin(); }
  [[nodiscard]] auto end() const noexcept { return clusters_.end(); }

 private:
  std::vector<std::shared_ptr<const ClusterSpec>> clusters_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

}  // namespace sallyport::upstream
