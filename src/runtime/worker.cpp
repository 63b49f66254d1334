#include "worker.hpp"

#include <algorithm>
#include <random>
#include <utility>

#include "door.hpp"

namespace sallyport::runtime {

namespace {

// Lines a second and handshake reason, after a first handful: a scanner must not fill a disk.
constexpr std::uint32_t kFailureBurst = 10;
constexpr base::Seconds kFailureInterval{1};

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

tls::HealthWeights weights_of(const config::HealthWeights& from) {
  return {from.version, from.forward_secrecy, from.suite,     from.validity,
          from.expiry,  from.chain,           from.resumption};
}

}  // namespace

Worker::Worker(std::uint32_t index, Shared shared)
    : shared_(shared),
      shard_(shared.metrics.new_shard()),
      lag_probe_(loop_, shared.metrics, shard_),
      observer_(shared.metrics, shard_, index == 0),
      dialer_(loop_),
      pools_(loop_, dialer_, observer_, random_seed()),
      proxy_(loop_, pools_, shared.metrics, shard_, shared.access_log.new_ring()),
      tls_ids_(shared.tls_ids, index),
      failure_limits_(tls::kHandshakeReasons, obs::RateLimit(kFailureBurst, kFailureInterval)),
      report_limits_(tls::kClientCertResults, obs::RateLimit(kFailureBurst, kFailureInterval)) {}

Worker::~Worker() {
  // The thread has ended; what is left is taken down here, in a turn, so that everybody is told.
  const net::Loop::Turn turn(loop_);
  abort();
}

void Worker::start() {
  lag_probe_.start();
  thread_ = std::thread([this] { loop_.run(); });
}

void Worker::stop_and_join() {
  if (!thread_.joinable()) return;
  // Behind what was posted before.
  loop_.post([this] { loop_.stop(); });
  thread_.join();
}

// ---- configuration ----

void Worker::apply(const proxy::SnapshotPtr& snapshot, const std::vector<ListenerSetup>& setups,
                   std::vector<NewSocket> sockets) {
  snapshot_ = snapshot;
  proxy_.use(snapshot);
  pools_.update(snapshot->clusters);
  samples_.use(snapshot->model.tls.samples);
  health_weights_ = weights_of(snapshot->model.tls.health.weights);
  // Hosts may be gone; those that are left are found again at their next handshake.
  for (const auto& door : doors_) door->hosts.clear();
  host_series_.clear();
  std::vector<std::unique_ptr<Door>> old = std::exchange(doors_, {});
  for (std::uint32_t i = 0; i < setups.size(); ++i) {
    const proxy::ListenerEntry& entry = snapshot->listeners[i];
    std::unique_ptr<Door> door;
    const auto same = std::find_if(old.begin(), old.end(), [&](const auto& d) {
      return d != nullptr && !d->leaving && d->key == setups[i].key;
    });
    if (same != old.end()) {
      door = std::move(*same);
    } else {
      const auto fresh = std::find_if(sockets.begin(), sockets.end(),
                                      [&](const NewSocket& s) { return s.key == setups[i].key; });
      door = std::make_unique<Door>(*this, ++next_door_, setups[i].key, std::move(fresh->socket));
    }
    door->index = i;
    door->name = entry.config->name;
    door->metrics = entry.metrics;
    door->budget = setups[i].budget;
    doors_.push_back(std::move(door));
    if (same != old.end()) continue;
    if (loop_.pressure() >= base::Pressure::no_connections) pause(*doors_.back());
    doors_.back()->listener.start();
  }
  for (auto& door : old) {
    if (door == nullptr) continue;
    if (!door->leaving) {
      door->leaving = true;
      door->listener.drain();
      for (session::ClientSession* s = sessions_.front(); s != nullptr; s = sessions_.next(s)) {
        if (s->info().door == door->id) s->drain();
      }
    }
    doors_.push_back(std::move(door));
  }
  drain_outdated();
}

// A certificate was shown under the rule of its time. Where that is another now, the connection's next
// request gets 421: who is idle is let go before it asks.
void Worker::drain_outdated() {
  if (snapshot_->tls == nullptr) return;
  for (session::ClientSession* s = sessions_.front(); s != nullptr;) {
    session::ClientSession* const next = sessions_.next(s);
    const session::ConnectionInfo& info = s->info();
    const bool shown = !info.client_cert.empty() && info.client_cert != "absent";
    const std::uint32_t listener = shown ? snapshot_->listener_of(info) : proxy::Snapshot::kNoListener;
    if (listener != proxy::Snapshot::kNoListener &&
        snapshot_->tls->rematch(info.sni, listener, info.auth_rule) == nullptr) {
      s->drain();
    }
    s = next;
  }
}

// ---- departures ----

void Worker::on_session_closed(session::ClientSession& session, session::ClosedBy by) {
  session.unlink();
  if (Door* door = door_of(session.info().door)) {
    const auto proto = session.version() == http::Version::http2 ? obs::Proto::h2 : obs::Proto::http11;
    if (by == session::ClosedBy::abuse) note_abuse(*door, session.info());
    leave(*door, kind_of(session.info()), proto, static_cast<obs::ClosedBy>(by));
  }
  loop_.reap(std::unique_ptr<net::Reapable>(&session));
  check_drained();
}

// A client whose connections end like this too often is refused for a while.
void Worker::note_abuse(const Door& door, const session::ConnectionInfo& info) {
  const net::AddressLimits& limits = entry_of(door).terms(kind_of(info)).address_limits;
  if (!info.seat.offend(limits, loop_.now())) return;
  shared_.log.event(refused_addresses_, loop_.now(), obs::Level::warn, "address_penalized",
                    {{"client", info.peer_text},
                     {"seconds", std::chrono::duration_cast<base::Seconds>(limits.refused).count()}});
}

void Worker::leave(Door& door, obs::PeerKind kind, obs::Proto proto, obs::ClosedBy by) {
  door.metrics->closed(shard_, kind, proto, by);
  door.budget->give_back();
  shared_.budgets.connections.give_back();
  --connections_;
  --door.connections;
  forget_empty_doors();
}

// A door that no listener has any more stays until its accept queue and its connections are gone.
void Worker::forget_empty_doors() {
  for (auto& door : doors_) {
    if (door->leaving && door->connections == 0 && !door->listener.is_open()) {
      // Its listener may be on the stack.
      loop_.reap(std::unique_ptr<net::Reapable>(door.release()));
    }
  }
  std::erase(doors_, nullptr);
}

void Worker::on_door_drained() {
  forget_empty_doors();
  check_drained();
}

Worker::Door* Worker::door_of(std::uint32_t id) noexcept {
  for (const auto& door : doors_) {
    if (door->id == id) return door.get();
  }
  return nullptr;
}

void Worker::on_h2_flood(session::ClientSession& session, http2::Flood flood) {
  shared_.metrics.flood(shard_, static_cast<std::size_t>(flood));
  shared_.log.event(accept_errors_, loop_.now(), obs::Level::warn, "http2_flood",
                    {{"kind", http2::to_string(flood)},
                     {"client", session.info().peer_text},
                     {"connection", session.info().id}});
}

void Worker::on_h2_reset(bool sent, std::uint32_t code) {
  shared_.metrics.stream_reset(shard_, obs::Side::client, sent ? obs::Dir::tx : obs::Dir::rx, code);
}

void Worker::on_slow_client(bool reading) {
  shared_.metrics.slow_client(shard_, reading);
}

void Worker::on_h2_goaway(bool sent, std::uint32_t code) {
  shared_.metrics.goaway(shard_, obs::Side::client, sent ? obs::Dir::tx : obs::Dir::rx, code);
}

// ---- memory ----

void Worker::pause(Door& door) {
  door.listener.pause();
  door.metrics->accept_paused(shard_, obs::PauseReason::memory);
}

void Worker::pressure(base::Pressure level) {
  const bool was_closed = loop_.pressure() >= base::Pressure::no_connections;
  loop_.pressure(level);
  const bool closed = level >= base::Pressure::no_connections;
  for (const auto& door : doors_) {
    if (closed == was_closed || door->leaving) continue;
    if (closed) {
      pause(*door);
    } else {
      door->listener.resume();
    }
  }
  if (level < base::Pressure::no_idle) return;
  for (session::ClientSession* s = sessions_.front(); s != nullptr; s = sessions_.next(s)) {
    if (s->active() != 0 || s->draining()) continue;
    s->drain();
    shared_.metrics.shed(shard_, obs::Shed::idle_connection);
  }
  pools_.close_idle();
}

// ---- the end ----

void Worker::drain(std::function<void()> drained) {
  drained_ = std::move(drained);
  draining_ = true;
  for (const auto& door : doors_) {
    if (!door->leaving) door->listener.drain();
    door->leaving = true;
  }
  for (session::ClientSession* s = sessions_.front(); s != nullptr; s = sessions_.next(s)) s->drain();
  pools_.drain();
  check_drained();
}

bool Worker::busy() const noexcept {
  const bool accepting =
      std::any_of(doors_.begin(), doors_.end(), [](const auto& door) { return door->listener.is_open(); });
  return accepting || !openings_.empty() || !handshakes_.empty() || !sessions_.empty() ||
         proxy_.active() != 0;
}

void Worker::check_drained() {
  if (draining_ && drained_ && !busy()) std::exchange(drained_, nullptr)();
}

void Worker::abort() {
  drained_ = nullptr;
  const base::Error why = base::gateway_error(base::ErrorCode::draining);
  while (session::ClientSession* session = sessions_.pop_front()) {
    session->abort(why);
    if (Door* door = door_of(session->info().door))
      leave(*door, kind_of(session->info()), obs::Proto::none, obs::ClosedBy::drain);
    loop_.reap(std::unique_ptr<net::Reapable>(session));
  }
  while (Opening* opening = openings_.pop_front()) loop_.reap(std::unique_ptr<net::Reapable>(opening));
  // Counted and logged like any other that failed; on_handshake_over() takes each off the list.
  while (tls::ServerStream* stream = handshakes_.front()) stream->abandon();
  for (const auto& door : doors_) door->listener.close();
}

}  // namespace sallyport::runtime
