#include "endpoint_pool.hpp"

#include <algorithm>
#include <utility>

#include "cluster_pool.hpp"

namespace sallyport::upstream {

namespace {

constexpr std::uint8_t kPlain = 0;
constexpr std::uint8_t kWebsocket = 1;

// How long ALPN's outcome is believed: an upstream that learns HTTP/2 is found out within this.
constexpr base::Milliseconds kProtocolMemory{10 * 60 * 1000};

}  // namespace

// Sessions that are on the loop's list of the dead still point to it, so it goes there after them.
struct EndpointPool::Memory final : net::Reapable {
  Resumption resumption;
};

EndpointPool::EndpointPool(Pool& pool, std::string host, const net::Endpoint& address, std::uint32_t weight)
    : pool_(pool),
      loop_(pool.loop()),
      host_(std::move(host)),
      address_(address),
      weight_(weight),
      memory_(std::make_unique<Memory>()) {}

EndpointPool::~EndpointPool() {
  connections_.clear();
  loop_.reap(std::move(memory_));
}

Resumption& EndpointPool::resumption() noexcept {
  return memory_->resumption;
}

// ---- placing exchanges ----

bool EndpointPool::place(LeaseRequest& request) {
  if (lend(request)) return true;
  if (refuses_websocket(request.ask_)) {
    base::Error error = base::upstream_error(base::ErrorCode::unsupported);
    error.unsent = true;
    request.picked(address_);
    request.complete(error);
    return true;
  }
  const std::uint8_t lane = lane_of(request.ask_);
  const base::Milliseconds asked = request.ask_.connect_timeout;
  const base::Milliseconds timeout = asked.count() != 0 ? asked : pool_.spec().timeouts.connect;
  if (!covered(lane, 1)) {
    if (!dial(lane, timeout)) return false;
  } else if (!request.waiting_ && lanes_[lane].count >= room(lane) && pool_.queue_full()) {
    return false;
  }
  request.picked(address_);
  wait(request, lane);
  return true;
}

bool EndpointPool::lend(LeaseRequest& request) {
  Connection* next = nullptr;
  for (Connection* c = lendable_.front(); c != nullptr; c = next) {
    next = lendable_.next(c);
    if (request.ask_.fresh && c->idle()) continue;
    if (c->lend(request)) return true;
  }
  return false;
}

void EndpointPool::wait(LeaseRequest& request, std::uint8_t lane) {
  pool_.enqueue(request, lanes_[lane].waiting);
  request.at_ = this;
  request.lane_ = lane;
  ++lanes_[lane].count;
}

void EndpointPool::dequeued(LeaseRequest& request) noexcept {
  --lanes_[request.lane_].count;
  request.at_ = nullptr;
}

void EndpointPool::serve() {
  for (Lane& lane : lanes_) {
    while (LeaseRequest* first = lane.waiting.front()) {
      if (!lend(*first)) break;
    }
  }
  if (has_lendable() && !leaving_) pool_.serve_pending(*this);
}

// HTTP/1.1 serves last in, first out: the surplus stays idle and ages out. HTTP/2 goes on with
// the connection in use, for the same reason.
void EndpointPool::lendable(Connection& connection) {
  if (static_cast<base::ListHook<LendableTag>&>(connection).linked()) return;
  if (connection.version() == http::Version::http2) {
    lendable_.push_back(&connection);
  } else {
    lendable_.push_front(&connection);
  }
}

// ---- what is dialed, and for whom ----

std::uint8_t EndpointPool::lane_of(const Ask& ask) const noexcept {
  return ask.websocket && pool_.protocol() != config::UpstreamProtocol::h1 ? kWebsocket : kPlain;
}

// WebSockets towards `automatic` go over HTTP/1.1: whether an HTTP/2 peer takes them is known only
// after it was asked, and every server that takes them at all takes them there.
Offer EndpointPool::offer(std::uint8_t lane) const noexcept {
  switch (pool_.protocol()) {
    case config::UpstreamProtocol::h1:
      return Offer::h1;
    case config::UpstreamProtocol::h2:
      return Offer::h2;
    case config::UpstreamProtocol::automatic:
      break;
  }
  return lane == kWebsocket || known_ == http::Version::http11 ? Offer::h1 : Offer::both;
}

// Whether connections on their way up will serve all that wait in the lane and `more`. One that
// may turn out to be HTTP/2 is taken to serve them all: no second one is dialed before that, and
// how many streams its peer takes, is known.
bool EndpointPool::covered(std::uint8_t lane, std::uint32_t more) const noexcept {
  const Lane& l = lanes_[lane];
  if (offer(lane) == Offer::h1) return l.connecting >= l.count + more;
  return l.connecting != 0 || unsettled() != 0;
}

std::size_t EndpointPool::unsettled() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(connections_.begin(), connections_.end(), [](const auto& c) { return c->unsettled(); }));
}

std::size_t EndpointPool::room(std::uint8_t lane) const noexcept {
  const std::size_t connecting = lanes_[lane].connecting;
  if (offer(lane) == Offer::h1) return connecting;
  return (connecting + unsettled()) * pool_.spec().pool.max_streams;
}

std::uint32_t EndpointPool::expected() const noexcept {
  std::uint32_t sum = 0;
  for (const std::uint8_t lane : {kPlain, kWebsocket}) {
    sum += static_cast<std::uint32_t>(std::min<std::size_t>(lanes_[lane].count, room(lane)));
  }
  return sum;
}

bool EndpointPool::refuses_websocket(const Ask& ask) const noexcept {
  return ask.websocket && pool_.protocol() == config::UpstreamProtocol::h2 &&
         std::any_of(connections_.begin(), connections_.end(),
                     [](const auto& c) { return c->refuses_websocket(); });
}

bool EndpointPool::dial(std::uint8_t lane, base::Milliseconds connect_timeout) {
  if (leaving_ || !pool_.make_room()) return false;
  connections_.push_back(std::make_unique<Connection>(*this, offer(lane), lane));
  ++lanes_[lane].connecting;
  connections_.back()->dial(connect_timeout);
  return true;
}

void EndpointPool::dialed(Connection& connection, const base::Error& error) {
  --lanes_[connection.lane()].connecting;
  if (error) {
    note_failure(EjectedFor::connect);
    fail_uncovered(connection.lane(), error);
    remove(connection);
  } else {
    settled(connection);
  }
}

void EndpointPool::dial_canceled(Connection& connection) {
  --lanes_[connection.lane()].connecting;
  remove(connection);
}

void EndpointPool::settled(const Connection& connection) {
  if (connection.refuses_websocket() && pool_.protocol() == config::UpstreamProtocol::h2) {
    base::Error error = base::upstream_error(base::ErrorCode::unsupported);
    error.unsent = true;
    while (LeaseRequest* first = lanes_[kWebsocket].waiting.front()) first->complete(error);
  }
  ensure();
}

void EndpointPool::never_settled(const Connection& connection) {
  note_failure(EjectedFor::connect);
  fail_uncovered(connection.lane(), base::upstream_error(base::ErrorCode::connect_timeout));
  ensure();
}

void EndpointPool::closed(const Connection& connection, const base::Error& error) {
  const bool wanted = lanes_[connection.lane()].count != 0;
  const bool vain = connection.unused() || !connection.settled();
  // ALPN's HTTP/2 was not spoken; HTTP/1.1 will be.
  const bool learned = connection.version() == http::Version::http2 && offer(connection.lane()) == Offer::h1;
  if (wanted && vain && !learned && error.fault == base::Fault::upstream) {
    // Accepted and dropped is as good as refused: to dial on for those that wait would go round and round.
    note_failure(EjectedFor::connect);
    fail_uncovered(connection.lane(), error);
  }
  ensure();
}

void EndpointPool::ensure() {
  ensure(kPlain);
  ensure(kWebsocket);
}

void EndpointPool::ensure(std::uint8_t lane) {
  while (lanes_[lane].count != 0 && !covered(lane, 0)) {
    if (!dial(lane, pool_.spec().timeouts.connect)) return give_up_waiting(lane);
  }
}

void EndpointPool::give_up_waiting(std::uint8_t lane) {
  Lane& l = lanes_[lane];
  while (l.count != 0 && (leaving_ || !covered(lane, 0))) pool_.return_to_queue(*l.waiting.back());
}

void EndpointPool::fail_uncovered(std::uint8_t lane, const base::Error& error) {
  base::Error told = error;
  told.unsent = true;
  Lane& l = lanes_[lane];
  while (l.count != 0 && !covered(lane, 0)) l.waiting.front()->complete(told);
}

void EndpointPool::remember(http::Version version) {
  known_ = version;
  loop_.timers().arm(forget_timer_, kProtocolMemory, loop_.now());
}

// ---- ejection ----

void EndpointPool::judge(Outcome outcome) noexcept {
  --leases_;
  switch (outcome) {
    case Outcome::ok:
      ejection_.succeeded();
      break;
    case Outcome::gateway_status:
    case Outcome::timeout:
    case Outcome::reset:
      note_failure(EjectedFor::errors);
      break;
    case Outcome::neutral:
      break;
  }
}

void EndpointPool::note_failure(EjectedFor why) {
  const config::Ejection& policy = pool_.spec().ejection;
  if (!ejection_.failed(policy) || leaving_ || !pool_.may_eject()) return;
  const base::Milliseconds time = ejection_.eject(policy);
  loop_.timers().arm(return_timer_, time, loop_.now());
  pool_.ejected(*this, why, time);
}

void EndpointPool::on_return() {
  ejection_.returned();
  pool_.returned();
}

// ---- leaving ----

void EndpointPool::retire_unused() {
  std::vector<Connection*> unused;
  for (const auto& c : connections_) {
    if (c->idle() || (c->connecting() && lanes_[c->lane()].count == 0)) unused.push_back(c.get());
  }
  for (Connection* c : unused) c->retire();
}

void EndpointPool::leave() {
  leaving_ = true;
  return_timer_.cancel();
  forget_timer_.cancel();
  give_up_waiting(kWebsocket);
  give_up_waiting(kPlain);
  std::vector<Connection*> all;
  for (const auto& c : connections_) all.push_back(c.get());
  for (Connection* c : all) c->retire();
}

void EndpointPool::remove(Connection& connection) {
  const auto at = std::find_if(connections_.begin(), connections_.end(),
                               [&](const auto& c) { return c.get() == &connection; });
  if (at == connections_.end()) return;
  std::unique_ptr<Connection> gone = std::move(*at);
  if (at != connections_.end() - 1) *at = std::move(connections_.back());
  connections_.pop_back();
  loop_.reap(std::move(gone));
  if (!connections_.empty()) return;
  if (leaving_) pool_.endpoint_done(*this);
  pool_.look_if_quiet();
}

}  // namespace sallyport::upstream
