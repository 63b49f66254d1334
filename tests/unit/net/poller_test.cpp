// Readiness by an epoll set of our own: who is told, how often, and what happens to those that die meanwhile.
#include "sallyport/net/poller.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sallyport/net/socket_io.hpp"

#include "catch.hpp"
#include "loopback.hpp"

namespace {

using namespace sallyport;
using namespace sallyport::net::test;
using net::Loop;
using net::Poller;
using net::SocketIo;

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

struct Reader final : SocketIo::Handler {
  void on_read(std::span<char> bytes) override {
    received.append(bytes.data(), bytes.size());
    if (when_read) when_read();
  }
  void on_read_end() override { ended = true; }
  void on_sent(std::size_t) override {}
  void on_failed(const base::Error& e) override { error = e; }
  std::string received;
  std::function<void()> when_read;
  bool ended = false;
  base::Error error;
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

TEST_CASE("a read that filled the buffer is followed by another, and an end behind the bytes is seen") {
  const std::size_t size = GENERATE(1UL, Loop::kReadBuffer - 1, Loop::kReadBuffer, 5 * Loop::kReadBuffer + 1);
  Loop loop;
  Pair pair;
  Reader handler;
  const std::string text = patterned(0, size);
  send_text(pair.peer, text);
  pair.peer.close();
  SocketIo io(loop, std::move(pair.ours), base::Fault::client);
  {
    const Loop::Turn turn(loop);
    io.start(handler);
  }
  REQUIRE(run_until(loop, [&] { return handler.ended; }));
  CHECK(handler.received == text);
}

TEST_CASE("bytes behind urgent data are not left lying") {
  Loop loop;
  Pair pair;
  Reader handler;
  SocketIo io(loop, std::move(pair.ours), base::Fault::client);
  {
    const Loop::Turn turn(loop);
    io.start(handler);
  }
  send_text(pair.peer, "before");
  CHECK(::send(pair.peer.get(), "!", 1, MSG_OOB) == 1);
  send_text(pair.peer, "behind");
  REQUIRE(run_until(loop, [&] { return handler.received.size() == 12; }));
  CHECK(handler.received == "beforebehind");
}

TEST_CASE("what came while it was paused is read when it is resumed, without a new byte") {
  Loop loop;
  Pair pair;
  Reader handler;
  SocketIo io(loop, std::move(pair.ours), base::Fault::client);
  {
    const Loop::Turn turn(loop);
    io.start(handler);
    io.pause();
  }
  send_text(pair.peer, "x");
  run_ready(loop);
  CHECK(handler.received.empty());
  {
    const Loop::Turn turn(loop);
    io.resume();
    CHECK(handler.received.empty());
  }
  REQUIRE(run_until(loop, [&] { return handler.received == "x"; }));
}

TEST_CASE("a socket that always has more does not keep the others from their turn") {
  Loop loop;
  Pair busy, modest;
  Reader flood, word;
  std::size_t at_word = 0;
  send_text(busy.peer, patterned(0, 1));
  set_non_blocking(busy.peer);
  const std::string more = patterned(0, Loop::kReadBuffer);
  // Whatever is read of it is there anew.
  flood.when_read = [&] { send_text(busy.peer, more); };
  word.when_read = [&] { at_word = flood.received.size(); };
  SocketIo first(loop, std::move(busy.ours), base::Fault::client);
  SocketIo second(loop, std::move(modest.ours), base::Fault::client);
  {
    const Loop::Turn turn(loop);
    first.start(flood);
    second.start(word);
  }
  send_text(modest.peer, "x");
  REQUIRE(run_until(loop, [&] { return !word.received.empty(); }));
  CHECK(at_word <= 16 * Loop::kReadBuffer);
}
