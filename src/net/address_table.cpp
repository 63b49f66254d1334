#include "sallyport/net/address_table.hpp"

#include <utility>

namespace sallyport::net {

AddressTable::AddressTable(std::size_t addresses, std::size_t shards)
    : hash_(base::SipHash::random_key()), table_(addresses, shards) {}

AddressTable::Verdict AddressTable::admit(const IpAddress& address, const AddressLimits& limits,
                                          base::Instant now, Seat& seat) {
  seat = Seat{};
  if (!limits.any()) return Verdict::welcome;
  const auto bytes = client_key(address, ipv6_prefix_.load(std::memory_order_relaxed));
  const std::span<const char> text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Verdict verdict = Verdict::welcome;
  const Table::Slot slot = table_.with(hash_(text), [&](Client& client) {
    if (now < client.refused_until && limits.offences != 0) {
      verdict = Verdict::refused;
    } else if (limits.connections != 0 && client.connections >= limits.connections) {
      verdict = Verdict::too_many;
    } else {
      ++client.connections;
    }
  });
  if (slot == Table::kNone) {
    untracked_.fetch_add(1, std::memory_order_relaxed);
  } else if (verdict == Verdict::welcome) {
    seat = Seat(*this, slot);
  }
  return verdict;
}

AddressTable::Seat::Seat(Seat&& other) noexcept
    : table_(std::exchange(other.table_, nullptr)),
      slot_(other.slot_),
      in_handshake_(std::exchange(other.in_handshake_, false)) {}

AddressTable::Seat& AddressTable::Seat::operator=(Seat&& other) noexcept {
  if (this == &other) return *this;
  leave();
  table_ = std::exchange(other.table_, nullptr);
  slot_ = other.slot_;
  in_handshake_ = std::exchange(other.in_handshake_, false);
  return *this;
}

bool AddressTable::Seat::begin_handshake(std::uint32_t most) {
  if (table_ == nullptr) return true;
  table_->table_.at(slot_, [this, most](Client& client) {
    in_handshake_ = most == 0 || client.handshakes < most;
    if (in_handshake_) ++client.handshakes;
  });
  return in_handshake_;
}

void AddressTable::Seat::end_handshake() noexcept {
  if (!std::exchange(in_handshake_, false)) return;
  table_->table_.at(slot_, [](Client& client) { --client.handshakes; });
}

bool AddressTable::Seat::offend(const AddressLimits& limits, base::Instant now) const {
  if (table_ == nullptr || limits.offences == 0) return false;
  bool refused = false;
  table_->table_.at(slot_, [&](Client& client) {
    if (client.offences == 0 || now - client.offences_since > limits.window) {
      client.offences = 0;
      client.offences_since = now;
    }
    refused = ++client.offences >= limits.offences;
    if (!refused) return;
    client.offences = 0;
    client.refused_until = now + limits.refused;
  });
  return refused;
}

void AddressTable::Seat::leave() noexcept {
  if (table_ == nullptr) return;
  table_->table_.at(slot_, [this](Client& client) {
    if (in_handshake_) --client.handshakes;
    --client.connections;
  });
  table_ = nullptr;
  in_handshake_ = false;
}

}  // namespace sallyport::net
