#include "sallyport/http2/budgets.hpp"

#include <set>
#include <string>

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::http2;
using namespace std::chrono_literals;

namespace {
const base::Instant kFilled = base::Instant{} + 1000s;
}

TEST_CASE("a bucket gives its burst and no more") {
  TokenBucket bucket(Budget{3, 10});
  CHECK(bucket.take(kFilled));
  CHECK(bucket.take(kFilled));
  CHECK(bucket.take(kFilled));
  CHECK_FALSE(bucket.take(kFilled));
  CHECK_FALSE(bucket.take(kFilled));
}

TEST_CASE("a bucket refills at its rate, fractions of a token included, up to its burst") {
  TokenBucket bucket(Budget{3, 10});
  for (int i = 0; i < 3; ++i) CHECK(bucket.take(kFilled));
  CHECK_FALSE(bucket.take(kFilled + 99ms));
  CHECK(bucket.take(kFilled + 100ms));
  CHECK_FALSE(bucket.take(kFilled + 150ms));
  CHECK(bucket.take(kFilled + 200ms));
  for (int i = 0; i < 3; ++i) CHECK(bucket.take(kFilled + 1h));
  CHECK_FALSE(bucket.take(kFilled + 1h));
}

TEST_CASE("time before the first token out of a full bucket earns nothing") {
  TokenBucket bucket(Budget{2, 1});
  CHECK(bucket.take(kFilled + 10s));
  CHECK(bucket.take(kFilled + 10s));
  CHECK_FALSE(bucket.take(kFilled + 10s));
}

TEST_CASE("a bucket without a rate never refills, and a clock that stands still gives nothing") {
  TokenBucket bucket(Budget{1, 0});
  CHECK(bucket.take(kFilled));
  CHECK_FALSE(bucket.take(kFilled + 24h));
  TokenBucket empty(Budget{0, 0});
  CHECK_FALSE(empty.take(kFilled));
}

TEST_CASE("earned tokens may exceed the burst, but not all bounds") {
  TokenBucket bucket(Budget{1, 0});
  bucket.earn(5);
  for (int i = 0; i < 6; ++i) CHECK(bucket.take(kFilled));
  CHECK_FALSE(bucket.take(kFilled));
  for (int i = 0; i < 10; ++i) bucket.earn(TokenBucket::kMostEarned / 4);
  CHECK(bucket.tokens() == TokenBucket::kMostEarned);
}

TEST_CASE("every flood has a word of its own and a budget of its own") {
  std::set<std::string> words;
  Budgets budgets;
  budgets.ping = {1, 0};
  FloodGuard guard(budgets);
  for (std::size_t i = 0; i < kFloods; ++i) words.emplace(to_string(static_cast<Flood>(i)));
  CHECK(words.size() == kFloods);
  CHECK(guard.take(Flood::ping, kFilled));
  CHECK_FALSE(guard.take(Flood::ping, kFilled));
  CHECK(guard.take(Flood::settings, kFilled));
}
