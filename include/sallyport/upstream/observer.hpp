// What a worker's pools tell about themselves, as plain calls: the metrics of an upstream, and
// what tests look at. All on the worker's thread, never from within a call that could be
// repeated by the observer: it only counts.
#pragma once

#include <cstdint>
#include <string_view>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/http/head.hpp"
#include "sallyport/http2/budgets.hpp"
#include "sallyport/upstream/cluster.hpp"

namespace sallyport::obs {
class Metrics;
class Shard;
}  // namespace sallyport::obs

namespace sallyport::upstream {

enum class ConnectionState : std::uint8_t { connecting, active, idle };
enum class EjectedFor : std::uint8_t { connect, errors };

class Observer {
 public:
  // An attempt to connect ended; code is `none` when it came up. `tls` is zero for cleartext.
  virtual void on_connected(const ClusterSpec&, http::Version, base::ErrorCode, base::Duration /*connect*/,
                            base::Duration /*tls*/) {}
  // +1 when a connection enters a state, -1 when it leaves it.
  virtual void on_connections(const ClusterSpec&, http::Version, ConnectionState, int /*delta*/) {}
  // Exchanges that wait for a connection.
  virtual void on_pending(const ClusterSpec&, int /*delta*/) {}
  // Endpoint addresses in service and out of it: what changed.
  virtual void on_endpoints(const ClusterSpec&, int /*healthy*/, int /*ejected*/) {}
  virtual void on_ejected(const ClusterSpec&, std::string_view /*endpoint*/, EjectedFor, base::Duration) {}
  // RST_STREAM and GOAWAY, either way, and budgets that ran out.
  virtual void on_h2_flood(http2::Flood) {}
  virtual void on_h2_reset(bool /*sent*/, std::uint32_t /*code*/) {}
  virtual void on_h2_goaway(bool /*sent*/, std::uint32_t /*code*/) {}

 protected:
  ~Observer() = default;
};

// The observer of a running gateway: adds to the specs' metrics in this worker's shard.
class MetricsObserver final : public Observer {
 public:
  // A gauge is the sum over all workers, and all have the same endpoints: one of them tells.
  MetricsObserver(const obs::Metrics& metrics, obs::Shard& shard, bool tells_endpoints) noexcept
      : metrics_(metrics), shard_(shard), tells_endpoints_(tells_endpoints) {}
  void on_connected(const ClusterSpec& spec, http::Version version, base::ErrorCode code,
                    base::Duration connect, base::Duration tls) override;
  void on_connections(const ClusterSpec& spec, http::Version version, ConnectionState state,
                      int delta) override;
  void on_pending(const ClusterSpec& spec, int delta) override;
  void on_endpoints(const ClusterSpec& spec, int healthy, int ejected) override;
  void on_ejected(const ClusterSpec& spec, std::string_view endpoint, EjectedFor why,
                  base::Duration time) override;
  void on_h2_flood(http2::Flood flood) override;
  void on_h2_reset(bool sent, std::uint32_t code) override;
  void on_h2_goaway(bool sent, std::uint32_t code) override;

 private:
  const obs::Metrics& metrics_;
  obs::Shard& shard_;
  bool tells_endpoints_;
};

}  // namespace sallyport::upstream
