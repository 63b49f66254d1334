// One connection of a pool: being dialed, lending streams of its session, finishing, dead.
//
// Owned by its EndpointPool, on the worker's thread; it dies (by the loop) once its session is
// dead and the last lease of it is over. It keeps its place in the endpoint's list of those that
// can lend and in the pool's list of idle ones, and tells the observer its state.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "sallyport/base/intrusive_list.hpp"
#include "sallyport/net/loop.hpp"
#include "sallyport/net/timer_wheel.hpp"
#include "sallyport/session/upstream_session.hpp"
#include "sallyport/upstream/dialer.hpp"
#include "sallyport/upstream/lease.hpp"
#include "sallyport/upstream/observer.hpp"

namespace sallyport::upstream {

class EndpointPool;
struct LendableTag;
struct IdleTag;

class Connection final : public net::Reapable,
                         public base::ListHook<LendableTag>,
                         public base::ListHook<IdleTag>,
                         private session::UpstreamSession::Owner,
                         private Dial::Receiver,
                         private net::Wake {
 public:
  Connection(EndpointPool& at, Offer offer, std::uint8_t lane);
  ~Connection() override;

  void dial(base::Milliseconds connect_timeout);
  // Gives the request a stream; false if it can't or does not suit.
  [[nodiscard]] bool lend(LeaseRequest& request);
  // Lends no more; ends with its last exchange, or now if there is none.
  void retire();

  [[nodiscard]] bool connecting() const noexcept { return dial_ != nullptr; }
  [[nodiscard]] bool idle() const noexcept { return state_ == ConnectionState::idle; }
  [[nodiscard]] bool retiring() const noexcept { return retiring_ || dead_; }
  // Nobody has had a stream of it.
  [[nodiscard]] bool unused() const noexcept { return served_ == 0; }
  [[nodiscard]] std::uint8_t lane() const noexcept { return lane_; }
  [[nodiscard]] http::Version version() const noexcept { return version_; }
  [[nodiscard]] bool settled() const noexcept { return settled_; }
  // Up, and what the peer allows (HTTP/2's SETTINGS) is still to come.
  [[nodiscard]] bool unsettled() const noexcept;
  // An HTTP/2 connection whose SETTINGS do not allow RFC 8441.
  [[nodiscard]] bool refuses_websocket() const noexcept;

  // From Lease.
  void give_back(Outcome outcome) noexcept;
  void detach(http::Stream& stream) noexcept;

 private:
  void on_dialed(base::Result<Dialed> result) override;
  void on_session_changed(session::UpstreamSession& session) override;
  void on_session_closed(session::UpstreamSession& session, const base::Error& error) override;
  void on_h2_flood(http2::Flood flood) override;
  void on_h2_reset(bool sent, std::uint32_t code) override;
  void on_h2_goaway(bool sent, std::uint32_t code) override;
  void on_wake() override { settle(); }
  void on_idle_timer() { retire(); }
  void on_age_timer() { retire(); }
  void on_settings_timer();

  void came_up(Dialed dialed);
  void settle();
  [[nodiscard]] bool can_lend() const noexcept;
  [[nodiscard]] bool worn_out() const noexcept;
  void enter_idle();
  void set_state(std::optional<ConnectionState> state);
  // Out of the pool's count: it takes no place of a new one any more.
  void uncount();
  void leave_lists() noexcept;

  EndpointPool& at_;
  const Offer offer_;
  const std::uint8_t lane_;
  http::Version version_;
  std::unique_ptr<Dial> dial_;
  std::unique_ptr<session::UpstreamSession> session_;
  std::optional<ConnectionState> state_;
  std::uint32_t leases_ = 0;
  std::uint64_t served_ = 0;  // exchanges lent
  bool counted_ = true;
  bool retiring_ = false;
  bool dead_ = false;
  bool been_idle_ = false;
  bool settled_ = false;  // the session's SETTINGS came
  // Of the lease that waited for it to come up; zero once that has been given.
  base::Duration connect_time_{};
  base::Duration tls_time_{};
  net::MemberTimer<Connection, &Connection::on_idle_timer> idle_timer_{*this};
  net::MemberTimer<Connection, &Connection::on_age_timer> age_timer_{*this};
  net::MemberTimer<Connection, &Connection::on_settings_timer> settings_timer_{*this};
};

}  // namespace sallyport::upstream
