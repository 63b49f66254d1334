// One event loop and all that lives on it: listeners, handshakes, sessions, the proxy, pools.
//
// Owned by the Server; one thread, which run() is. The control thread talks to it by post() only
// and hears back through Shared's callbacks, which are posted to the control loop by their maker.
// A connection is born here and dies here. Members die in an order that lets every stream tell
// its receiver: sessions, then proxy, then pools, then loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "sallyport/net/address_table.hpp"
#include "sallyport/net/listener.hpp"
#include "sallyport/net/loop.hpp"
#include "sallyport/obs/access_log.hpp"
#include "sallyport/obs/health_minutes.hpp"
#include "sallyport/obs/log.hpp"
#include "sallyport/obs/metrics.hpp"
#include "sallyport/proxy/cf_risk.hpp"
#include "sallyport/proxy/proxy.hpp"
#include "sallyport/proxy/snapshot.hpp"
#include "sallyport/session/client_session.hpp"
#include "sallyport/tls/health.hpp"
#include "sallyport/tls/server_stream.hpp"
#include "sallyport/upstream/pool.hpp"

#include "budgets.hpp"
#include "handshake_samples.hpp"
#include "lag_probe.hpp"
#include "opening.hpp"
#include "tls_ids.hpp"

namespace sallyport::runtime {

// What all workers share; outlives them.
struct Shared {
  obs::Log& log;
  obs::Metrics& metrics;
  obs::AccessLog& access_log;
  obs::HealthMinutes& health;
  Budgets& budgets;
  std::atomic<std::uint64_t>& connection_ids;
  std::uint64_t tls_ids;  // random: where this process's ids of TLS connections begin
};

// What a worker needs of a listener beyond the snapshot.
struct ListenerSetup {
  std::string key;                 // identifies its socket over reloads: see Server
  std::shared_ptr<Budget> budget;  // max_connections, over all workers
};

// A socket that a worker has not had before.
struct NewSocket {
  std::string key;
  net::ListenerSocket socket;
};

class Worker final : private Opening::Owner,
                     private tls::HandshakeHandler,
                     private session::ClientSession::Owner {
 public:
  Worker(std::uint32_t index, Shared shared);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Any thread: f(worker) runs on the worker, in a turn of its own.
  template <class F>
  void post(F f) {
    loop_.post([this, run = std::move(f)]() mutable { run(*this); });
  }
  void start();  // the thread
  void stop_and_join();

  // On the worker. `setups` has one entry a listener of the snapshot, in its order; sockets that
  // are new here are in `sockets`. Sockets that no listener has any more drain and close.
  void apply(const proxy::SnapshotPtr& snapshot, const std::vector<ListenerSetup>& setups,
             std::vector<NewSocket> sockets);
  // Newer ones than the snapshot's.
  void use(proxy::AddressSets sets) { proxy_.use(std::move(sets)); }
  void resolved(const std::shared_ptr<const upstream::Resolution>& resolution) {
    pools_.resolved(resolution);
  }
  // Stops accepting, lets every session end in its own time; `drained` is called, here, once all have.
  void drain(std::function<void()> drained);
  // Sheds what this level says, until the next call. Repeated at no_idle: more has become idle.
  void pressure(base::Pressure level);
  // Closes what is left, at once.
  void abort();
  // Whether a listener's accept queue, a handshake or a session is left.
  [[nodiscard]] bool busy() const noexcept;

 private:
  class Door;
  friend class Door;
  // What the handshakes of one host on one listener are counted in.
  struct HostSeries {
    std::shared_ptr<const obs::HostMetrics> metrics;
    std::shared_ptr<obs::HealthMinutes::Host> health;
  };

  void on_accept(Door& door, net::TcpSocket socket, const net::Endpoint& peer, const net::Endpoint& local);
  void on_accept_error(Door& door, const base::Error& error);
  void on_door_drained();
  [[nodiscard]] bool seat(Door& door, obs::PeerKind kind, const net::Endpoint& client,
                          net::AddressTable::Seat& seat);
  [[nodiscard]] bool take_budgets(Door& door, obs::PeerKind kind);
  void reject(Door& door, obs::PeerKind kind, obs::RejectReason reason, proxy::CfRisk risk);
  [[nodiscard]] obs::PeerKind kind_of(const proxy::ListenerEntry& entry,
                                      const net::IpAddress& address) const noexcept;
  [[nodiscard]] static obs::PeerKind kind_of(const session::ConnectionInfo& info) noexcept {
    return static_cast<obs::PeerKind>(info.peer_kind);
  }
  [[nodiscard]] bool allowed(Door& door, const proxy::ListenerEntry& entry, const net::IpAddress& address);
  [[nodiscard]] const proxy::ListenerEntry& entry_of(const Door& door) const noexcept;
  void pause(Door& door);
  void enter(Door& door, obs::PeerKind kind, net::TcpSocket socket, const net::Endpoint& peer,
             const net::Endpoint& local, net::AddressTable::Seat seat, std::span<const char> early,
             bool http2);
  void admit(Door& door, std::unique_ptr<net::ByteStream> stream, session::ConnectionInfo info,
             http::Version version);
  void note_abuse(const Door& door, const session::ConnectionInfo& info);
  void leave(Door& door, obs::PeerKind kind, obs::Proto proto, obs::ClosedBy by);
  void drain_outdated();
  void forget_empty_doors();
  [[nodiscard]] Door* door_of(std::uint32_t id) noexcept;
  void check_drained();

  // Opening::Owner
  void on_opened(Opening& opening) override;
  void on_opening_failed(Opening& opening, Opening::Failure why) override;

  // tls::HandshakeHandler
  [[nodiscard]] std::shared_ptr<const tls::ContextStore> context_store() override;
  void on_handshake(tls::ServerStream& stream, const tls::Handshake& facts) override;
  void on_handshake_failed(tls::ServerStream& stream, const tls::HandshakeFailure& failure) override;
  void on_handshake_over(tls::ServerStream& stream) override;
  void begin_handshake(Door& door, obs::PeerKind kind, net::TcpSocket socket, const net::Endpoint& peer,
                       const net::Endpoint& local, net::AddressTable::Seat seat, std::span<const char> early);
  Door* end_handshake(tls::ServerStream& stream, std::uint64_t& tls_id);
  // The handshake's health.
  unsigned count_handshake(Door& door, const tls::Handshake& facts);
  void log_handshake(const Door& door, const session::ConnectionInfo& info, const tls::Handshake& facts);
  void log_client_report(const Door& door, const session::ConnectionInfo& info, const tls::Handshake& facts);
  void log_failure(const Door& door, tls::ServerStream& stream, std::uint64_t tls_id,
                   const tls::HandshakeFailure& failure);
  [[nodiscard]] const HostSeries& series_of(Door& door, const tls::HostEntry* host);
  [[nodiscard]] const HostSeries& series_named(const Door& door, std::string_view host);

  // session::ClientSession::Owner
  void on_session_closed(session::ClientSession& session, session::ClosedBy by) override;
  void on_h2_flood(session::ClientSession& session, http2::Flood flood) override;
  void on_h2_reset(bool sent, std::uint32_t code) override;
  void on_h2_goaway(bool sent, std::uint32_t code) override;
  void on_slow_client(bool reading) override;

  Shared shared_;
  obs::Shard& shard_;
  net::Loop loop_;
  LagProbe lag_probe_;
  upstream::MetricsObserver observer_;
  upstream::SocketDialer dialer_;
  upstream::Pools pools_;
  proxy::Proxy proxy_;
  proxy::SnapshotPtr snapshot_;
  std::vector<std::unique_ptr<Door>> doors_;
  base::IntrusiveList<Opening, OpeningTag> openings_;
  base::IntrusiveList<tls::ServerStream, tls::HandshakeTag> handshakes_;
  base::IntrusiveList<session::ClientSession, session::SessionTag> sessions_;
  struct Handshaking {
    std::uint32_t door;
    obs::PeerKind kind;
    net::AddressTable::Seat seat;
    std::uint64_t tls_id;
  };
  std::unordered_map<const tls::ServerStream*, Handshaking> handshaking_;
  std::unordered_map<std::string, HostSeries> host_series_;  // by listener and host, of this snapshot
  TlsIds tls_ids_;
  HandshakeSamples samples_;
  tls::HealthWeights health_weights_;
  std::vector<obs::RateLimit> failure_limits_;  // by handshake reason
  std::vector<obs::RateLimit> report_limits_;   // by tls::ClientCertResult
  obs::RateLimit accept_errors_{5, base::Seconds(1)};
  obs::RateLimit refused_addresses_{5, base::Seconds(1)};
  std::uint32_t connections_ = 0;
  std::function<void()> drained_;
  std::uint32_t next_door_ = 0;
  bool draining_ = false;
  std::thread thread_;
};

}  // namespace sallyport::runtime
