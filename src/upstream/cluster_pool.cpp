#include "cluster_pool.hpp"

#include <algorithm>
#include <utility>

namespace sallyport::upstream {

namespace {

// A dial's own deadlines come first, and tell more.
constexpr base::Milliseconds kWaitSlack{1000};

base::Error unsent(base::Error error) {
  error.unsent = true;
  return error;
}

config::UpstreamProtocol protocol_of(const ClusterSpec& spec) {
  const bool cleartext = spec.tls == nullptr;
  return cleartext && spec.protocol == config::UpstreamProtocol::automatic ? config::UpstreamProtocol::h1
                                                                           : spec.protocol;
}

}  // namespace

struct Pool::Wanted {
  const config::UpstreamEndpoint* endpoint;
  net::Endpoint address;
};

Pool::Pool(Pools& pools, std::shared_ptr<const ClusterSpec> spec)
    : pools_(pools),
      spec_(std::move(spec)),
      protocol_(protocol_of(*spec_)),
      balancer_(spec_->balance, pools.seed_ ^ spec_->identity),
      budget_(spec_->retries) {
  rebuild();
}

Pool::~Pool() {
  observer().on_endpoints(*spec_, -static_cast<int>(told_healthy_), -static_cast<int>(told_ejected_));
}

void Pool::adopt(std::shared_ptr<const ClusterSpec> spec) noexcept {
  spec_ = std::move(spec);
}

void Pool::keep(bool keep) {
  keep_ = keep;
  if (!keep_) close_idle();
}

void Pool::close_idle() {
  for (const auto& e : endpoints_) e->retire_unused();
}

bool Pool::quiet() const noexcept {
  return retired_ && budget_.exchanges() == 0 && leaving_.empty() &&
         std::all_of(endpoints_.begin(), endpoints_.end(),
                     [](const auto& e) { return e->connections() == 0; });
}

// ---- exchanges ----

void Pool::leave() noexcept {
  budget_.end_exchange();
  pools_.reap_if_quiet(*this);
}

void Pool::acquire(LeaseRequest& request) {
  if (place(request)) return;
  if (queue_full()) {
    request.complete(unsent(base::gateway_error(base::ErrorCode::pool_exhausted)));
  } else {
    enqueue(request, pending_);
  }
}

// False if it has to wait for room, or for a name.
bool Pool::place(LeaseRequest& request) {
  if (endpoints_.empty()) {
    if (unresolved_ != 0) return false;
    request.complete(unsent(spec_->endpoints.empty()
                                ? base::gateway_error(base::ErrorCode::no_endpoint)
                                : base::upstream_error(base::ErrorCode::name_unresolved)));
    return true;
  }
  mark_eligible(request);
  while (const std::optional<std::size_t> i = balancer_.pick(candidates_)) {
    if (endpoints_[*i]->place(request)) return true;
    candidates_[*i].eligible = false;
  }
  return false;
}

// The best that there are: in service and not tried before, then in service, then (all are
// ejected: better a try than a refusal) not tried before, then all.
void Pool::mark_eligible(const LeaseRequest& request) {
  enum Rank : int { any, untried, healthy, healthy_untried };
  const auto rank = [&](const EndpointPool& e) {
    const bool fresh = !request.tried(e.address());
    if (e.ejected()) return fresh ? untried : any;
    return fresh ? healthy_untried : healthy;
  };
  Rank best = any;
  for (const auto& e : endpoints_) best = std::max(best, rank(*e));
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    candidates_[i].eligible = rank(*endpoints_[i]) == best;
    candidates_[i].active = endpoints_[i]->busy();
  }
}

void Pool::place_pending() {
  while (LeaseRequest* first = pending_.front()) {
    if (!place(*first)) return;
  }
}

void Pool::serve_pending(EndpointPool& endpoint) {
  LeaseRequest* next = nullptr;
  for (LeaseRequest* r = pending_.front(); r != nullptr && endpoint.has_lendable(); r = next) {
    next = pending_.next(r);
    (void)endpoint.lend(*r);
  }
}

base::Milliseconds Pool::wait_limit(const Ask& ask) const noexcept {
  const base::Milliseconds connect =
      ask.connect_timeout.count() != 0 ? ask.connect_timeout : spec_->timeouts.connect;
  return connect + (spec_->tls ? spec_->timeouts.tls : base::Milliseconds{0}) + kWaitSlack;
}

void Pool::enqueue(LeaseRequest& request, base::IntrusiveList<LeaseRequest, WaitingTag>& queue) {
  if (request.at_ != nullptr) request.at_->dequeued(request);
  queue.push_back(&request);
  if (!std::exchange(request.waiting_, true)) {
    ++waiting_;
    observer().on_pending(*spec_, 1);
  }
  loop().timers().arm(request, wait_limit(request.ask_), loop().now());
}

void Pool::return_to_queue(LeaseRequest& request) {
  request.at_->dequeued(request);
  pending_.push_front(&request);
  loop().wake(*this);
}

void Pool::dequeue(LeaseRequest& request) noexcept {
  if (request.at_ != nullptr) request.at_->dequeued(request);
  static_cast<base::ListHook<WaitingTag>&>(request).unlink();
  static_cast<net::Timer&>(request).cancel();
  request.waiting_ = false;
  --waiting_;
  observer().on_pending(*spec_, -1);
}

void Pool::expired(LeaseRequest& request) {
  const EndpointPool* at = request.at_;
  base::Error error = base::gateway_error(base::ErrorCode::pool_exhausted);
  if (at == nullptr && endpoints_.empty()) {
    error = base::upstream_error(base::ErrorCode::name_unresolved);
  } else if (at != nullptr && at->dialing(request.lane_)) {
    error = base::upstream_error(base::ErrorCode::connect_timeout);
  } else if (at != nullptr && request.ask_.websocket) {
    error = base::upstream_error(base::ErrorCode::unsupported);
  }
  request.complete(unsent(error));
}

// ---- caps ----

bool Pool::queue_full() const noexcept {
  const std::uint32_t most = spec_->pool.max_pending;
  if (waiting_ < most) return false;
  std::uint32_t expected = 0;
  for (const auto& e : endpoints_) expected += e->expected();
  return waiting_ - expected >= most;
}

bool Pool::make_room() {
  if (connections_ >= spec_->pool.max_connections) {
    Connection* oldest = idle_.front();
    if (oldest == nullptr) return false;
    oldest->retire();
  }
  ++connections_;
  return true;
}

void Pool::room_freed() {
  --connections_;
  if (!pending_.empty()) loop().wake(*this);
}

void Pool::went_idle(Connection& connection) {
  idle_.push_back(&connection);
  if (++idle_count_ > spec_->pool.max_idle) idle_.front()->retire();
}

void Pool::left_idle(Connection& connection) noexcept {
  static_cast<base::ListHook<IdleTag>&>(connection).unlink();
  --idle_count_;
}

// ---- endpoints ----

bool Pool::may_eject() const noexcept {
  return Ejection::room(spec_->ejection, endpoints_.size(), ejected_);
}

void Pool::ejected(EndpointPool& endpoint, EjectedFor why, base::Milliseconds time) {
  observer().on_ejected(*spec_, endpoint.address().to_string(), why, time);
  count_endpoints();
}

void Pool::returned() {
  count_endpoints();
}

void Pool::count_endpoints() {
  ejected_ = static_cast<std::uint32_t>(
      std::count_if(endpoints_.begin(), endpoints_.end(), [](const auto& e) { return e->ejected(); }));
  const auto healthy = static_cast<std::uint32_t>(endpoints_.size()) - ejected_;
  const int more_healthy = static_cast<int>(healthy) - static_cast<int>(told_healthy_);
  const int more_ejected = static_cast<int>(ejected_) - static_cast<int>(told_ejected_);
  told_healthy_ = healthy;
  told_ejected_ = ejected_;
  if (more_healthy != 0 || more_ejected != 0) observer().on_endpoints(*spec_, more_healthy, more_ejected);
}

std::vector<Pool::Wanted> Pool::wanted() {
  std::vector<Wanted> list;
  const auto want = [&](const config::UpstreamEndpoint& endpoint, const net::IpAddress& ip) {
    const net::Endpoint address{ip, endpoint.port};
    const bool known = std::any_of(list.begin(), list.end(), [&](const Wanted& w) {
      return w.address == address && w.endpoint->host == endpoint.host;
    });
    if (!known) list.push_back({&endpoint, address});
  };
  unresolved_ = 0;
  for (const config::UpstreamEndpoint& endpoint : spec_->endpoints) {
    if (const std::optional<net::IpAddress> literal = net::IpAddress::parse(endpoint.host)) {
      want(endpoint, *literal);
      continue;
    }
    const auto found = pools_.resolutions_.find(endpoint.host);
    if (found == pools_.resolutions_.end()) {
      ++unresolved_;
    } else {
      for (const net::IpAddress& ip : found->second->addresses) want(endpoint, ip);
    }
  }
  return list;
}

void Pool::rebuild() {
  std::vector<std::unique_ptr<EndpointPool>> before = std::exchange(endpoints_, {});
  for (const Wanted& w : wanted()) {
    const auto same = std::find_if(before.begin(), before.end(), [&](const auto& e) {
      return e != nullptr && e->address() == w.address && e->host() == w.endpoint->host;
    });
    endpoints_.push_back(same != before.end() ? std::move(*same)
                                              : std::make_unique<EndpointPool>(
                                                    *this, w.endpoint->host, w.address, w.endpoint->weight));
  }
  candidates_.assign(endpoints_.size(), {});
  for (std::size_t i = 0; i < endpoints_.size(); ++i) candidates_[i].weight = endpoints_[i]->weight();
  for (auto& e : before) {
    if (e == nullptr) continue;
    EndpointPool& gone = *leaving_.emplace_back(std::move(e));
    gone.leave();
    if (gone.connections() == 0) endpoint_done(gone);
  }
  count_endpoints();
}

void Pool::resolved(const std::string& host) {
  const bool ours = std::any_of(spec_->endpoints.begin(), spec_->endpoints.end(),
                                [&](const auto& e) { return e.host == host; });
  if (!ours) return;
  rebuild();
  place_pending();
}

void Pool::endpoint_done(EndpointPool& endpoint) {
  const auto at =
      std::find_if(leaving_.begin(), leaving_.end(), [&](const auto& e) { return e.get() == &endpoint; });
  if (at == leaving_.end()) return;
  loop().reap(std::move(*at));
  leaving_.erase(at);
}

void Pool::status(std::vector<EndpointStatus>& to) const {
  for (const auto& e : endpoints_) {
    to.push_back({spec_->name, e->host(), e->address(), e->ejected(), e->busy(),
                  static_cast<std::uint32_t>(e->connections())});
  }
}

}  // namespace sallyport::upstream
