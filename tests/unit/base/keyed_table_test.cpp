// Threat: somebody makes the process remember ever more. The table stays as large as it was made.
#include "sallyport/base/keyed_table.hpp"

#include <atomic>
#include <thread>

#include "catch.hpp"

using namespace sallyport::base;

namespace {

struct Counter {
  int n = 0;
  bool held = false;
  [[nodiscard]] bool pinned() const noexcept { return held; }
};
using Table = KeyedTable<Counter>;

// All in one chain of one shard, unless told otherwise.
Digest key(std::uint64_t i) {
  return {0, i << 32};
}

int count(Table& table, const Digest& at) {
  int n = -1;
  table.with(at, [&n](Counter& counter) { n = ++counter.n; });
  return n;
}

}  // namespace

TEST_CASE("keyed table: an entry is its key's until it is forgotten") {
  Table table(64, 4);
  for (std::uint64_t i = 0; i < 16; ++i) CHECK(count(table, key(i)) == 1);
  for (std::uint64_t i = 0; i < 16; ++i) CHECK(count(table, key(i)) == 2);
  CHECK(table.size() == 16);
}

TEST_CASE("keyed table: full, it forgets what was looked up the longest ago") {
  Table table(4, 1);
  for (std::uint64_t i = 0; i < 4; ++i) count(table, key(i));
  CHECK(count(table, key(0)) == 2);  // younger than 1 by that
  CHECK(count(table, key(9)) == 1);  // in the place of 1
  CHECK(count(table, key(0)) == 3);
  CHECK(count(table, key(2)) == 2);
  CHECK(count(table, key(3)) == 2);
  CHECK(count(table, key(1)) == 1);
  CHECK(table.size() == 4);
}

TEST_CASE("keyed table: what is pinned stays, and when all is pinned there is no room") {
  Table table(4, 1);
  Table::Slot slots[4];
  for (std::uint64_t i = 0; i < 4; ++i)
    slots[i] = table.with(key(i), [](Counter& counter) { counter.held = true; });
  bool called = false;
  CHECK(table.with(key(9), [&called](Counter&) { called = true; }) == Table::kNone);
  CHECK(!called);
  table.at(slots[2], [](Counter& counter) { counter.held = false; });
  CHECK(count(table, key(9)) == 1);
  table.at(slots[0], [](Counter& counter) { counter.n = 7; });
  CHECK(count(table, key(0)) == 8);
  CHECK(table.size() == 4);
}

TEST_CASE("keyed table: a flood of keys leaves it as large as it was") {
  Table table(1024, 16);
  const SipHash hash(SipHash::random_key());
  for (int i = 0; i < 100'000; ++i) {
    const char* bytes = reinterpret_cast<const char*>(&i);
    count(table, hash({bytes, sizeof i}));
  }
  CHECK(table.size() == 1024);
}

TEST_CASE("keyed table: threads agree") {
  Table table(64, 4);
  constexpr int kThreads = 4;
  constexpr int kRounds = 20'000;
  std::atomic<int> lost{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&table, &lost, t] {
      for (int i = 0; i < kRounds; ++i) {
        const Digest one{0, 1};
        table.with(one, [](Counter& counter) {
          counter.held = true;
          ++counter.n;
        });
        // What fills the other places may be forgotten at any time.
        if (table.with(key(static_cast<std::uint64_t>(t * kRounds + i)), [](Counter&) {}) == Table::kNone)
          ++lost;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(lost == 0);
  CHECK(count(table, {0, 1}) == kThreads * kRounds + 1);
}
