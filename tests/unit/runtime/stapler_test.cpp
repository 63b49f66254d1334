#include "stapler.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::runtime;
using namespace std::chrono_literals;

namespace {
const base::WallTime kNow{std::chrono::seconds(1'800'000'000)};
}

TEST_CASE("an OCSP answer is asked for again at half of its life") {
  const tls::Staple fresh{"", kNow, kNow + 8h};
  CHECK(refresh_time(fresh, kNow, 5min, 0) == kNow + 4h);
  // What came late has half of the rest, and so on, until too little is left to halve.
  CHECK(refresh_time(fresh, kNow + 6h, 5min, 0) == kNow + 7h);
  CHECK(refresh_time(fresh, kNow + 7h + 55min, 5min, 0) == kNow + 8h);
  CHECK(refresh_time(fresh, kNow + 7h + 59min, 5min, 0) == kNow + 8h + 4min);
}

TEST_CASE("by luck it is asked for earlier, never later, so that a fleet does not ask at once") {
  const tls::Staple fresh{"", kNow, kNow + 20h};
  CHECK(refresh_time(fresh, kNow, 5min, 1) == kNow + 9h);
  for (const double luck : {0.1, 0.5, 0.9}) {
    const base::WallTime due = refresh_time(fresh, kNow, 5min, luck);
    CHECK(due > kNow + 9h);
    CHECK(due < kNow + 10h);
  }
  // Nor so early that a short life makes a storm.
  CHECK(refresh_time({"", kNow, kNow + 10s}, kNow, 5min, 1) == kNow + 5min);
}
