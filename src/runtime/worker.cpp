#include "worker.hpp"

#include <algorithm>
#include <random>
#include <utility>

#include "sallyport/net/tcp_stream.hpp"

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

}  // namespace

Worker::Worker(std::uint32_t index, Shared shared)
    : index_(index),
      shared_(shared),
      shard_(shared.metrics.new_shard()),
      lag_probe_(loop_, shared.metrics, shard_),
      observer_(shared.metrics, shard_, index == 0),
      dialer_(loop_),
      pools_(loop_, dialer_, observer_, random_seed()),
      proxy_(loop_, pools_, shared.metrics, shard_, shared.access_log.new_ring()),
      tls_ids_(shared.tls_ids, index),
      failure_limits_(tls::kHandshakeReasons, obs::RateLimit(kFailureBurst, kFailureInterval)) {}

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
  boost::asio::post(loop_.io(), [this] { loop_.stop(); });
  thread_.join();
}

// ---- configuration ----

void Worker::apply(const proxy::SnapshotPtr& snapshot, const std::vector<ListenerSetup>& setups,
                   std::vector<NewSocket> sockets) {
  snapshot_ = snapshot;
  proxy_.use(snapshot);
  pools_.update(snapshot->clusters);
  samples_.use(snapshot->model.tls.samples);
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
}

// ---- arrivals ----

void Worker::on_accept(Door& door, net::TcpSocket socket, const net::Endpoint& peer,
                       const net::Endpoint& local) {
  door.out_of_files = false;
  const proxy::ListenerEntry& entry = snapshot_->listeners[door.snapshot_index(*snapshot_)];
  Opening::Wanted wanted;
  wanted.proxy_header = entry.takes_proxy_header && entry.proxy_senders.contains(peer.address);
  wanted.protocol = entry.config->protocol == config::ListenerProtocol::http;
  // A balancer's own address counts nothing; its client's does, once the header has told it.
  net::AddressTable::Seat place;
  if (!wanted.proxy_header && !seat(door, peer, place)) return;
  if (!take_budgets(door)) return;
  if (!wanted.proxy_header && !wanted.protocol) {
    shared_.metrics.client_ip(shard_, obs::IpSource::peer, obs::IpVerdict::used);
    enter(door, std::move(socket), peer, local, std::move(place), {}, false);
    return;
  }
  Opening::Owner& owner = *this;
  auto opening = std::make_unique<Opening>(loop_, std::move(socket), door.id, peer, local, std::move(place),
                                           wanted, owner);
  openings_.push_back(opening.get());
  opening.release()->begin(entry.config->timeouts.request_head);
}

// False: rejected, and counted as that. leave() gives back what this takes.
bool Worker::take_budgets(Door& door) {
  const std::uint32_t most = snapshot_->model.process_limits.connections_per_worker;
  Budget& all = shared_.budgets.connections;
  bool taken = most == 0 || connections_ < most;
  if (taken) taken = all.take();
  if (taken && !door.budget->take()) {
    all.give_back();
    taken = false;
  }
  if (!taken) {
    door.metrics->rejected(shard_, obs::RejectReason::limit);
    return false;
  }
  ++connections_;
  ++door.connections;
  door.metrics->accepted(shard_, obs::PeerKind::other);
  return true;
}

// Whether the client's address may have one more connection; if so, `place` is its seat.
bool Worker::seat(Door& door, const net::Endpoint& client, net::AddressTable::Seat& place) {
  using Verdict = net::AddressTable::Verdict;
  if (snapshot_->exempt_addresses.contains(client.address)) return true;
  const net::AddressLimits& limits = snapshot_->listeners[door.snapshot_index(*snapshot_)].address_limits;
  const Verdict verdict = shared_.budgets.addresses.admit(client.address, limits, loop_.now(), place);
  if (verdict == Verdict::welcome) return true;
  const bool abuse = verdict == Verdict::refused;
  door.metrics->rejected(shard_, abuse ? obs::RejectReason::abuse : obs::RejectReason::address_limit);
  shared_.log.event(refused_addresses_, loop_.now(), obs::Level::warn, "address_refused",
                    {{"listener", door.name},
                     {"client", client.address.to_string()},
                     {"why", abuse ? "limits.abuse" : "limits.connections_per_address"},
                     {"hint", "if many clients share this address, name it in limits.exempt_addresses"}});
  return false;
}

void Worker::on_accept_error(Door& door, const base::Error& error) {
  if (error.code == base::ErrorCode::overloaded) {
    if (!std::exchange(door.out_of_files, true)) door.metrics->accept_paused(shard_, obs::PauseReason::files);
    shared_.log.event(
        accept_errors_, loop_.now(), obs::Level::error, "accept_failed",
        {{"listener", door.name},
         {"error", std::generic_category().message(error.cause)},
         {"hint", "raise the limit of open files (LimitNOFILE, ulimit -n); accepting rests meanwhile"}});
  }
}

void Worker::on_opened(Opening& opening) {
  opening.unlink();
  loop_.reap(std::unique_ptr<net::Reapable>(&opening));
  Door* door = door_of(opening.door());
  if (door == nullptr) return;
  const auto source = opening.proxied() ? obs::IpSource::proxy_proto : obs::IpSource::peer;
  shared_.metrics.client_ip(shard_, source, obs::IpVerdict::used);
  net::AddressTable::Seat place = opening.take_seat();
  if (opening.proxied() && !seat(*door, opening.peer(), place)) {
    leave(*door, obs::Proto::none, obs::ClosedBy::error);
    check_drained();
    return;
  }
  enter(*door, opening.release(), opening.peer(), opening.local(), std::move(place), opening.rest(),
        opening.is_http2());
}

void Worker::on_opening_failed(Opening& opening, Opening::Failure why) {
  opening.unlink();
  if (Door* door = door_of(opening.door())) {
    if (why == Opening::Failure::bad_header) {
      door->metrics->rejected(shard_, obs::RejectReason::proxy_proto);
      shared_.log.event(
          accept_errors_, loop_.now(), obs::Level::warn, "proxy_protocol_rejected",
          {{"listener", door->name}, {"peer", opening.peer().to_string()}, {"why", opening.why()}});
    }
    const bool silent = why == Opening::Failure::timeout;
    leave(*door, obs::Proto::none, silent ? obs::ClosedBy::idle : obs::ClosedBy::peer);
  }
  loop_.reap(std::unique_ptr<net::Reapable>(&opening));
  check_drained();
}

void Worker::enter(Door& door, net::TcpSocket socket, const net::Endpoint& peer, const net::Endpoint& local,
                   net::AddressTable::Seat place, std::span<const char> early, bool http2) {
  const config::Listener& listener = *snapshot_->listeners[door.snapshot_index(*snapshot_)].config;
  if (listener.protocol == config::ListenerProtocol::https) {
    begin_handshake(door, std::move(socket), peer, local, std::move(place), early);
    return;
  }
  auto stream =
      std::make_unique<net::TcpStream>(loop_, std::move(socket), base::Fault::client, peer, local, early);
  session::ConnectionInfo info;
  info.peer = peer;
  info.local = local;
  info.seat = std::move(place);
  admit(door, std::move(stream), std::move(info), http2 ? http::Version::http2 : http::Version::http11);
}

void Worker::admit(Door& door, std::unique_ptr<net::ByteStream> stream, session::ConnectionInfo info,
                   http::Version version) {
  info.id = shared_.connection_ids.fetch_add(1, std::memory_order_relaxed) + 1;
  info.peer_text = info.peer.address.to_string();
  info.listener = door.snapshot_index(*snapshot_);
  info.listener_name = door.name;
  info.door = door.id;
  const session::ClientLimits& limits = snapshot_->listeners[info.listener].limits;
  session::ClientSessionParts parts{loop_, std::move(stream), std::move(info), limits, proxy_, *this};
  auto session = session::make_client_session(std::move(parts), version);
  sessions_.push_back(session.get());
  session::ClientSession& entered = *session.release();
  if (draining_ || door.leaving) entered.drain();
}

// ---- departures ----

void Worker::on_session_closed(session::ClientSession& session, session::ClosedBy by) {
  session.unlink();
  if (Door* door = door_of(session.info().door)) {
    const auto proto = session.version() == http::Version::http2 ? obs::Proto::h2 : obs::Proto::http11;
    if (by == session::ClosedBy::abuse) note_abuse(*door, session.info());
    leave(*door, proto, static_cast<obs::ClosedBy>(by));
  }
  loop_.reap(std::unique_ptr<net::Reapable>(&session));
  check_drained();
}

// A client whose connections end like this too often is refused for a while.
void Worker::note_abuse(const Door& door, const session::ConnectionInfo& info) {
  const net::AddressLimits& limits = snapshot_->listeners[door.snapshot_index(*snapshot_)].address_limits;
  if (!info.seat.offend(limits, loop_.now())) return;
  shared_.log.event(refused_addresses_, loop_.now(), obs::Level::warn, "address_penalized",
                    {{"client", info.peer_text},
                     {"seconds", std::chrono::duration_cast<base::Seconds>(limits.refused).count()}});
}

void Worker::leave(Door& door, obs::Proto proto, obs::ClosedBy by) {
  door.metrics->closed(shard_, obs::PeerKind::other, proto, by);
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
    if (Door* door = door_of(session->info().door)) leave(*door, obs::Proto::none, obs::ClosedBy::drain);
    loop_.reap(std::unique_ptr<net::Reapable>(session));
  }
  while (Opening* opening = openings_.pop_front()) loop_.reap(std::unique_ptr<net::Reapable>(opening));
  // Counted and logged like any other that failed; on_handshake_over() takes each off the list.
  while (tls::ServerStream* stream = handshakes_.front()) stream->abandon();
  for (const auto& door : doors_) door->listener.close();
}

}  // namespace sallyport::runtime
