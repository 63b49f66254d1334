#include "connection.hpp"

#include <algorithm>
#include <utility>

#include "cluster_pool.hpp"

namespace sallyport::upstream {

namespace {

// The peer closes at its hint: a request sent within the last moment would cross its FIN.
constexpr base::Seconds kHintMargin{1};

}  // namespace

Connection::Connection(EndpointPool& at, Offer offer, std::uint8_t lane)
    : at_(at),
      offer_(offer),
      lane_(lane),
      version_(offer == Offer::h2 ? http::Version::http2 : http::Version::http11) {}

Connection::~Connection() {
  dead_ = true;
  if (session_) session_->abort(base::gateway_error(base::ErrorCode::draining));
}

void Connection::dial(base::Milliseconds connect_timeout) {
  Pool& pool = at_.pool();
  set_state(ConnectionState::connecting);
  DialTarget target;
  target.address = at_.address();
  target.host = at_.host();
  target.offer = offer_;
  target.connect_timeout = connect_timeout;
  target.tls_timeout = pool.spec().timeouts.tls;
  target.resumption = &at_.resumption();
  dial_ = pool.dialer().dial(pool.shared_spec(), target, *this, *this);
}

void Connection::on_dialed(base::Result<Dialed> result) {
  Pool& pool = at_.pool();
  if (!dial_) {  // given up earlier in this turn
    if (result.has_value()) result->session->abort(base::gateway_error(base::ErrorCode::canceled));
    return;
  }
  pool.loop().reap(std::move(dial_));
  if (result.has_error()) {
    const base::Error error = result.error();
    pool.observer().on_connected(pool.spec(), version_, error.code, {}, {});
    set_state(std::nullopt);
    dead_ = true;
    uncount();
    at_.dialed(*this, error);
    return;
  }
  came_up(std::move(*result));
}

void Connection::came_up(Dialed dialed) {
  Pool& pool = at_.pool();
  set_state(std::nullopt);
  session_ = std::move(dialed.session);
  version_ = session_->version();
  connect_time_ = dialed.connect;
  tls_time_ = dialed.tls;
  pool.observer().on_connected(pool.spec(), version_, base::ErrorCode::none, dialed.connect, dialed.tls);
  if (const base::Milliseconds age = pool.spec().pool.max_age; age.count() != 0) {
    pool.loop().timers().arm(age_timer_, age, pool.loop().now());
  }
  if (offer_ == Offer::both) at_.remember(version_);
  settled_ = session_->settled();
  // SETTINGS come first and need no answer of ours (RFC 9113 §3.4): they belong to connecting.
  if (!settled_) {
    pool.loop().timers().arm(settings_timer_, pool.spec().timeouts.connect, pool.loop().now());
  }
  // Those that waited for it are served here, and only they waited for it.
  settle();
  connect_time_ = tls_time_ = {};
  at_.dialed(*this, {});
}

bool Connection::can_lend() const noexcept {
  return session_ && !retiring_ && session_->usable() && session_->capacity() > 0;
}

bool Connection::worn_out() const noexcept {
  const std::uint32_t most = at_.pool().spec().pool.max_requests;
  return most != 0 && served_ >= most;
}

bool Connection::refuses_websocket() const noexcept {
  return session_ && settled_ && !session_->takes_websocket();
}

bool Connection::unsettled() const noexcept {
  return session_ && !settled_ && !retiring_;
}

bool Connection::lend(LeaseRequest& request) {
  if (!can_lend() || worn_out()) return false;
  if (request.ask_.websocket && !session_->takes_websocket()) return false;
  http::Stream* stream = session_->open_stream();
  if (stream == nullptr) return false;
  set_state(ConnectionState::active);
  Lease lease;
  lease.connection_ = this;
  lease.stream_ = stream;
  lease.address_ = at_.address();
  lease.connect_time_ = connect_time_;
  lease.tls_time_ = tls_time_;
  lease.version_ = version_;
  lease.reused_ = been_idle_ || served_ != 0;
  lease.websocket_ = session_->takes_websocket();
  ++leases_;
  ++served_;
  at_.lent();
  if (session_->capacity() == 0) static_cast<base::ListHook<LendableTag>&>(*this).unlink();
  request.picked(at_.address());
  request.complete(std::move(lease));
  return true;
}

void Connection::detach(http::Stream& stream) noexcept {
  // Without a session the stream is gone, or about to be.
  if (session_) stream.detach();
}

void Connection::give_back(Outcome outcome) noexcept {
  --leases_;
  at_.judge(outcome);
  if (dead_) {
    if (leases_ == 0) at_.remove(*this);
    return;
  }
  // It can lend again in this very turn; what acts on the session waits until it is not on the stack.
  if (can_lend() && !worn_out()) at_.lendable(*this);
  at_.pool().loop().wake(*this);
}

void Connection::on_session_changed(session::UpstreamSession&) {
  settle();
}

void Connection::on_session_closed(session::UpstreamSession&, const base::Error& error) {
  Pool& pool = at_.pool();
  pool.loop().reap(std::move(session_));
  dead_ = true;
  leave_lists();
  set_state(std::nullopt);
  const bool h2_in_name_only =
      version_ == http::Version::http2 && error.code == base::ErrorCode::malformed && !settled_;
  if (offer_ == Offer::both && h2_in_name_only) at_.remember(http::Version::http11);
  uncount();
  at_.closed(*this, error);
  if (leases_ == 0) at_.remove(*this);
}

void Connection::on_h2_flood(http2::Flood flood) {
  at_.pool().observer().on_h2_flood(flood);
}

void Connection::on_h2_reset(bool sent, std::uint32_t code) {
  at_.pool().observer().on_h2_reset(sent, code);
}

void Connection::on_h2_goaway(bool sent, std::uint32_t code) {
  at_.pool().observer().on_h2_goaway(sent, code);
}

// Looks at what the session can do now, and takes the place that this means.
void Connection::settle() {
  if (!session_) return;
  if (!retiring_ && (!session_->usable() || worn_out())) retire();
  if (retiring_) {
    if (leases_ == 0) {
      set_state(std::nullopt);
      uncount();
    }
    return;
  }
  const bool news = !settled_ && session_->settled();
  if (news) {
    settled_ = true;
    settings_timer_.cancel();
  }
  if (session_->capacity() > 0) {
    at_.lendable(*this);
    at_.serve();
  } else {
    static_cast<base::ListHook<LendableTag>&>(*this).unlink();
  }
  if (news) at_.settled(*this);
  if (!retiring_ && leases_ == 0 && session_ && session_->active() == 0) enter_idle();
}

void Connection::enter_idle() {
  if (idle()) return;
  Pool& pool = at_.pool();
  if (!pool.keeps() || at_.leaving()) return retire();
  base::Milliseconds time = pool.spec().pool.idle_timeout;
  if (const base::Seconds hint = session_->idle_hint(); hint.count() != 0) {
    if (hint <= kHintMargin) return retire();
    time = time.count() == 0 ? hint - kHintMargin : std::min<base::Milliseconds>(time, hint - kHintMargin);
  }
  set_state(ConnectionState::idle);
  been_idle_ = true;
  if (time.count() != 0) pool.loop().timers().arm(idle_timer_, time, pool.loop().now());
  pool.went_idle(*this);
}

void Connection::retire() {
  if (retiring_ || dead_) return;
  retiring_ = true;
  leave_lists();
  if (dial_) {
    at_.pool().loop().reap(std::move(dial_));
    dead_ = true;
    set_state(std::nullopt);
    uncount();
    at_.dial_canceled(*this);
    return;
  }
  session_->shutdown();
  if (leases_ != 0) return;
  set_state(std::nullopt);
  uncount();
}

void Connection::on_settings_timer() {
  retire();
  at_.never_settled(*this);
}

void Connection::set_state(std::optional<ConnectionState> state) {
  if (state == state_) return;
  Pool& pool = at_.pool();
  if (state_) pool.observer().on_connections(pool.spec(), version_, *state_, -1);
  if (idle() && static_cast<base::ListHook<IdleTag>&>(*this).linked()) pool.left_idle(*this);
  idle_timer_.cancel();
  state_ = state;
  if (state_) pool.observer().on_connections(pool.spec(), version_, *state_, 1);
}

void Connection::uncount() {
  if (std::exchange(counted_, false)) at_.pool().room_freed();
}

void Connection::leave_lists() noexcept {
  static_cast<base::ListHook<LendableTag>&>(*this).unlink();
  idle_timer_.cancel();
  age_timer_.cancel();
  settings_timer_.cancel();
}

}  // namespace sallyport::upstream
