// One upstream's pool on one worker: its endpoints as they are resolved now, the balancer, the
// caps over all endpoints, and the queue of exchanges that wait for room.
//
// Owned by Pools; dies (by the loop) when it is retired and nothing of it is left.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sallyport/upstream/balancer.hpp"
#include "sallyport/upstream/pool.hpp"
#include "sallyport/upstream/retry.hpp"

#include "endpoint_pool.hpp"

namespace sallyport::upstream {

class Pool final : public net::Reapable, private net::Wake {
 public:
  Pool(Pools& pools, std::shared_ptr<const ClusterSpec> spec);
  ~Pool() override;

  [[nodiscard]] const ClusterSpec& spec() const noexcept { return *spec_; }
  [[nodiscard]] const std::shared_ptr<const ClusterSpec>& shared_spec() const noexcept { return spec_; }
  [[nodiscard]] net::Loop& loop() const noexcept { return pools_.loop_; }
  [[nodiscard]] Dialer& dialer() const noexcept { return pools_.dialer_; }
  [[nodiscard]] Observer& observer() const noexcept { return pools_.observer_; }
  // Of `automatic` without TLS there is only HTTP/1.1.
  [[nodiscard]] config::UpstreamProtocol protocol() const noexcept { return protocol_; }

  // The same identity from a newer configuration.
  void adopt(std::shared_ptr<const ClusterSpec> spec) noexcept;
  // Whether connections are kept for reuse.
  void keep(bool keep);
  // Closes connections that no exchange uses or waits for.
  void close_idle();
  [[nodiscard]] bool keeps() const noexcept { return keep_; }
  [[nodiscard]] bool quiet() const noexcept;
  void resolved(const std::string& host);
  void status(std::vector<EndpointStatus>& to) const;

  // From LeaseRequest.
  void enrol() noexcept { budget_.begin_exchange(); }
  void leave() noexcept;
  [[nodiscard]] RetryBudget& budget() noexcept { return budget_; }
  void acquire(LeaseRequest& request);
  void expired(LeaseRequest& request);
  void dequeue(LeaseRequest& request) noexcept;

  // From the endpoints and their connections.
  // Takes a place for a new connection, from the oldest idle one if need be.
  [[nodiscard]] bool make_room();
  void room_freed();
  void serve_pending(EndpointPool& endpoint);
  // Whether as many as may wait do, not counting those that a connection on its way up will take.
  [[nodiscard]] bool queue_full() const noexcept;
  // To the end of a queue, from another one or none.
  void enqueue(LeaseRequest& request, base::IntrusiveList<LeaseRequest, WaitingTag>& queue);
  // Back from an endpoint that can't serve it, before all that wait here; its deadline stands.
  void return_to_queue(LeaseRequest& request);
  void went_idle(Connection& connection);
  void left_idle(Connection& connection) noexcept;
  [[nodiscard]] bool may_eject() const noexcept;
  void ejected(EndpointPool& endpoint, EjectedFor why, base::Milliseconds time);
  void returned();
  void endpoint_done(EndpointPool& endpoint);
  void look_if_quiet() { pools_.reap_if_quiet(*this); }

 private:
  friend class Pools;
  void on_wake() override { place_pending(); }
  void place_pending();
  [[nodiscard]] bool place(LeaseRequest& request);
  [[nodiscard]] base::Milliseconds wait_limit(const Ask& ask) const noexcept;
  void mark_eligible(const LeaseRequest& request);
  void rebuild();
  struct Wanted;
  [[nodiscard]] std::vector<Wanted> wanted();
  void count_endpoints();

  Pools& pools_;
  std::shared_ptr<const ClusterSpec> spec_;
  config::UpstreamProtocol protocol_;
  Balancer balancer_;
  RetryBudget budget_;
  std::vector<std::unique_ptr<EndpointPool>> endpoints_;
  std::vector<Balancer::Candidate> candidates_;  // parallel to endpoints_
  std::vector<std::unique_ptr<EndpointPool>> leaving_;
  base::IntrusiveList<LeaseRequest, WaitingTag> pending_;
  base::IntrusiveList<Connection, IdleTag> idle_;  // the oldest first
  std::uint32_t waiting_ = 0;                      // here and at the endpoints
  std::uint32_t connections_ = 0;
  std::uint32_t idle_count_ = 0;
  std::uint32_t ejected_ = 0;
  std::uint32_t told_healthy_ = 0;  // what the observer knows
  std::uint32_t told_ejected_ = 0;
  std::uint32_t unresolved_ = 0;  // names that nothing is known of yet
  bool keep_ = true;
  bool retired_ = false;
};

}  // namespace sallyport::upstream
