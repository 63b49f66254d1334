#include "sallyport/net/loop.hpp"

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "loopback.hpp"

namespace {

using namespace sallyport;
using net::Loop;

struct OnWake final : net::Wake {
  explicit OnWake(std::function<void()> f) : run(std::move(f)) {}
  void on_wake() override { run(); }
  std::function<void()> run;
};

struct OnFlush final : net::Flush {
  explicit OnFlush(std::function<void()> f) : run(std::move(f)) {}
  void on_flush() override { run(); }
  std::function<void()> run;
};

struct OnDeath final : net::Reapable {
  explicit OnDeath(std::function<void()> f) : run(std::move(f)) {}
  ~OnDeath() override { run(); }
  std::function<void()> run;
};

}  // namespace

TEST_CASE("a turn ends with wakes, then flushes, then the dead, whatever the order they were put off in") {
  Loop loop;
  std::string order;
  OnWake wake([&] { order += 'w'; });
  OnFlush flush([&] { order += 'f'; });
  {
    const Loop::Turn turn(loop);
    loop.reap(std::make_unique<OnDeath>([&] { order += 'd'; }));
    loop.flush(flush);
    loop.wake(wake);
    order += '.';
  }
  CHECK(order == ".wfd");
}

TEST_CASE("a wake that a flush causes runs before the dead go, and its flush too") {
  Loop loop;
  std::string order;
  OnFlush second([&] { order += '2'; });
  OnWake wake([&] {
    order += 'w';
    loop.flush(second);
  });
  OnFlush first([&] {
    order += '1';
    loop.wake(wake);
  });
  {
    const Loop::Turn turn(loop);
    loop.reap(std::make_unique<OnDeath>([&] { order += 'd'; }));
    loop.flush(first);
  }
  CHECK(order == "1w2d");
}

TEST_CASE("nested turns join the outermost, so that nothing is called back from within a call") {
  Loop loop;
  int wakes = 0;
  OnWake inner([&] { ++wakes; });
  OnWake outer([&] {
    const Loop::Turn turn(loop);
    loop.wake(inner);
    CHECK(wakes == 0);
  });
  {
    const Loop::Turn turn(loop);
    {
      const Loop::Turn nested(loop);
      loop.wake(outer);
    }
    CHECK(wakes == 0);
  }
  CHECK(wakes == 1);
}

TEST_CASE("work is on its list at most once, and leaves it when it dies") {
  Loop loop;
  int runs = 0;
  OnFlush flush([&] { ++runs; });
  auto gone = std::make_unique<OnWake>([&] { runs += 100; });
  {
    const Loop::Turn turn(loop);
    loop.flush(flush);
    loop.flush(flush);
    loop.wake(*gone);
    gone.reset();
  }
  CHECK(runs == 1);
}

TEST_CASE("an object given to the reaper in its own callback outlives that callback") {
  Loop loop;
  bool dead = false;
  struct Object final : net::Reapable, net::Wake {
    Object(Loop& l, bool& d) : loop(l), gone(d) {}
    ~Object() override { gone = true; }
    void on_wake() override {
      loop.reap(std::unique_ptr<Object>(this));
      CHECK_FALSE(gone);
      value = 7;  // still ours
    }
    Loop& loop;
    bool& gone;
    int value = 0;
  };
  auto* object = new Object(loop, dead);
  {
    const Loop::Turn turn(loop);
    loop.wake(*object);
  }
  CHECK(dead);
}

TEST_CASE("what the dead put off is still run in the turn") {
  Loop loop;
  std::string order;
  OnWake wake([&] { order += 'w'; });
  {
    const Loop::Turn turn(loop);
    loop.reap(std::make_unique<OnDeath>([&] {
      order += '1';
      loop.reap(std::make_unique<OnDeath>([&] { order += '2'; }));
      loop.wake(wake);
    }));
  }
  CHECK(order == "1w2");
}

TEST_CASE("objects that wake each other for ever do not starve the loop's other work") {
  Loop loop;
  bool stop = false;
  std::size_t rounds = 0;
  OnWake* self = nullptr;
  OnWake restless([&] {
    ++rounds;
    if (!stop) loop.wake(*self);
  });
  self = &restless;
  {
    const Loop::Turn turn(loop);
    loop.wake(restless);
  }
  CHECK(rounds > 0);
  CHECK(rounds < 1000);
  loop.post([&] { stop = true; });
  CHECK(net::test::run_until(loop, [&] { return stop; }));
  net::test::run_ready(loop);
  CHECK_FALSE(restless.linked());
}

TEST_CASE("work put off outside a turn runs soon, in a turn of its own") {
  Loop loop;
  std::string order;
  OnWake wake([&] { order += 'w'; });
  OnFlush flush([&] { order += 'f'; });
  loop.reap(std::make_unique<OnDeath>([&] { order += 'd'; }));
  loop.flush(flush);
  loop.wake(wake);
  CHECK(order.empty());
  net::test::run_ready(loop);
  CHECK(order == "wfd");
}

TEST_CASE("the time of a turn is read once, when it begins") {
  Loop loop;
  const auto before = base::Clock::now();
  const Loop::Turn turn(loop);
  const auto now = loop.now();
  CHECK(now >= before);
  {
    const Loop::Turn nested(loop);
    CHECK(loop.now() == now);
  }
}

TEST_CASE("the tick drives the timer wheel while the loop runs") {
  Loop loop(base::Milliseconds(1));
  struct Stopper {
    void fire() { loop.stop(); }
    Loop& loop;
    net::MemberTimer<Stopper, &Stopper::fire> timer{*this};
  } stopper{loop};
  loop.timers().arm(stopper.timer, base::Milliseconds(3), loop.now());
  loop.run();
  CHECK_FALSE(stopper.timer.armed());
  CHECK(base::Clock::now() >= stopper.timer.deadline());
}

TEST_CASE("other threads reach a worker by post, and stop it") {
  Loop loop;
  int sum = 0;  // touched by the worker's thread only
  std::thread worker([&] { loop.run(); });
  std::vector<std::thread> senders;
  for (int s = 0; s < 4; ++s) {
    senders.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        loop.post([&] {
          const Loop::Turn turn(loop);
          if (++sum == 4000) loop.stop();
        });
      }
    });
  }
  for (auto& sender : senders) sender.join();
  worker.join();
  CHECK(sum == 4000);
}

TEST_CASE("a loop may run again after it was stopped, and one stopped before does not hang") {
  Loop loop;
  loop.stop();
  loop.run();
  bool ran = false;
  loop.post([&] {
    ran = true;
    loop.stop();
  });
  loop.run();
  CHECK(ran);
}

TEST_CASE("what pending handlers own may still use the loop when it goes") {
  auto loop = std::make_unique<Loop>();
  struct Owned {
    explicit Owned(Loop& l) : loop(l), block(l.lend_write_block()) {}
    ~Owned() { loop.give_back(std::move(block)); }
    Loop& loop;
    base::Buffer block;
  };
  loop->post([owned = std::make_unique<Owned>(*loop)] {});
  loop.reset();
  SUCCEED();
}

TEST_CASE("a late flush runs once, after all that was ready before it has had its turn") {
  Loop loop;
  std::string order;
  OnFlush flush([&] { order += 'f'; });
  for (const char name : {'a', 'b'}) {
    loop.post([&, name] {
      const Loop::Turn turn(loop);
      order += name;
      loop.flush_late(flush);
    });
  }
  net::test::run_ready(loop);
  CHECK(order == "abf");
}

TEST_CASE("a late flush whose owner dies is forgotten") {
  Loop loop;
  {
    OnFlush flush([] { FAIL("it is gone"); });
    loop.flush_late(flush);
  }
  net::test::run_ready(loop);
}

TEST_CASE("a body in flight may hold less while memory is short") {
  Loop loop;
  CHECK(loop.body_window(256 * 1024) == 256 * 1024);
  loop.pressure(sallyport::base::Pressure::no_connections);
  CHECK(loop.body_window(256 * 1024) == Loop::kTightWindow);
  CHECK(loop.body_window(1000) == 1000);
  loop.pressure(sallyport::base::Pressure::none);
  CHECK(loop.body_window(256 * 1024) == 256 * 1024);
}
