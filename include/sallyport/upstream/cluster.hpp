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
#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/client_context.hpp"
#include "sallyport/tls/notes.hpp"

namespace sallyport::obs {
class UpstreamMetrics;
}

namespace sallyport::upstream {

struct ClusterSpec {
  std::string name;
  // A hash over everything below that makes its pool what it is, and over the name.
  std::uint64_t identity = 0;
  config::UpstreamProtocol protocol = config::UpstreamProtocol::automatic;
  // Null = cleartext. Its ALPN is what `protocol` asks for; of `automatic` h2 and http/1.1, and
  // `tls_http1` offers http/1.1 alone, for endpoints known to want that and for WebSockets.
  std::shared_ptr<const tls::ClientContext> tls;
  std::shared_ptr<const tls::ClientContext> tls_http1;
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

// Builds the TLS contexts too: files are read again at each call. `certificate` is ours to show,
// loaded by the caller (upstream.tls->certificate); null if there is none. nullptr if `notes` got
// an error.
[[nodiscard]] std::shared_ptr<const ClusterSpec> make_cluster(
    const config::Upstream& upstream, std::shared_ptr<const tls::Certificate> certificate,
    std::shared_ptr<const obs::UpstreamMetrics> metrics, tls::Notes& notes);

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
