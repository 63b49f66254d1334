#include "packets.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace sallyport::tls {

namespace {

constexpr std::uint16_t kEtherIpv4 = 0x0800;
constexpr std::uint16_t kEtherIpv6 = 0x86dd;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kSyn = 2;

net::IpAddress address4(std::string_view bytes) {
  std::array<std::uint8_t, 4> four{};
  std::copy(bytes.begin(), bytes.end(), four.begin());
  return net::IpAddress::v4(four);
}
net::IpAddress address6(std::string_view bytes) {
  std::array<std::uint8_t, 16> sixteen{};
  std::copy(bytes.begin(), bytes.end(), sixteen.begin());
  return net::IpAddress::v6(sixteen);
}

// A TLS record of a handshake whose first message is a ClientHello.
bool looks_like_hello(std::string_view payload) {
  return payload.size() >= 6 && payload[0] == 0x16 && payload[1] == 0x03 && payload[5] == 0x01;
}

}  // namespace

bool is_known(Link link) noexcept {
  switch (link) {
    case Link::null:
    case Link::ethernet:
    case Link::raw_bsd:
    case Link::raw_openbsd:
    case Link::raw:
    case Link::loop:
    case Link::cooked:
    case Link::ipv4:
    case Link::ipv6:
    case Link::cooked2:
      return true;
  }
  return false;
}

bool Packets::add(Link link, std::string_view packet) {
  ++packets_;
  ByteReader bytes(packet);
  std::uint16_t protocol = 0;
  switch (link) {
    case Link::null:
    case Link::loop:
      bytes.take(4);  // the family, in the byte order of who knows whom; IP says it again
      return ip(bytes.left());
    case Link::raw_bsd:
    case Link::raw_openbsd:
    case Link::raw:
    case Link::ipv4:
    case Link::ipv6:
      return ip(bytes.left());
    case Link::ethernet:
      bytes.take(12);
      protocol = bytes.u16();
      break;
    case Link::cooked:
      bytes.take(14);
      protocol = bytes.u16();
      break;
    case Link::cooked2:
      protocol = bytes.u16();
      bytes.take(18);
      break;
  }
  // VLAN tags, at most as many as anybody stacks.
  for (int tags = 0; tags < 4 && (protocol == 0x8100 || protocol == 0x88a8); ++tags) {
    bytes.take(2);
    protocol = bytes.u16();
  }
  if (protocol != kEtherIpv4 && protocol != kEtherIpv6) return false;
  return ip(bytes.left());
}

bool Packets::ip(std::string_view packet) {
  if (packet.empty()) return false;
  const int version = static_cast<std::uint8_t>(packet[0]) >> 4;
  if (version == 4) return ipv4(ByteReader(packet));
  return version == 6 && ipv6(ByteReader(packet));
}

bool Packets::ipv4(ByteReader packet) {
  const std::size_t header = std::size_t{4} * (packet.u8() & 15);
  packet.take(1);
  const std::size_t total = packet.u16();
  packet.take(2);
  const std::uint16_t fragment = packet.u16();
  packet.take(1);
  const std::uint8_t protocol = packet.u8();
  packet.take(2);
  const std::string_view from = packet.take(4);
  const std::string_view to = packet.take(4);
  if (packet.bad() || header < 20 || protocol != kTcp) return false;
  if ((fragment & 0x3fff) != 0) {
    ++fragments_;
    return false;
  }
  packet.take(header - 20);
  // No length: the card was to cut the packet into segments and had not yet.
  if (total > header) packet = ByteReader(packet.left().substr(0, total - header));
  return tcp(address4(from), address4(to), packet);
}

bool Packets::ipv6(ByteReader packet) {
  packet.take(4);
  const std::size_t length = packet.u16();
  std::uint8_t next = packet.u8();
  packet.take(1);
  const std::string_view from = packet.take(16);
  const std::string_view to = packet.take(16);
  if (packet.bad()) return false;
  if (length != 0) packet = ByteReader(packet.left().substr(0, length));
  constexpr std::uint8_t kHops = 0, kRouting = 43, kFragment = 44, kDestination = 60;
  for (int headers = 0; headers < 8 && (next == kHops || next == kRouting || next == kDestination);
       ++headers) {
    next = packet.u8();
    packet.take(std::size_t{8} * packet.u8() + 6);
  }
  if (next == kFragment) ++fragments_;
  return next == kTcp && !packet.bad() && tcp(address6(from), address6(to), packet);
}

bool Packets::tcp(const net::IpAddress& from, const net::IpAddress& to, ByteReader bytes) {
  Ends ends{{from, bytes.u16()}, {to, 0}};
  ends.second.port = bytes.u16();
  const std::uint32_t sequence = bytes.u32();
  bytes.take(4);
  const std::size_t header = std::size_t{4} * (bytes.u8() >> 4);
  const std::uint8_t flags = bytes.u8();
  bytes.take(6);
  if (bytes.bad() || header < 20) return false;
  bytes.take(header - 20);
  if (bytes.bad()) return false;
  ++tcp_segments_;
  auto at = flows_.find(ends);
  if (at == flows_.end()) {
    if (flows_.size() >= kFlows) return false;
    at = flows_.try_emplace(ends).first;
  }
  Flow& flow = at->second;
  if ((flags & kSyn) != 0) {
    for (const auto& [number, payload] : flow.waiting) waiting_bytes_ -= payload.size();
    flow = Flow{};
    flow.based = true;
    flow.base = sequence + 1;
    return !bytes.left().empty() && segment(flow, ends, sequence + 1, bytes.left());
  }
  return !bytes.left().empty() && segment(flow, ends, sequence, bytes.left());
}

bool Packets::segment(Flow& flow, const Ends& ends, std::uint32_t sequence, std::string_view payload) {
  if (flow.over) return false;
  if (!flow.based && looks_like_hello(payload)) {
    flow.based = true;
    flow.base = sequence;
  }
  // The numbers wrap: what lies behind the window, or before its begin, is far off.
  const auto apart = static_cast<std::int32_t>(sequence - flow.base);
  if (flow.based &&
      (apart > static_cast<std::int32_t>(kFlowBytes) || apart < -static_cast<std::int32_t>(kFlowBytes)))
    return false;
  const bool room = flow.waiting.size() < kWaiting && waiting_bytes_ + payload.size() <= kWaitingBytes;
  if (!room) return false;
  std::string& kept = flow.waiting[sequence];
  if (payload.size() > kept.size()) {
    waiting_bytes_ += payload.size() - kept.size();
    kept.assign(payload);
  }
  return flow.based && advance(flow, ends);
}

// Takes over what has become contiguous; of bytes that came twice the first hold.
bool Packets::advance(Flow& flow, const Ends& ends) {
  if (flow.reader == nullptr) flow.reader = std::make_unique<HelloReader>();
  for (bool more = true; more;) {
    more = false;
    for (auto at = flow.waiting.begin(); at != flow.waiting.end();) {
      const auto ahead =
          static_cast<std::int32_t>(at->first - flow.base - static_cast<std::uint32_t>(flow.bytes.size()));
      if (ahead > 0) {
        ++at;
        continue;
      }
      const std::string payload = std::move(at->second);
      waiting_bytes_ -= payload.size();
      at = flow.waiting.erase(at);
      const std::size_t known = static_cast<std::size_t>(-static_cast<std::int64_t>(ahead));
      if (known >= payload.size()) continue;
      const std::string_view fresh = std::string_view(payload).substr(known);
      flow.bytes += fresh;
      more = true;
      const HelloReader::State state = flow.reader->feed(fresh);
      if (state == HelloReader::State::complete) {
        found_ = {flow.bytes, ends.first, ends.second};
        return true;
      }
      flow.over = state == HelloReader::State::failed || flow.bytes.size() > kFlowBytes;
      if (flow.over) {
        for (const auto& [number, left] : flow.waiting) waiting_bytes_ -= left.size();
        flow.waiting.clear();
        return false;
      }
    }
  }
  return false;
}

std::string Packets::why_not() const {
  for (const auto& [ends, flow] : flows_) {
    if (flow.over || !flow.based || flow.bytes.empty()) continue;
    return "the ClientHello of " + ends.first.to_string() +
           " is not whole in it: packets are missing, or were cut "
           "short when they were captured (tcpdump -s 0 keeps them whole)";
  }
  const std::string seen = std::to_string(packets_) + (packets_ == 1 ? " packet" : " packets");
  if (tcp_segments_ == 0) {
    return "no TCP among its " + seen +
           (fragments_ != 0 ? ", but IP fragments, which are not put together here" : "");
  }
  return "no ClientHello among its " + seen +
         ": TLS begins a connection there, not in its middle or behind STARTTLS";
}

}  // namespace sallyport::tls
