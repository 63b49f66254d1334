// Threat: one byte every twenty seconds resets every idle timer and holds a stream forever.
#include "patience.hpp"

#include "catch.hpp"

using namespace sallyport;
using session::Patience;
using namespace std::chrono_literals;

namespace {

const base::Instant kBegin = base::Instant(1h);
constexpr std::uint32_t kRate = 240;

// How long somebody lasts who moves `bytes` every `gap`, and is waited for all the time; 24 h: for good.
base::Duration lasts(Patience patience, std::size_t bytes, base::Duration gap) {
  patience.wait(kBegin);
  for (base::Instant now = kBegin; now < kBegin + 24h; now += gap) {
    if (patience.left(now) <= gap) return now + patience.left(now) - kBegin;
    patience.moved(bytes, now + gap);
  }
  return 24h;
}

}  // namespace

TEST_CASE("patience: nothing at all ends it after the timeout, drips not much later") {
  const Patience patience(30s, kRate);
  CHECK(lasts(patience, 0, 1s) == 30s);
  CHECK(lasts(patience, 1, 20s) < 31s);
  CHECK(lasts(patience, 1, 10ms) < 60s);  // 100 bytes a second
  CHECK(lasts(patience, 239, 1s) < 3h);
  CHECK(lasts(patience, 240, 1s) == 24h);
  CHECK(lasts(patience, 7'200, 29s) == 24h);  // the same in bursts
  CHECK(lasts(patience, 1'000'000, 29s) == 24h);
}

TEST_CASE("patience: what was moved fast earns no more than the timeout") {
  Patience patience(30s, kRate);
  patience.wait(kBegin);
  patience.moved(1'000'000'000, kBegin + 1s);
  CHECK(patience.left(kBegin + 1s) == 30s);
  CHECK(patience.left(kBegin + 31s) == 0s);
  CHECK(patience.left(kBegin + 99s) == 0s);
}

TEST_CASE("patience: only the peer's turns count") {
  Patience patience(30s, kRate);
  patience.turn(true, kBegin);
  patience.turn(false, kBegin + 10s);  // an origin that thinks, a buffer that is full
  CHECK(patience.left(kBegin + 1h) == 20s);
  patience.turn(true, kBegin + 1h);
  patience.turn(true, kBegin + 1h + 5s);
  CHECK(patience.left(kBegin + 1h + 5s) == 15s);
  patience.renew();
  CHECK(!patience.waiting());
  CHECK(patience.left(kBegin + 2h) == 30s);
}

TEST_CASE("patience: without a rate any byte will do") {
  const Patience patience(30s, 0);
  CHECK(lasts(patience, 1, 29s) == 24h);
  CHECK(lasts(patience, 1, 30s) == 30s);
}

TEST_CASE("patience: deadlines are few, never early and never zero before the end") {
  Patience patience(30s, kRate);
  CHECK(patience.deadline(kBegin) == 30s);
  patience.wait(kBegin);
  CHECK(patience.deadline(kBegin + 1ms) == 30s);
  CHECK(patience.deadline(kBegin + 4s) == 26250ms);
  CHECK(patience.deadline(kBegin + 29s) == 3750ms);
  CHECK(patience.deadline(kBegin + 30s) == 0ms);
}
