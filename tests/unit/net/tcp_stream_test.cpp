#include "sallyport/net/tcp_stream.hpp"

#include <functional>
#include <memory>
#include <poll.h>
#include <string>

#include "catch.hpp"
#include "loopback.hpp"

namespace {

using namespace sallyport;
using namespace sallyport::net::test;
using net::Loop;
using net::TcpStream;

// Keeps what arrives, and knows whether it was called from within a call into the stream.
struct StreamRecorder final : net::ByteStream::Handler {
  void on_bytes(std::span<const char> bytes) override {
    CHECK_FALSE(inside_call);
    received.append(bytes.data(), bytes.size());
    if (when_bytes) when_bytes();
  }
  void on_eof() override {
    CHECK_FALSE(inside_call);
    ++eofs;
    if (when_eof) when_eof();
  }
  void on_written(std::size_t n) override {
    CHECK_FALSE(inside_call);
    written += n;
    ++tellings;
    if (when_written) when_written();
  }
  void on_closed(const base::Error& e) override {
    CHECK_FALSE(inside_call);
    CHECK_FALSE(closed);
    error = e;
    closed = true;
    if (when_closed) when_closed();
  }

  std::string received;
  std::size_t written = 0;
  int tellings = 0;
  int eofs = 0;
  bool closed = false;
  bool inside_call = false;
  base::Error error;
  std::function<void()> when_bytes, when_eof, when_written, when_closed;
};

// One stream on a loop, its peer as a plain socket.
struct StreamFixture {
  explicit StreamFixture(std::string_view early = {}) : peer(std::move(pair.peer)) {
    fd = pair.ours.fd();
    const auto from = net::peer_endpoint(fd);
    const auto to = net::local_endpoint(fd);
    stream = std::make_unique<TcpStream>(loop, std::move(pair.ours), base::Fault::client, from, to, early);
  }
  // Within a turn, as all code of the data path is.
  template <class F>
  void turn(F f) {
    const Loop::Turn t(loop);
    handler.inside_call = true;
    f();
    handler.inside_call = false;
  }
  void start() {
    turn([&] { stream->start(handler); });
    run_ready(loop);
  }

  Loop loop;
  Pair pair;
  Descriptor peer;
  int fd = -1;  // the stream's
  StreamRecorder handler;
  std::unique_ptr<TcpStream> stream;
};

}  // namespace

TEST_CASE("everything written in a turn leaves at its end, and is told once the kernel has it") {
  StreamFixture f;
  f.start();
  f.turn([&] {
    f.stream->write(std::string_view("HTTP/1.1 200 OK\r\n"));
    f.stream->write(std::string_view("\r\n"));
    f.stream->write(std::string_view("body"));
    CHECK(f.stream->unwritten() == 23);
    char c = 0;
    CHECK(::recv(f.peer.get(), &c, 1, MSG_DONTWAIT) < 0);
  });
  CHECK(f.stream->unwritten() == 0);
  CHECK(f.handler.written == 23);
  CHECK(f.handler.tellings == 1);
  CHECK(receive(f.peer, 23) == "HTTP/1.1 200 OK\r\n\r\nbody");
}

TEST_CASE("a large write goes out at once, behind what is queued, and is told later") {
  StreamFixture f;
  f.start();
  const std::string big = patterned(4, 32 * 1024);
  f.turn([&] {
    f.stream->write(patterned(0, 4));
    f.stream->write(big);
    CHECK(receive(f.peer, big.size() + 4) == patterned(0, big.size() + 4));
    CHECK(f.handler.written == 0);
  });
  CHECK(f.handler.written == big.size() + 4);
}

TEST_CASE("both directions at once, far beyond the kernel's buffers, byte-exact with a slow reader") {
  constexpr std::size_t kTotal = 24 * 1024 * 1024;
  constexpr std::size_t kBound = 256 * 1024;
  Loop loop;
  const auto listening = listen_on(loopback());
  REQUIRE(listening.size() == 1);
  Descriptor one = raw_socket();
  REQUIRE(raw_connect(one, listening[0].local()) == 0);
  Descriptor two(::accept4(listening[0].fd(), nullptr, nullptr, SOCK_CLOEXEC));

  // Writes the pattern within its bound; reads in bites: pauses after each, resumed by the
  // other side's progress.
  struct Side final : net::ByteStream::Handler {
    Side(Loop& l, int fd) : loop(l) {
      stream = std::make_unique<TcpStream>(l, net::TcpSocket(fd), base::Fault::client, net::Endpoint{},
                                           net::Endpoint{});
    }
    void fill() {
      while (sent < kTotal && stream->unwritten() < kBound) {
        const std::size_t n = std::min<std::size_t>(kTotal - sent, 1 + (sent % 40'000));
        stream->write(patterned(sent, n));
        sent += n;
      }
      if (sent == kTotal && !std::exchange(finished, true)) stream->finish();
    }
    void on_bytes(std::span<const char> bytes) override {
      for (const char c : bytes) wrong += c != pattern(got++) ? 1 : 0;
      stream->pause();
      ++paused;
    }
    void on_eof() override { ended = true; }
    void on_written(std::size_t n) override {
      told += n;
      fill();
    }
    void on_closed(const base::Error&) override { failed = true; }
    Loop& loop;
    std::unique_ptr<TcpStream> stream;
    std::size_t sent = 0, got = 0, told = 0, wrong = 0, paused = 0;
    bool finished = false, ended = false, failed = false;
  };
  Side a(loop, ::dup(one.get()));
  Side b(loop, ::dup(two.get()));
  one.close();
  two.close();
  {
    const Loop::Turn turn(loop);
    a.stream->start(a);
    b.stream->start(b);
    a.fill();
    b.fill();
  }
  std::size_t steps = 0;
  const bool through = run_until(loop, [&] {
    // The slow reader: every second step one side goes on.
    const Loop::Turn turn(loop);
    (++steps % 2 == 0 ? a : b).stream->resume();
    return (a.ended && b.ended) || a.failed || b.failed;
  });
  REQUIRE(through);
  for (const Side* side : {&a, &b}) {
    CHECK_FALSE(side->failed);
    CHECK(side->got == kTotal);
    CHECK(side->told == kTotal);
    CHECK(side->wrong == 0);
    CHECK(side->paused > 1);
  }
}

TEST_CASE("while paused nothing is read, the kernel keeps it, and no buffer is held") {
  StreamFixture f;
  f.handler.when_bytes = [&] { f.stream->pause(); };
  f.start();
  send_text(f.peer, "one");
  REQUIRE(run_until(f.loop, [&] { return f.handler.received == "one"; }));
  send_text(f.peer, "two");
  run_ready(f.loop);
  CHECK(f.handler.received == "one");
  f.handler.when_bytes = nullptr;
  f.turn([&] { f.stream->resume(); });
  REQUIRE(run_until(f.loop, [&] { return f.handler.received == "onetwo"; }));
}

TEST_CASE("an idle connection holds no read buffer, and the next byte is not lost") {
  StreamFixture f;
  f.start();
  f.turn([&] { f.stream->idle(); });
  run_ready(f.loop);
  send_text(f.peer, "GET /");
  REQUIRE(run_until(f.loop, [&] { return !f.handler.received.empty(); }));
  CHECK(f.handler.received == "GET /");
}

TEST_CASE("idle() from within on_bytes gives the buffer back without a cancelled read") {
  StreamFixture f;
  f.handler.when_bytes = [&] { f.stream->idle(); };
  f.start();
  send_text(f.peer, "x");
  REQUIRE(run_until(f.loop, [&] { return !f.handler.received.empty(); }));
  send_text(f.peer, "y");
  REQUIRE(run_until(f.loop, [&] { return f.handler.received == "xy"; }));
}

TEST_CASE("idle() that races with arriving bytes, writes and pauses loses nothing") {
  StreamFixture f;
  f.start();
  std::string sent;
  for (std::size_t i = 0; i < 2000; ++i) {
    const std::string text = patterned(sent.size(), 1 + i % 7);
    // Before, between and after: each order of arrival, cancellation and wait occurs.
    if (i % 3 == 0) send_text(f.peer, text);
    if (i % 5 == 0) f.loop.run_once(base::Milliseconds(0));
    f.turn([&] { f.stream->idle(); });
    if (i % 7 == 0) f.loop.run_once(base::Milliseconds(0));
    if (i % 11 == 0) f.turn([&] { f.stream->write(std::string_view("w")); });
    if (i % 13 == 0) f.turn([&] { f.stream->pause(); });
    if (i % 3 != 0) send_text(f.peer, text);
    if (i % 13 == 0) f.turn([&] { f.stream->resume(); });
    sent += text;
    if (i % 2 == 0) run_ready(f.loop);
  }
  REQUIRE(run_until(f.loop, [&] { return f.handler.received.size() == sent.size(); }));
  CHECK(f.handler.received == sent);
  CHECK_FALSE(f.handler.closed);
  f.turn([&] { f.stream->idle(); });
  run_ready(f.loop);
}

TEST_CASE("idle() while a write waits for the kernel takes effect when it is through") {
  StreamFixture f;
  f.start();
  f.turn([&] { f.stream->write(patterned(0, 16 * 1024 * 1024)); });
  REQUIRE(f.stream->unwritten() > 0);
  f.turn([&] { f.stream->idle(); });
  std::string got;
  std::vector<char> chunk(1024 * 1024);
  REQUIRE(run_until(f.loop, [&] {
    const ssize_t n = ::recv(f.peer.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n > 0) got.append(chunk.data(), static_cast<std::size_t>(n));
    return got.size() == 16 * 1024 * 1024;
  }));
  run_ready(f.loop);
  CHECK(f.handler.written == got.size());
  CHECK(got == patterned(0, got.size()));
}

TEST_CASE("a peer's FIN is an end, and the other direction goes on") {
  StreamFixture f;
  f.start();
  send_text(f.peer, "last words");
  ::shutdown(f.peer.get(), SHUT_WR);
  REQUIRE(run_until(f.loop, [&] { return f.handler.eofs == 1; }));
  CHECK(f.handler.received == "last words");
  CHECK(f.stream->is_open());
  f.turn([&] {
    f.stream->write(std::string_view("answer"));
    f.stream->finish();
  });
  CHECK(receive_all(f.peer) == "answer");
  run_ready(f.loop);
  CHECK(f.handler.eofs == 1);
  CHECK_FALSE(f.handler.closed);
}

TEST_CASE("finish() sends all that is queued before the FIN, and reading goes on") {
  StreamFixture f;
  f.start();
  constexpr std::size_t kMuch = 16 * 1024 * 1024;
  f.turn([&] {
    f.stream->write(patterned(0, kMuch));
    f.stream->finish();
  });
  REQUIRE(f.stream->unwritten() > 0);
  std::string got;
  std::vector<char> chunk(1024 * 1024);
  bool fin = false;
  REQUIRE(run_until(f.loop, [&] {
    const ssize_t n = ::recv(f.peer.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n > 0) got.append(chunk.data(), static_cast<std::size_t>(n));
    fin = n == 0;
    return fin;
  }));
  CHECK(got.size() == kMuch);
  CHECK(got == patterned(0, kMuch));
  send_text(f.peer, "still here");
  REQUIRE(run_until(f.loop, [&] { return f.handler.received == "still here"; }));
}

TEST_CASE("a peer's RST is a reset of the peer's side, with its errno") {
  StreamFixture f;
  f.start();
  reset_on_close(f.peer);
  REQUIRE(run_until(f.loop, [&] { return f.handler.closed; }));
  CHECK(f.handler.error.code == base::ErrorCode::reset);
  CHECK(f.handler.error.fault == base::Fault::client);
  CHECK(f.handler.error.cause == ECONNRESET);
  CHECK(f.handler.eofs == 0);
  CHECK_FALSE(f.stream->is_open());
}

TEST_CASE("an answer that came before a reset is read, although writing has failed by then") {
  StreamFixture f;
  f.start();
  send_text(f.peer, "HTTP/1.1 413");
  reset_on_close(f.peer);
  REQUIRE(await_reset(f.fd));
  f.turn([&] { f.stream->write(std::string_view("more of the upload")); });
  CHECK_FALSE(f.handler.closed);
  REQUIRE(run_until(f.loop, [&] { return f.handler.closed; }));
  CHECK(f.handler.received == "HTTP/1.1 413");
  CHECK(f.handler.error.code == base::ErrorCode::reset);
}

TEST_CASE("a write that fails while reading is paused is told without a resume") {
  StreamFixture f;
  f.start();
  f.handler.when_bytes = [&] { f.stream->pause(); };
  send_text(f.peer, "x");
  REQUIRE(run_until(f.loop, [&] { return !f.handler.received.empty(); }));
  reset_on_close(f.peer);
  REQUIRE(await_reset(f.fd));
  f.turn([&] { f.stream->write(std::string_view("y")); });
  CHECK(f.handler.closed);
  CHECK(f.handler.error.code == base::ErrorCode::reset);
}

TEST_CASE("a write failed, and only then reading is paused: told all the same") {
  StreamFixture f;
  f.start();
  send_text(f.peer, "answer");
  reset_on_close(f.peer);
  REQUIRE(await_reset(f.fd));
  f.turn([&] { f.stream->write(std::string_view("y")); });
  REQUIRE_FALSE(f.handler.closed);
  f.turn([&] { f.stream->pause(); });
  CHECK(f.handler.closed);
  CHECK(f.handler.error.code == base::ErrorCode::reset);
}

TEST_CASE("a write that fails after the peer's FIN is told") {
  StreamFixture f;
  f.start();
  ::shutdown(f.peer.get(), SHUT_WR);
  REQUIRE(run_until(f.loop, [&] { return f.handler.eofs == 1; }));
  reset_on_close(f.peer);
  REQUIRE(await_reset(f.fd));
  f.turn([&] { f.stream->write(std::string_view("y")); });
  CHECK(f.handler.closed);
  CHECK(f.handler.error.code == base::ErrorCode::reset);
}

TEST_CASE("close() sends FIN, abortive close() sends RST, and no call follows either") {
  const bool abortive = GENERATE(false, true);
  StreamFixture f;
  f.start();
  f.turn([&] {
    f.stream->write(std::string_view("dropped"));
    f.stream->close(abortive);
  });
  CHECK_FALSE(f.stream->is_open());
  int error_number = 0;
  CHECK(receive_all(f.peer, &error_number).empty());
  CHECK(error_number == (abortive ? ECONNRESET : 0));
  run_ready(f.loop);
  CHECK_FALSE(f.handler.closed);
  CHECK(f.handler.eofs == 0);
  CHECK(f.handler.written == 0);
  // A closed stream takes calls and does nothing.
  f.turn([&] {
    f.stream->write(std::string_view("x"));
    f.stream->write(std::string(100'000, 'x'));
    f.stream->pause();
    f.stream->resume();
    f.stream->idle();
    f.stream->finish();
    f.stream->close();
  });
  run_ready(f.loop);
  CHECK(f.stream->unwritten() == 0);
}

TEST_CASE("close() in any callback ends the calls") {
  const int which = GENERATE(0, 1, 2);
  StreamFixture f;
  const auto close = [&] { f.stream->close(); };
  if (which == 0) f.handler.when_bytes = close;
  if (which == 1) f.handler.when_eof = close;
  if (which == 2) f.handler.when_written = close;
  f.start();
  send_text(f.peer, "x");
  ::shutdown(f.peer.get(), SHUT_WR);
  f.turn([&] { f.stream->write(std::string_view("y")); });
  REQUIRE(run_until(f.loop, [&] { return !f.stream->is_open(); }));
  run_ready(f.loop);
  CHECK_FALSE(f.handler.closed);
}

TEST_CASE("a stream may die with operations in flight, through the reaper in any callback or at once") {
  struct Dead final : net::Reapable {
    explicit Dead(std::unique_ptr<TcpStream> s) : stream(std::move(s)) {}
    std::unique_ptr<TcpStream> stream;
  };
  const int which = GENERATE(0, 1, 2, 3, 4, 5);
  StreamFixture f;
  const auto reap = [&] {
    if (f.stream != nullptr) f.loop.reap(std::make_unique<Dead>(std::move(f.stream)));
  };
  if (which == 0) f.handler.when_bytes = reap;
  if (which == 1) f.handler.when_eof = reap;
  if (which == 2) f.handler.when_written = reap;
  if (which == 3) f.handler.when_closed = reap;
  f.start();
  f.turn([&] { f.stream->write(std::string(16 * 1024 * 1024, 'x')); });  // a wait for room is in flight too
  if (which == 4) f.turn(reap);
  if (which == 5) f.stream.reset();
  send_text(f.peer, "x");
  if (which == 3) {
    reset_on_close(f.peer);
  } else if (which != 2) {
    ::shutdown(f.peer.get(), SHUT_WR);
  }
  std::vector<char> chunk(1024 * 1024);
  REQUIRE(run_until(f.loop, [&] {
    if (which == 2) (void)!::recv(f.peer.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    return f.stream == nullptr;
  }));
  run_ready(f.loop);
}

TEST_CASE("bytes read before the stream existed come first, and wait for a resume") {
  StreamFixture f("early ");
  send_text(f.peer, "late");
  SECTION("started") {
    f.turn([&] {
      f.stream->start(f.handler);
      CHECK(f.handler.received.empty());
    });
  }
  SECTION("paused from the start") {
    f.turn([&] {
      f.stream->start(f.handler);
      f.stream->pause();
    });
    run_ready(f.loop);
    CHECK(f.handler.received.empty());
    f.turn([&] { f.stream->resume(); });
  }
  REQUIRE(run_until(f.loop, [&] { return f.handler.received.size() == 10; }));
  CHECK(f.handler.received == "early late");
}

TEST_CASE("a stream knows its two ends") {
  StreamFixture f;
  CHECK(f.stream->peer() == net::local_endpoint(f.peer.get()));
  CHECK(f.stream->local() == net::peer_endpoint(f.peer.get()));
}

TEST_CASE("the write buffer does not keep the size of its largest response") {
  StreamFixture f;
  f.start();
  f.turn([&] { f.stream->idle(); });
  run_ready(f.loop);
  std::string got;
  f.turn([&] { f.stream->write(patterned(0, 8 * 1024 * 1024)); });
  std::vector<char> chunk(1024 * 1024);
  REQUIRE(run_until(f.loop, [&] {
    const ssize_t n = ::recv(f.peer.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n > 0) got.append(chunk.data(), static_cast<std::size_t>(n));
    return got.size() == 8 * 1024 * 1024;
  }));
  CHECK(got == patterned(0, got.size()));
}
