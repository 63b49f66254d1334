// The connections of a worker to its upstreams.
//
// Owned by the worker, one thread's; dies after the worker's exchanges and before its loop. It
// holds one pool per upstream, found by the spec's identity. A pool that a reload changed or
// removed finishes: it keeps no idle connection, serves the exchanges of old snapshots to their
// end, and dies with the last of them. Exchanges use a pool through LeaseRequest only.
//
// What a pool does: HTTP/1.1 connections are kept alive and reused last in, first out, so that
// the surplus ages out; HTTP/2 connections are filled before another is opened. A connection
// leaves as soon as its close or GOAWAY was read. Exchanges beyond the caps wait in order,
// bounded in number and time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "sallyport/net/loop.hpp"
#include "sallyport/upstream/cluster.hpp"
#include "sallyport/upstream/dialer.hpp"
#include "sallyport/upstream/lease.hpp"
#include "sallyport/upstream/observer.hpp"
#include "sallyport/upstream/resolver.hpp"

namespace sallyport::upstream {

// One endpoint address as /status shows it.
struct EndpointStatus {
  std::string upstream;
  std::string host;  // as configured
  net::Endpoint address;
  bool ejected = false;
  std::uint32_t exchanges = 0;
  std::uint32_t connections = 0;  // up or connecting
};

class Pools {
 public:
  // All outlive this. `seed` feeds the balancers' random choice.
  Pools(net::Loop& loop, Dialer& dialer, Observer& observer, std::uint64_t seed);
  ~Pools();
  Pools(const Pools&) = delete;
  Pools& operator=(const Pools&) = delete;

  // The pool of this upstream, made at first use. Good for the rest of the turn; a LeaseRequest
  // made on it keeps it.
  [[nodiscard]] Pool& pool(const std::shared_ptr<const ClusterSpec>& spec);
  // A new configuration: pools that it leaves as they are go on, the others finish.
  void update(const Clusters& clusters);
  // A name's addresses, as the resolver told. Kept for pools that are made later.
  void resolved(const std::shared_ptr<const Resolution>& resolution);
  // Shutting down: nothing is kept for reuse any more. Exchanges that run are still served.
  void drain();
  // Closes what is idle now; pools go on keeping what comes free later.
  void close_idle();

  [[nodiscard]] std::size_t size() const noexcept { return pools_.size(); }
  [[nodiscard]] std::vector<EndpointStatus> status() const;

 private:
  friend class Pool;
  [[nodiscard]] std::vector<Pool*> all() const;
  void reap_if_quiet(Pool& pool);

  net::Loop& loop_;
  Dialer& dialer_;
  Observer& observer_;
  std::uint64_t seed_;
  bool draining_ = false;
  bool configured_ = false;  // update() was called
  std::unordered_set<std::uint64_t> configured_identities_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Pool>> pools_;
  std::unordered_map<std::string, std::shared_ptr<const Resolution>> resolutions_;
};

}  // namespace sallyport::upstream
