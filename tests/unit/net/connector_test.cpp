#include "sallyport/net/connector.hpp"

#include <memory>
#include <optional>
#include <sys/resource.h>

#include "catch.hpp"
#include "loopback.hpp"

namespace {

using namespace sallyport;
using namespace sallyport::net::test;
using base::ErrorCode;
using net::Connector;
using net::Loop;

constexpr base::Milliseconds kLong{60'000};

struct Outcome final : Connector::Handler {
  void on_connected(net::TcpSocket s, const net::Endpoint& from) override {
    CHECK_FALSE(inside_call);
    socket = std::move(s);
    local = from;
    ++calls;
  }
  void on_connect_failed(const base::Error& e) override {
    CHECK_FALSE(inside_call);
    error = e;
    ++calls;
  }
  std::optional<net::TcpSocket> socket;
  net::Endpoint local;
  base::Error error;
  int calls = 0;
  bool inside_call = false;
};

void connect(Loop& loop, Connector& connector, const net::Endpoint& to, base::Milliseconds deadline,
             Outcome& out) {
  const Loop::Turn turn(loop);
  out.inside_call = true;
  connector.connect(to, deadline, out);
  out.inside_call = false;
}

// A listening socket whose queue is full: the next SYN is dropped, so a connect gets no answer.
struct Silent {
  Silent() : listening(listen_on(loopback(), 1, 0)) {
    for (int i = 0; i < 8; ++i) {
      queued.push_back(raw_socket());
      set_non_blocking(queued.back());
      raw_connect(queued.back(), listening.at(0).local());
    }
  }
  std::vector<net::ListenerSocket> listening;
  std::vector<Descriptor> queued;
};

}  // namespace

TEST_CASE("a connection is made, with its options set and its own address known") {
  Loop loop;
  const auto listening = listen_on(loopback());
  REQUIRE(listening.size() == 1);
  Connector connector(loop);
  Outcome out;
  connect(loop, connector, listening[0].local(), kLong, out);
  CHECK(connector.connecting());
  REQUIRE(run_until(loop, [&] { return out.calls != 0; }));
  REQUIRE(out.socket);
  CHECK_FALSE(connector.connecting());
  CHECK(loop.timers().armed() == 0);
  CHECK(out.local == net::local_endpoint(out.socket->fd()));
  CHECK(out.local.address.is_loopback());
  const int fd = out.socket->fd();
  CHECK(socket_option(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */) != 0);
  CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
}

TEST_CASE("a refused connect is told from one that gets no answer") {
  Loop loop;
  Connector connector(loop);
  Outcome out;
  SECTION("RST: refused") {
    const Descriptor bound = raw_socket();  // a port that is ours and where nobody listens
    const auto at = net::to_asio(loopback());
    REQUIRE(::bind(bound.get(), at.data(), static_cast<socklen_t>(at.size())) == 0);
    connect(loop, connector, net::local_endpoint(bound.get()), kLong, out);
    REQUIRE(run_until(loop, [&] { return out.calls != 0; }));
    CHECK(out.error.code == ErrorCode::connect_refused);
    CHECK(out.error.cause == ECONNREFUSED);
  }
  SECTION("silence: timeout, at the deadline") {
    const Silent silent;
    connect(loop, connector, silent.listening[0].local(), base::Milliseconds(3000), out);
    run_ready(loop);
    advance(loop, base::Milliseconds(2900));
    CHECK(out.calls == 0);
    advance(loop, base::Milliseconds(3000));
    CHECK(out.calls == 1);
    CHECK(out.error.code == ErrorCode::connect_timeout);
    run_ready(loop);
  }
  CHECK(out.calls == 1);
  CHECK(out.error.fault == base::Fault::upstream);
  CHECK(out.error.unsent);
  CHECK_FALSE(connector.connecting());
}

TEST_CASE("an address that connect() refuses at once fails in a later turn, never from within the call") {
  Loop loop;
  Connector connector(loop);
  Outcome out;
  // Broadcast: no TCP connection is possible, whatever the routes of this machine.
  connect(loop, connector, {net::IpAddress::v4({255, 255, 255, 255}), 9}, kLong, out);
  REQUIRE(run_until(loop, [&] { return out.calls != 0; }));
  CHECK((out.error.code == ErrorCode::connect_unreachable || out.error.code == ErrorCode::connect_failed));
  CHECK(out.error.unsent);
}

TEST_CASE("out of descriptors is the gateway's own fault") {
  Loop loop;
  Connector connector(loop);
  Outcome out;
  rlimit saved{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &saved) == 0);
  const Descriptor highest(::dup(0));
  const rlimit none{static_cast<rlim_t>(highest.get()), saved.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  connect(loop, connector, loopback(), kLong, out);
  ::setrlimit(RLIMIT_NOFILE, &saved);
  run_ready(loop);
  REQUIRE(out.calls == 1);
  CHECK(out.error.code == ErrorCode::overloaded);
  CHECK(out.error.fault == base::Fault::gateway);
  CHECK(out.error.cause == EMFILE);
}

TEST_CASE("a cancelled or destroyed attempt calls nobody, and the next one is not confused by it") {
  Loop loop;
  const auto listening = listen_on(loopback());
  REQUIRE(listening.size() == 1);
  const Silent silent;
  auto connector = std::make_unique<Connector>(loop);
  Outcome first;
  connect(loop, *connector, silent.listening[0].local(), kLong, first);
  SECTION("cancelled") {
    connector->cancel();
    Outcome second;
    connect(loop, *connector, listening[0].local(), kLong, second);
    REQUIRE(run_until(loop, [&] { return second.calls != 0; }));
    CHECK(second.socket);
  }
  SECTION("destroyed") {
    connector.reset();
  }
  run_ready(loop);
  advance(loop, kLong);
  CHECK(first.calls == 0);
}

TEST_CASE("the handler may destroy the connector") {
  Loop loop;
  const auto listening = listen_on(loopback());
  REQUIRE(listening.size() == 1);
  struct Owner final : Connector::Handler {
    explicit Owner(Loop& l) : connector(std::make_unique<Connector>(l)) {}
    void on_connected(net::TcpSocket, const net::Endpoint&) override { connector.reset(); }
    void on_connect_failed(const base::Error&) override { connector.reset(); }
    std::unique_ptr<Connector> connector;
  } owner(loop);
  bool to_silence = GENERATE(false, true);
  const Silent silent;
  {
    const Loop::Turn turn(loop);
    owner.connector->connect(to_silence ? silent.listening[0].local() : listening[0].local(), kLong, owner);
  }
  if (to_silence) advance(loop, kLong);
  CHECK(run_until(loop, [&] { return owner.connector == nullptr; }));
  run_ready(loop);
}
