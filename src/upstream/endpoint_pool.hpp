// The connections of a worker to one address, the exchanges that wait for one of them to come
// up, and what is remembered of the endpoint: ejection, ALPN's outcome, TLS sessions.
//
// Owned by its Pool, on the worker's thread. When a resolution takes the address away it leaves:
// it lends no more and dies (by the loop) with its last connection.
//
// Waiting exchanges are in lanes, because of what is dialed for them: where WebSockets may need
// another protocol than plain exchanges they have a lane of their own.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/upstream/ejection.hpp"

#include "connection.hpp"

namespace sallyport::upstream {

class Pool;

class EndpointPool final : public net::Reapable {
 public:
  // `host` as configured: a name or a literal.
  EndpointPool(Pool& pool, std::string host, const net::Endpoint& address, std::uint32_t weight);
  ~EndpointPool() override;

  [[nodiscard]] Pool& pool() noexcept { return pool_; }
  [[nodiscard]] const std::string& host() const noexcept { return host_; }
  [[nodiscard]] const net::Endpoint& address() const noexcept { return address_; }
  [[nodiscard]] std::uint32_t weight() const noexcept { return weight_; }
  // Exchanges that run here or wait for a connection of it.
  [[nodiscard]] std::uint32_t busy() const noexcept { return leases_ + lanes_[0].count + lanes_[1].count; }
  [[nodiscard]] std::size_t connections() const noexcept { return connections_.size(); }
  // Of those that wait here, how many a connection on its way up will take.
  [[nodiscard]] std::uint32_t expected() const noexcept;
  [[nodiscard]] bool ejected() const noexcept { return ejection_.out(); }
  [[nodiscard]] Resumption& resumption() noexcept;

  // Lends to the request, refuses it, or lets it wait for a connection on its way up. False if a
  // new connection would be needed and the pool has no room for it.
  [[nodiscard]] bool place(LeaseRequest& request);
  // As place(), with the connections that are there only.
  [[nodiscard]] bool lend(LeaseRequest& request);
  [[nodiscard]] bool has_lendable() const noexcept { return !lendable_.empty(); }
  // A connection can lend: to those that wait here, then to those that wait anywhere.
  void serve();
  // Nothing is dialed for nobody any more: the pool finishes.
  void retire_unused();
  // Out of service: its waiting exchanges go back to the pool.
  void leave();
  [[nodiscard]] bool leaving() const noexcept { return leaving_; }

  // From its connections.
  void lendable(Connection& connection);
  void lent() noexcept { ++leases_; }
  void judge(Outcome outcome) noexcept;
  void dialed(Connection& connection, const base::Error& error);
  void dial_canceled(Connection& connection);
  // It lends what it can: those left are refused or dialed for, once it is known what its peer allows.
  void settled(const Connection& connection);
  // Its peer's SETTINGS did not come in time.
  void never_settled(const Connection& connection);
  void closed(const Connection& connection, const base::Error& error);
  void remove(Connection& connection);
  // What ALPN came to, or that HTTP/2 was agreed on but not spoken.
  void remember(http::Version version);

  // From LeaseRequest and Pool: off the queue, whatever comes of it.
  void dequeued(LeaseRequest& request) noexcept;
  // Whether what is waited for there is a peer.
  [[nodiscard]] bool dialing(std::uint8_t lane) const noexcept {
    return lanes_[lane].connecting != 0 || unsettled() != 0;
  }

 private:
  struct Lane {
    base::IntrusiveList<LeaseRequest, WaitingTag> waiting;
    std::uint32_t count = 0;
    std::uint32_t connecting = 0;
  };
  struct Memory;

  [[nodiscard]] std::uint8_t lane_of(const Ask& ask) const noexcept;
  [[nodiscard]] Offer offer(std::uint8_t lane) const noexcept;
  [[nodiscard]] bool covered(std::uint8_t lane, std::uint32_t more) const noexcept;
  [[nodiscard]] std::size_t unsettled() const noexcept;
  // How many exchanges of the lane its connections on their way up have room for.
  [[nodiscard]] std::size_t room(std::uint8_t lane) const noexcept;
  [[nodiscard]] bool refuses_websocket(const Ask& ask) const noexcept;
  [[nodiscard]] bool dial(std::uint8_t lane, base::Milliseconds connect_timeout);
  void wait(LeaseRequest& request, std::uint8_t lane);
  void give_up_waiting(std::uint8_t lane);
  // Dials for those that nothing on its way would serve; if there is no room, they go back to the pool.
  void ensure(std::uint8_t lane);
  void ensure();
  void fail_uncovered(std::uint8_t lane, const base::Error& error);
  void note_failure(EjectedFor why);
  void on_return();
  void on_forget() { known_.reset(); }

  Pool& pool_;
  net::Loop& loop_;  // the pool may be gone when this dies
  std::string host_;
  net::Endpoint address_;
  std::uint32_t weight_;
  std::vector<std::unique_ptr<Connection>> connections_;
  base::IntrusiveList<Connection, LendableTag> lendable_;
  std::array<Lane, 2> lanes_;
  std::uint32_t leases_ = 0;
  bool leaving_ = false;
  Ejection ejection_;
  std::optional<http::Version> known_;
  std::unique_ptr<Memory> memory_;
  net::MemberTimer<EndpointPool, &EndpointPool::on_return> return_timer_{*this};
  net::MemberTimer<EndpointPool, &EndpointPool::on_forget> forget_timer_{*this};
};

}  // namespace sallyport::upstream
