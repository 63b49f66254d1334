// Readiness by an epoll set of our own: who is told, how often, and what happens to those that die meanwhile.
#include "sallyport/net/poller.hpp"

#include <functional>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "loopback.hpp"

namespace {

using namespace sallyport;
using namespace sallyport::net::test;
using net::Loop;
using net::Poller;

struct Told final : net::Watched {
  explicit Told(std::function<void(std::uint32_t)> then = {}) : call(std::move(then)) {}
  void on_ready(std::uint32_t events) override {
    ++times;
    seen |= events;
    if (call) call(events);
  }
  std::function<void(std::uint32_t)> call;
  int times = 0;
  std::uint32_t seen = 0;
};

}  // namespace

TEST_CASE("an edge is told once, and what is so already is told at once") {
  Poller poller;
  Pair pair;
  Told told;
  send_text(pair.peer, "x");
  REQUIRE(poller.watch(pair.ours.fd(), EPOLLIN, told) == 0);
  poller.dispatch(base::Milliseconds(0));
  CHECK(told.times == 1);
  CHECK(told.seen == EPOLLIN);
  poller.dispatch(base::Milliseconds(0));
  CHECK(told.times == 1);
  poller.rewatch(pair.ours.fd(), EPOLLIN | EPOLLOUT, told);
  poller.dispatch(base::Milliseconds(0));
  CHECK(told.seen == (EPOLLIN | EPOLLOUT));
  poller.unwatch(pair.ours.fd(), told);
  send_text(pair.peer, "y");
  poller.dispatch(base::Milliseconds(0));
  CHECK(told.times == 2);
}

TEST_CASE("whoever asked is called by the next dispatch, and again only by the one after") {
  Poller poller;
  Told told([&](std::uint32_t events) {
    CHECK(events == 0);
    if (told.times == 1) poller.again(told);
  });
  poller.again(told);
  CHECK(poller.wants_dispatch());
  poller.dispatch(base::Milliseconds(0));
  CHECK(told.times == 1);
  CHECK(poller.wants_dispatch());
  poller.dispatch(base::Milliseconds(0));
  CHECK(told.times == 2);
  CHECK_FALSE(poller.wants_dispatch());
}

TEST_CASE("one that dies while others of its batch are told is told no more") {
  Poller poller;
  std::vector<Pair> pairs(8);
  std::vector<std::unique_ptr<Told>> told;
  int calls = 0;
  for (Pair& pair : pairs) {
    // The first to be called takes all the others with it.
    told.push_back(std::make_unique<Told>([&](std::uint32_t) {
      if (++calls > 1) return;
      for (auto& other : told) {
        if (other->times == 0) other.reset();
      }
    }));
    REQUIRE(poller.watch(pair.ours.fd(), EPOLLIN, *told.back()) == 0);
    send_text(pair.peer, "x");
  }
  poller.dispatch(base::Milliseconds(0));
  CHECK(calls == 1);
}

TEST_CASE("more than a batch is told all the same, and late output leaves behind the last of a batch") {
  Loop loop;
  constexpr std::size_t kMany = Poller::kBatch + 50;
  std::vector<Pair> pairs(kMany);
  std::vector<std::unique_ptr<Told>> told;
  std::size_t called = 0;
  std::vector<std::size_t> flushed_at;
  struct Late final : net::Flush {
    explicit Late(std::function<void()> f) : run(std::move(f)) {}
    void on_flush() override { run(); }
    std::function<void()> run;
  } late([&] { flushed_at.push_back(called); });
  for (Pair& pair : pairs) {
    told.push_back(std::make_unique<Told>([&](std::uint32_t) {
      const Loop::Turn turn(loop);
      ++called;
      loop.flush_late(late);
    }));
    REQUIRE(loop.poller().watch(pair.ours.fd(), EPOLLIN, *told.back()) == 0);
    send_text(pair.peer, "x");
  }
  REQUIRE(run_until(loop, [&] { return called == kMany; }));
  CHECK(flushed_at == std::vector<std::size_t>{Poller::kBatch, kMany});
}
