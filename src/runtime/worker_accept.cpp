// The worker's arrivals: who may come in, on which terms, and what becomes of the connection.
#include <utility>

#include "sallyport/net/tcp_stream.hpp"

#include "door.hpp"
#include "worker.hpp"

namespace sallyport::runtime {

const proxy::ListenerEntry& Worker::entry_of(const Door& door) const noexcept {
  return snapshot_->listeners[door.snapshot_index(*snapshot_)];
}

// Whom the peer is to us, before it has said a word.
obs::PeerKind Worker::kind_of(const proxy::ListenerEntry& entry,
                              const net::IpAddress& address) const noexcept {
  const proxy::AddressSets& sets = proxy_.address_sets();
  if (!entry.trust.contains(address, sets)) return obs::PeerKind::other;
  return sets[snapshot_->cloudflare]->contains(address) ? obs::PeerKind::cloudflare : obs::PeerKind::trusted;
}

// Who is not costs us no TLS and no buffer.
bool Worker::allowed(Door& door, const proxy::ListenerEntry& entry, const net::IpAddress& address) {
  if (entry.allow.empty() || entry.allow.contains(address, proxy_.address_sets())) return true;
  reject(door, kind_of(entry, address), obs::RejectReason::not_allowed, proxy::CfRisk::refused);
  shared_.log.event(
      refused_addresses_, loop_.now(), obs::Level::debug, "address_not_allowed",
      {{"listener", door.name}, {"client", address.to_string()}, {"hint", "listeners.*.allow decides"}});
  return false;
}

// Cloudflare shows its visitors a page for it.
void Worker::reject(Door& door, obs::PeerKind kind, obs::RejectReason reason, proxy::CfRisk risk) {
  door.metrics->rejected(shard_, reason);
  if (kind == obs::PeerKind::cloudflare) shared_.metrics.cf_risk(shard_, static_cast<std::size_t>(risk));
}

void Worker::on_accept(Door& door, net::TcpSocket socket, const net::Endpoint& peer,
                       const net::Endpoint& local) {
  door.out_of_files = false;
  const proxy::ListenerEntry& entry = entry_of(door);
  Opening::Wanted wanted;
  wanted.proxy_header = entry.takes_proxy_header && entry.proxy_senders.contains(peer.address);
  wanted.protocol = entry.config->protocol == config::ListenerProtocol::http;
  // A balancer's own address counts nothing; its client's does, once the header has told it.
  net::AddressTable::Seat place;
  obs::PeerKind kind = obs::PeerKind::trusted;
  if (!wanted.proxy_header) {
    if (!allowed(door, entry, peer.address)) return;
    kind = kind_of(entry, peer.address);
    if (!seat(door, kind, peer, place)) return;
  }
  if (!take_budgets(door, kind)) return;
  if (!wanted.proxy_header) door.metrics->accepted(shard_, kind);
  if (!wanted.proxy_header && !wanted.protocol) {
    shared_.metrics.client_ip(shard_, obs::IpSource::peer, obs::IpVerdict::used);
    enter(door, kind, std::move(socket), peer, local, std::move(place), {}, false);
    return;
  }
  Opening::Owner& owner = *this;
  auto opening = std::make_unique<Opening>(loop_, std::move(socket), door.id, peer, local, std::move(place),
                                           wanted, owner);
  opening->kind(kind);
  openings_.push_back(opening.get());
  opening.release()->begin(entry.terms(kind).limits->request_head);
}

// False: rejected, and counted as that. leave() gives back what this takes.
bool Worker::take_budgets(Door& door, obs::PeerKind kind) {
  const std::uint32_t most = snapshot_->model.process_limits.connections_per_worker;
  Budget& all = shared_.budgets.connections;
  bool taken = most == 0 || connections_ < most;
  if (taken) taken = all.take();
  if (taken && !door.budget->take()) {
    all.give_back();
    taken = false;
  }
  if (!taken) {
    reject(door, kind, obs::RejectReason::limit, proxy::CfRisk::refused);
    return false;
  }
  ++connections_;
  ++door.connections;
  return true;
}

// Whether the client's address may have one more connection; if so, `place` is its seat.
bool Worker::seat(Door& door, obs::PeerKind kind, const net::Endpoint& client,
                  net::AddressTable::Seat& place) {
  using Verdict = net::AddressTable::Verdict;
  if (snapshot_->exempt_addresses.contains(client.address, proxy_.address_sets())) return true;
  const net::AddressLimits& limits = entry_of(door).terms(kind).address_limits;
  const Verdict verdict = shared_.budgets.addresses.admit(client.address, limits, loop_.now(), place);
  if (verdict == Verdict::welcome) return true;
  const bool abuse = verdict == Verdict::refused;
  reject(door, kind, abuse ? obs::RejectReason::abuse : obs::RejectReason::address_limit,
         proxy::CfRisk::address_limits);
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
  obs::PeerKind kind = opening.kind();
  if (opening.wants_proxy_header()) {
    const proxy::ListenerEntry& entry = entry_of(*door);
    if (opening.proxied()) kind = kind_of(entry, opening.peer().address);
    door->metrics->accepted(shard_, kind);
    if (opening.proxied() &&
        !(allowed(*door, entry, opening.peer().address) && seat(*door, kind, opening.peer(), place))) {
      leave(*door, kind, obs::Proto::none, obs::ClosedBy::error);
      check_drained();
      return;
    }
  }
  enter(*door, kind, opening.release(), opening.peer(), opening.local(), std::move(place), opening.rest(),
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
    if (opening.wants_proxy_header()) door->metrics->accepted(shard_, opening.kind());
    leave(*door, opening.kind(), obs::Proto::none, silent ? obs::ClosedBy::idle : obs::ClosedBy::peer);
  }
  loop_.reap(std::unique_ptr<net::Reapable>(&opening));
  check_drained();
}

void Worker::enter(Door& door, obs::PeerKind kind, net::TcpSocket socket, const net::Endpoint& peer,
                   const net::Endpoint& local, net::AddressTable::Seat place, std::span<const char> early,
                   bool http2) {
  if (entry_of(door).config->protocol == config::ListenerProtocol::https) {
    begin_handshake(door, kind, std::move(socket), peer, local, std::move(place), early);
    return;
  }
  auto stream =
      std::make_unique<net::TcpStream>(loop_, std::move(socket), base::Fault::client, peer, local, early);
  session::ConnectionInfo info;
  info.peer = peer;
  info.local = local;
  info.peer_kind = static_cast<std::uint8_t>(kind);
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
  auto limits = snapshot_->listeners[info.listener].terms(kind_of(info)).limits;
  session::ClientSessionParts parts{loop_, std::move(stream), std::move(info), std::move(limits), proxy_,
                                    *this};
  auto session = session::make_client_session(std::move(parts), version);
  sessions_.push_back(session.get());
  session::ClientSession& entered = *session.release();
  if (draining_ || door.leaving) entered.drain();
}

}  // namespace sallyport::runtime
