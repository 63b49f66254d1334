// The process-wide budgets.
#include "budgets.hpp"

#include <thread>
#include <vector>

#include "catch.hpp"

using sallyport::runtime::Budget;

TEST_CASE("a budget gives what it has, and again what came back") {
  Budget budget;
  budget.limit(2);
  CHECK(budget.take());
  CHECK(budget.take());
  CHECK_FALSE(budget.take());
  budget.give_back();
  CHECK(budget.take());
  CHECK(budget.used() == 2);
}

TEST_CASE("a limit of 0 is none") {
  Budget budget;
  for (int i = 0; i < 1000; ++i) CHECK(budget.take());
}

TEST_CASE("many threads never hold more than the limit together") {
  Budget budget;
  budget.limit(3);
  std::atomic<int> held{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        if (!budget.take()) continue;
        const int now = ++held;
        int seen = most.load();
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        --held;
        budget.give_back();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(most <= 3);
  CHECK(budget.used() == 0);
}
