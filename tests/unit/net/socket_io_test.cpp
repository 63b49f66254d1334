#include "sallyport/net/socket_io.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "loopback.hpp"

namespace {

using namespace sallyport;
using namespace sallyport::net::test;
using net::Loop;
using net::SocketIo;

struct Recorder : SocketIo::Handler {
  virtual ~Recorder() = default;
  void on_read(std::span<char> bytes) override {
    received.append(bytes.data(), bytes.size());
    if (when_read) when_read();
  }
  void on_read_end() override { ended = true; }
  void on_sent(std::size_t n) override { sent += n; }
  void on_failed(const base::Error& e) override { error = e; }
  std::string received;
  std::function<void()> when_read;
  std::size_t sent = 0;
  bool ended = false;
  base::Error error;
};

}  // namespace

TEST_CASE("a socket whose first bytes were read goes on in other hands, with nothing lost") {
  Loop loop;
  Pair pair;
  // Takes the first four bytes for itself, as a PROXY header's reader does.
  struct Prefix final : Recorder {
    void on_read(std::span<char> bytes) override {
      Recorder::on_read(bytes);
      if (received.size() >= 4) next = io->release();
    }
    SocketIo* io = nullptr;
    std::optional<net::TcpSocket> next;
  } prefix;
  auto first = std::make_unique<SocketIo>(loop, std::move(pair.ours), base::Fault::client);
  prefix.io = first.get();
  {
    const Loop::Turn turn(loop);
    first->start(prefix);
  }
  send_text(pair.peer, "PR");
  REQUIRE(run_until(loop, [&] { return prefix.received == "PR"; }));
  send_text(pair.peer, "OXGET ");
  REQUIRE(run_until(loop, [&] { return prefix.next.has_value(); }));
  CHECK_FALSE(first->is_open());
  first.reset();

  Recorder second;
  SocketIo io(loop, std::move(*prefix.next), base::Fault::client);
  {
    const Loop::Turn turn(loop);
    io.start(second, std::string_view(prefix.received).substr(4));
  }
  send_text(pair.peer, "/");
  REQUIRE(run_until(loop, [&] { return second.received.size() == 5; }));
  CHECK(second.received == "GET /");
}

TEST_CASE("out() and schedule(): queued bytes leave in one send at the turn's end") {
  Loop loop;
  Pair pair;
  Recorder handler;
  SocketIo io(loop, std::move(pair.ours), base::Fault::upstream);
  {
    const Loop::Turn turn(loop);
    io.start(handler);
    io.out().append(std::string_view("a record, "));
    io.schedule();
    io.out().append(std::string_view("and another"));
    CHECK(readable_bytes(pair.peer.get()) == 0);
  }
  CHECK(handler.sent == 21);
  CHECK(receive(pair.peer, 21) == "a record, and another");
  CHECK_FALSE(io.blocked());
}

TEST_CASE("what may wait leaves with the next bytes, or else with the tick") {
  const bool more = GENERATE(false, true);
  Loop loop;
  Pair pair;
  Recorder handler;
  SocketIo io(loop, std::move(pair.ours), base::Fault::client);
  {
    const Loop::Turn turn(loop);
    io.start(handler);
    io.append(std::string_view("a ticket"));
    io.hold();
  }
  CHECK(handler.sent == 0);
  CHECK(readable_bytes(pair.peer.get()) == 0);
  if (more) {
    {
      const Loop::Turn turn(loop);
      io.append(std::string_view(", an answer"));
    }
    CHECK(handler.sent == 19);
    CHECK(receive(pair.peer, 19) == "a ticket, an answer");
  } else {
    REQUIRE(run_until(loop, [&] { return handler.sent == 8; }));
    CHECK(receive(pair.peer, 8) == "a ticket");
  }
}

TEST_CASE("write_gather sends the queue first and keeps what the kernel does not take") {
  Loop loop;
  Pair pair;
  Recorder handler;
  SocketIo io(loop, std::move(pair.ours), base::Fault::upstream);
  constexpr std::size_t kBig = 8 * 1024 * 1024;
  const std::string all = patterned(0, 10 + 2 * kBig + 10);
  const std::string_view view(all);
  {
    const Loop::Turn turn(loop);
    io.start(handler);
    io.append(view.substr(0, 10));
    io.write_gather(view.substr(10, kBig));
    CHECK(io.blocked());
    CHECK(handler.sent == 0);
    CHECK(io.unsent() < 10 + kBig);
    io.write_gather(view.substr(10 + kBig, kBig));
    io.append(view.substr(10 + 2 * kBig));
    io.finish();
  }
  std::string got;
  std::vector<char> chunk(1024 * 1024);
  ssize_t n = -1;
  REQUIRE(run_until(loop, [&] {
    n = ::recv(pair.peer.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n > 0) got.append(chunk.data(), static_cast<std::size_t>(n));
    return n == 0;
  }));
  CHECK(got == all);
  CHECK(handler.sent == all.size());
  CHECK(io.unsent() == 0);
  CHECK(io.out().capacity() <= 64 * 1024);
}

TEST_CASE("an idle connection gives its write buffer back") {
  Loop loop;
  Pair pair;
  Recorder handler;
  SocketIo io(loop, std::move(pair.ours), base::Fault::client);
  {
    const Loop::Turn turn(loop);
    io.start(handler);
    io.append(std::string_view("x"));
  }
  CHECK(io.out().capacity() > 0);
  {
    const Loop::Turn turn(loop);
    io.idle();
  }
  CHECK(io.out().capacity() == 0);
}

TEST_CASE("hundreds of idle connections hold no buffer") {
  Loop loop;
  const auto listening = listen_on(loopback());
  REQUIRE(listening.size() == 1);
  struct Connection {
    Descriptor peer;
    Recorder handler;
    std::unique_ptr<SocketIo> io;
  };
  std::vector<std::unique_ptr<Connection>> all;
  for (int i = 0; i < 300; ++i) {
    auto c = std::make_unique<Connection>();
    c->peer = raw_socket();
    REQUIRE(raw_connect(c->peer, listening[0].local()) == 0);
    net::TcpSocket socket(::accept4(listening[0].fd(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(socket.is_open());
    c->io = std::make_unique<SocketIo>(loop, std::move(socket), base::Fault::client);
    const Loop::Turn turn(loop);
    c->io->start(c->handler);
    all.push_back(std::move(c));
  }
  for (const auto& c : all) {
    const Loop::Turn turn(loop);
    c->io->idle();
  }
  run_ready(loop);
  for (const auto& c : all) CHECK(c->io->out().capacity() == 0);
  for (const auto& c : all) send_text(c->peer, "x");
  CHECK(run_until(loop, [&] {
    return std::all_of(all.begin(), all.end(), [](const auto& c) { return c->handler.received == "x"; });
  }));
}

TEST_CASE("whoever is paused can tell whether the peer has left, behind bytes that it does not read") {
  const bool abortive = GENERATE(false, true);
  Loop loop;
  Pair pair;
  Recorder handler;
  SocketIo io(loop, std::move(pair.ours), base::Fault::client);
  {
    const Loop::Turn turn(loop);
    io.start(handler);
  }
  send_text(pair.peer, "one");
  REQUIRE(run_until(loop, [&] { return handler.received == "one"; }));
  io.pause();
  send_text(pair.peer, "two");
  run_ready(loop);
  CHECK_FALSE(io.hang_up());
  if (abortive) {
    reset_on_close(pair.peer);
  } else {
    pair.peer.close();
  }
  REQUIRE(run_until(loop, [&] { return static_cast<bool>(io.hang_up()); }));
  CHECK(io.hang_up().code == (abortive ? base::ErrorCode::reset : base::ErrorCode::closed));
  CHECK(io.hang_up().fault == base::Fault::client);
  CHECK(handler.received == "one");
  io.close();
  CHECK_FALSE(io.hang_up());
}

TEST_CASE("a read that filled the buffer is followed by another, and an end behind the bytes is seen") {
  const std::size_t size = GENERATE(1UL, Loop::kReadBuffer - 1, Loop::kReadBuffer, 5 * Loop::kReadBuffer + 1);
  Loop loop;
  Pair pair;
  Recorder handler;
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
  Recorder handler;
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
  Recorder handler;
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
  Recorder flood, word;
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
