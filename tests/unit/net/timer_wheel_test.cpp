#include "sallyport/net/timer_wheel.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"

namespace {

using namespace sallyport;
using base::Milliseconds;

struct Probe final : net::Timer {
  explicit Probe(std::function<void()> f = [] {}) : run(std::move(f)) {}
  void on_timer() override {
    ++fired;
    run();
  }
  std::function<void()> run;
  int fired = 0;
};

const base::Instant kStart = base::Instant() + std::chrono::hours(1);

}  // namespace

TEST_CASE("a timer fires once, at its deadline and never before") {
  net::TimerWheel wheel;
  Probe timer;
  wheel.arm(timer, Milliseconds(500), kStart);
  CHECK(timer.armed());
  CHECK(wheel.armed() == 1);
  CHECK(wheel.advance(kStart + Milliseconds(499)) == 0);
  CHECK(wheel.advance(kStart + Milliseconds(500)) == 1);
  CHECK_FALSE(timer.armed());
  CHECK(wheel.advance(kStart + Milliseconds(5000)) == 0);
  CHECK(timer.fired == 1);
}

TEST_CASE("re-arming moves the deadline, also to another duration") {
  net::TimerWheel wheel;
  Probe timer;
  wheel.arm(timer, Milliseconds(500), kStart);
  wheel.arm(timer, Milliseconds(500), kStart + Milliseconds(400));
  CHECK(wheel.advance(kStart + Milliseconds(800)) == 0);
  wheel.arm(timer, Milliseconds(100), kStart + Milliseconds(800));
  CHECK(wheel.armed() == 1);
  CHECK(wheel.advance(kStart + Milliseconds(900)) == 1);
  CHECK(timer.fired == 1);
}

TEST_CASE("a cancelled and a destroyed timer do not fire") {
  net::TimerWheel wheel;
  Probe cancelled;
  auto destroyed = std::make_unique<Probe>();
  wheel.arm(cancelled, Milliseconds(10), kStart);
  wheel.arm(*destroyed, Milliseconds(10), kStart);
  cancelled.cancel();
  destroyed.reset();
  CHECK(wheel.armed() == 0);
  CHECK(wheel.advance(kStart + Milliseconds(20)) == 0);
}

TEST_CASE("timers of one duration fire in the order of their arming, those of others when they are due") {
  net::TimerWheel wheel;
  std::string order;
  Probe a([&] { order += 'a'; });
  Probe b([&] { order += 'b'; });
  Probe c([&] { order += 'c'; });
  wheel.arm(a, Milliseconds(100), kStart);
  wheel.arm(b, Milliseconds(100), kStart + Milliseconds(1));
  wheel.arm(c, Milliseconds(50), kStart);
  wheel.advance(kStart + Milliseconds(60));
  CHECK(order == "c");
  wheel.advance(kStart + Milliseconds(100));
  CHECK(order == "ca");
  wheel.advance(kStart + Milliseconds(101));
  CHECK(order == "cab");
}

TEST_CASE("a timer armed from within a callback fires in a later call, also with no delay") {
  net::TimerWheel wheel;
  Probe* self = nullptr;
  Probe timer([&] { wheel.arm(*self, Milliseconds(0), kStart); });
  self = &timer;
  wheel.arm(timer, Milliseconds(0), kStart);
  CHECK(wheel.advance(kStart) == 1);
  CHECK(timer.armed());
  CHECK(wheel.advance(kStart) == 1);
  timer.run = [] {};
  CHECK(wheel.advance(kStart) == 1);
  CHECK(wheel.armed() == 0);
}

TEST_CASE("a callback may cancel, destroy or re-arm timers that are due in the same tick") {
  net::TimerWheel wheel;
  Probe cancelled;
  Probe rearmed;
  auto destroyed = std::make_unique<Probe>();
  Probe first([&] {
    cancelled.cancel();
    destroyed.reset();
    wheel.arm(rearmed, Milliseconds(10), kStart + Milliseconds(10));
  });
  for (Probe* timer : {&first, &cancelled, destroyed.get(), &rearmed}) {
    wheel.arm(*timer, Milliseconds(10), kStart);
  }
  CHECK(wheel.advance(kStart + Milliseconds(10)) == 1);
  CHECK(cancelled.fired == 0);
  CHECK(rearmed.fired == 0);
  CHECK(wheel.advance(kStart + Milliseconds(20)) == 1);
  CHECK(rearmed.fired == 1);
}

TEST_CASE("a timer may destroy itself") {
  net::TimerWheel wheel;
  std::unique_ptr<Probe> owner;
  bool ran = false;
  owner = std::make_unique<Probe>([&] { ran = true; });
  struct Suicide final : net::Timer {
    explicit Suicide(std::unique_ptr<Suicide>& o) : own(o) {}
    void on_timer() override { own.reset(); }
    std::unique_ptr<Suicide>& own;
  };
  std::unique_ptr<Suicide> suicide;
  suicide = std::make_unique<Suicide>(suicide);
  wheel.arm(*suicide, Milliseconds(1), kStart);
  wheel.arm(*owner, Milliseconds(1), kStart);
  CHECK(wheel.advance(kStart + Milliseconds(1)) == 2);
  CHECK(suicide == nullptr);
  CHECK(ran);
}

TEST_CASE("many durations neither lose timers nor reorder them") {
  net::TimerWheel wheel;
  std::vector<std::unique_ptr<Probe>> timers;
  for (int round = 0; round < 3; ++round) {
    timers.clear();
    for (int i = 0; i < 500; ++i) {
      timers.push_back(std::make_unique<Probe>());
      wheel.arm(*timers.back(), Milliseconds((i * 37) % 500), kStart);
    }
    std::size_t fired = 0;
    for (int ms = 0; ms < 500; ++ms) {
      const std::size_t now = wheel.advance(kStart + Milliseconds(ms));
      CHECK(now == 1);
      fired += now;
    }
    CHECK(fired == timers.size());
  }
}

TEST_CASE("an endless duration does not overflow into the past") {
  net::TimerWheel wheel;
  Probe timer;
  wheel.arm(timer, Milliseconds::max(), kStart);
  CHECK(wheel.advance(kStart + std::chrono::hours(24 * 30)) == 0);
  CHECK(timer.deadline() > kStart);
  Probe past;
  wheel.arm(past, Milliseconds(-5), kStart);
  CHECK(wheel.advance(kStart) == 1);
}

TEST_CASE("MemberTimer calls its owner") {
  struct Owner {
    void on_idle() { ++calls; }
    int calls = 0;
    net::MemberTimer<Owner, &Owner::on_idle> idle{*this};
  };
  net::TimerWheel wheel;
  Owner owner;
  wheel.arm(owner.idle, Milliseconds(5), kStart);
  wheel.advance(kStart + Milliseconds(5));
  CHECK(owner.calls == 1);
}
