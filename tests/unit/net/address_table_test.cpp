// Threat: one client takes all connections, or all handshakes, or comes back after each attack.
#include "sallyport/net/address_table.hpp"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::net;
using Seat = AddressTable::Seat;
using Verdict = AddressTable::Verdict;
using namespace std::chrono_literals;

namespace {

const base::Instant kNow = base::Instant(1h);

IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}

AddressLimits connections(std::uint32_t most) {
  AddressLimits limits;
  limits.connections = most;
  return limits;
}

bool welcome(AddressTable& table, const std::string& address, const AddressLimits& limits, Seat& seat,
             base::Instant now = kNow) {
  return table.admit(ip(address), limits, now, seat) == Verdict::welcome;
}

}  // namespace

TEST_CASE("address table: so many connections an address, and one more when one has gone") {
  AddressTable table;
  Seat a, b, c;
  CHECK(welcome(table, "192.0.2.1", connections(2), a));
  CHECK(welcome(table, "192.0.2.1", connections(2), b));
  CHECK(table.admit(ip("192.0.2.1"), connections(2), kNow, c) == Verdict::too_many);
  CHECK(welcome(table, "192.0.2.2", connections(2), c));
  a = Seat{};
  CHECK(welcome(table, "192.0.2.1", connections(2), a));
}

TEST_CASE("address table: a moved seat is given back once") {
  AddressTable table;
  Seat a;
  CHECK(welcome(table, "192.0.2.1", connections(1), a));
  {
    const Seat moved = std::move(a);
    Seat b;
    CHECK(!welcome(table, "192.0.2.1", connections(1), b));
  }
  Seat b, c;
  CHECK(welcome(table, "192.0.2.1", connections(1), b));
  CHECK(!welcome(table, "192.0.2.1", connections(1), c));
}

TEST_CASE("address table: what is one client") {
  struct Row {
    const char* first;
    const char* second;
    unsigned prefix;
    bool same;
  };
  for (const Row& row : {
           Row{"192.0.2.1", "192.0.2.2", 64, false},
           Row{"192.0.2.1", "::ffff:192.0.2.1", 64, true},  // over a socket of both families
           Row{"2001:db8::1", "2001:db8::ffff:1", 64, true},
           Row{"2001:db8::1", "2001:db8:0:1::1", 64, false},
           Row{"2001:db8::1", "2001:db8:0:1::1", 48, true},
           Row{"2001:db8::1", "2001:db8::2", 128, false},
           Row{"2001:db8:0:8::1", "2001:db8:0:f::1", 61, true},
       }) {
    CAPTURE(row.first, row.second, row.prefix);
    AddressTable table;
    table.ipv6_prefix(row.prefix);
    Seat a, b;
    CHECK(welcome(table, row.first, connections(1), a));
    CHECK(welcome(table, row.second, connections(1), b) != row.same);
  }
}

TEST_CASE("address table: handshakes in progress") {
  AddressTable table;
  AddressLimits limits;
  limits.handshakes = 2;
  Seat a, b, c;
  for (Seat* seat : {&a, &b, &c}) CHECK(welcome(table, "192.0.2.1", limits, *seat));
  CHECK(a.begin_handshake(2));
  CHECK(b.begin_handshake(2));
  CHECK(!c.begin_handshake(2));
  a.end_handshake();
  a.end_handshake();
  CHECK(c.begin_handshake(2));
  b = Seat{};  // broken off
  CHECK(a.begin_handshake(2));
  Seat untracked;
  CHECK(untracked.begin_handshake(1));
}

TEST_CASE("address table: who offends too often is refused for a while") {
  AddressTable table;
  AddressLimits limits;
  limits.offences = 3;
  limits.window = 10s;
  limits.refused = 60s;
  Seat seat, other;
  REQUIRE(welcome(table, "192.0.2.1", limits, seat));
  CHECK(!seat.offend(limits, kNow));
  CHECK(!seat.offend(limits, kNow + 1s));
  SECTION("in the window") {
    CHECK(seat.offend(limits, kNow + 10s));
    CHECK(table.admit(ip("192.0.2.1"), limits, kNow + 69s, other) == Verdict::refused);
    CHECK(welcome(table, "192.0.2.2", limits, other, kNow + 69s));
    seat = Seat{};
    CHECK(table.admit(ip("192.0.2.1"), limits, kNow + 69s, other) == Verdict::refused);
    CHECK(welcome(table, "192.0.2.1", limits, other, kNow + 70s));
  }
  SECTION("not those of long ago") {
    CHECK(!seat.offend(limits, kNow + 11s));
    CHECK(!seat.offend(limits, kNow + 12s));
    CHECK(seat.offend(limits, kNow + 13s));
  }
  SECTION("a reload that takes the rule away lets it in") {
    CHECK(seat.offend(limits, kNow));
    CHECK(welcome(table, "192.0.2.1", connections(9), other));
  }
}

TEST_CASE("address table: a flood of addresses pushes out the idle ones, and at last is let in uncounted") {
  AddressTable table(16, 1);
  std::vector<Seat> seats(16);
  for (int i = 0; i < 16; ++i)
    CHECK(welcome(table, "192.0.2." + std::to_string(i), connections(1), seats[static_cast<std::size_t>(i)]));
  Seat more, again;
  CHECK(welcome(table, "198.51.100.1", connections(1), more));
  CHECK(welcome(table, "198.51.100.1", connections(1), again));
  CHECK(table.untracked() == 2);
  CHECK(!welcome(table, "192.0.2.3", connections(1), again));  // still known
  seats.pop_back();
  CHECK(welcome(table, "198.51.100.1", connections(1), more));
  CHECK(!welcome(table, "198.51.100.1", connections(1), again));
  CHECK(table.untracked() == 2);
}

TEST_CASE("address table: many threads never exceed the cap, and all seats come back") {
  AddressTable table;
  constexpr int kThreads = 4;
  constexpr int kMost = 3;
  std::atomic<int> inside{0}, worst{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        Seat seat;
        if (!welcome(table, "192.0.2.1", connections(kMost), seat)) continue;
        const int now = ++inside;
        if (now > worst) worst = now;
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(worst <= kMost);
  Seat seats[kMost];
  for (Seat& seat : seats) CHECK(welcome(table, "192.0.2.1", connections(kMost), seat));
}
