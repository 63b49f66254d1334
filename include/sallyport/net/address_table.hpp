// What the process remembers of client addresses: open connections, handshakes in progress,
// offences. It bounds what one client can take of what all share.
//
// One for the process, since SO_REUSEPORT spreads a client over the workers; owned by the server,
// outlives all workers; any thread. Touched a few times a connection, never a request: a shard's
// mutex, nanoseconds. IPv4 counts exactly (also when v4-mapped), IPv6 by a prefix, for a single
// host is given a /64 and may use all of it. Keys are digests under a key of the process, so
// nobody can aim at a shard.
//
// 65,536 addresses at 68 bytes: 4.5 MiB at most, as they are needed. When full, the address is forgotten that
// was seen the longest ago and has no connection open. If every entry has one, a connection is
// let in uncounted and counted as such (untracked()): limits.connections still holds, whereas
// refusing it would let whoever owns many addresses lock all others out.
#pragma once

#include <atomic>
#include <cstdint>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/keyed_table.hpp"
#include "sallyport/net/address.hpp"

namespace sallyport::net {

// 0 = no limit, everywhere.
struct AddressLimits {
  std::uint32_t connections = 0;
  std::uint32_t handshakes = 0;  // TLS handshakes in progress
  std::uint32_t offences = 0;    // so many within `window` and the address is refused for `refused`
  base::Milliseconds window{0};
  base::Milliseconds refused{0};

  [[nodiscard]] bool any() const noexcept { return connections != 0 || handshakes != 0 || offences != 0; }
};

class AddressTable {
  struct Client {
    std::uint32_t connections = 0;
    std::uint32_t handshakes = 0;
    std::uint32_t offences = 0;
    base::Instant offences_since{};
    base::Instant refused_until{};
    [[nodiscard]] bool pinned() const noexcept { return connections != 0; }
  };
  using Table = base::KeyedTable<Client>;

 public:
  static constexpr std::size_t kAddresses = 65'536;
  enum class Verdict : std::uint8_t { welcome, too_many, refused };

  // A connection's place among those of its address; given back when it dies. An empty one (not
  // tracked) lets everything pass. Any thread, one at a time; must not outlive the table.
  class Seat {
   public:
    Seat() noexcept = default;
    Seat(Seat&& other) noexcept;
    Seat& operator=(Seat&& other) noexcept;
    ~Seat() { leave(); }

    // False: so many handshakes of the address are in progress already.
    [[nodiscard]] bool begin_handshake(std::uint32_t most);
    void end_handshake() noexcept;
    // The connection was closed for an attack. True: from now on its address is refused for a while.
    bool offend(const AddressLimits& limits, base::Instant now) const;

   private:
    friend class AddressTable;
    Seat(AddressTable& table, Table::Slot slot) noexcept : table_(&table), slot_(slot) {}
    void leave() noexcept;

    AddressTable* table_ = nullptr;
    Table::Slot slot_ = Table::kNone;
    bool in_handshake_ = false;
  };

  explicit AddressTable(std::size_t addresses = kAddresses, std::size_t shards = 64);
  AddressTable(const AddressTable&) = delete;
  AddressTable& operator=(const AddressTable&) = delete;

  // So many bits of an IPv6 address are one client.
  void ipv6_prefix(unsigned bits) noexcept { ipv6_prefix_.store(bits, std::memory_order_relaxed); }
  // Takes the seat of a new connection if the verdict is welcome.
  [[nodiscard]] Verdict admit(const IpAddress& address, const AddressLimits& limits, base::Instant now,
                              Seat& seat);
  // Connections that were let in without a seat since the table had no room.
  [[nodiscard]] std::uint64_t untracked() const noexcept {
    return untracked_.load(std::memory_order_relaxed);
  }

 private:
  base::SipHash hash_;
  Table table_;
  std::atomic<unsigned> ipv6_prefix_{64};
  std::atomic<std::uint64_t> untracked_{0};
};

}  // namespace sallyport::net
