#include "sallyport/net/listener.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <netinet/tcp.h>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <vector>

#include <boost/asio/post.hpp>

#include "catch.hpp"
#include "loopback.hpp"

namespace {

using namespace sallyport;
using namespace sallyport::net::test;
using net::Endpoint;
using net::Listener;
using net::ListenerSocket;
using net::Loop;

struct Accepted final : Listener::Handler {
  void on_accept(net::TcpSocket socket, const Endpoint& peer, const Endpoint& local) override {
    sockets.push_back(std::move(socket));
    peers.push_back(peer);
    locals.push_back(local);
    if (when_accept) when_accept();
  }
  void on_accept_error(const base::Error& error) override { errors.push_back(error); }
  void on_drained() override { drained = true; }
  std::vector<net::TcpSocket> sockets;
  std::vector<Endpoint> peers;
  std::vector<Endpoint> locals;
  std::vector<base::Error> errors;
  std::function<void()> when_accept;
  bool drained = false;
};

struct Fixture {
  Fixture() : listener(make()), at(listener->local()) {}
  std::unique_ptr<Listener> make() {
    auto sockets = listen_on(loopback());
    fd = sockets.at(0).fd();
    return std::make_unique<Listener>(loop, std::move(sockets.at(0)), handler);
  }
  std::vector<Descriptor> connect(std::size_t n) {
    std::vector<Descriptor> clients;
    for (std::size_t i = 0; i < n; ++i) {
      clients.push_back(raw_socket());
      REQUIRE(raw_connect(clients.back(), at) == 0);
    }
    return clients;
  }
  template <class F>
  void turn(F f) {
    const Loop::Turn t(loop);
    f();
  }
  bool accepts(std::size_t n) {
    return run_until(loop, [&] { return handler.sockets.size() >= n; });
  }

  Loop loop;
  Accepted handler;
  int fd = -1;  // the listener's
  std::unique_ptr<Listener> listener;
  Endpoint at;
};

}  // namespace

TEST_CASE("connections are accepted with both ends known and their options set") {
  Fixture f;
  f.listener->start();
  const auto clients = f.connect(3);
  REQUIRE(f.accepts(3));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(f.handler.peers[i] == net::local_endpoint(clients[i].get()));
    CHECK(f.handler.locals[i] == f.at);
    const int fd = f.handler.sockets[i].fd();
    CHECK(socket_option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
    CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
    CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 15);
    CHECK(socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 4);
    CHECK(socket_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 128 * 1024);
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("more connections than a batch are all accepted") {
  Fixture f;
  const auto clients = f.connect(Listener::kBatch * 3 + 1);
  f.listener->start();
  CHECK(f.accepts(clients.size()));
}

TEST_CASE("a taken port is an error that says where, what and what to do, although both would share it") {
  const auto first = listen_on(loopback(), 2);
  REQUIRE(first.size() == 2);
  const auto second = ListenerSocket::bind_set(first[0].local(), 2);
  REQUIRE(second.has_error());
  CHECK(second.error().cause == EADDRINUSE);
  INFO(second.error().text);
  CHECK(second.error().text.find(first[0].local().to_string()) != std::string::npos);
  CHECK(second.error().text.find("Address already in use") != std::string::npos);
  CHECK(second.error().text.find("stop it or choose another port") != std::string::npos);
}

TEST_CASE("an address of no interface is an error with its remedy") {
  const auto result = ListenerSocket::bind_set({net::IpAddress::parse("192.0.2.1").value(), 0}, 1);
  REQUIRE(result.has_error());
  CHECK(result.error().cause == EADDRNOTAVAIL);
  CHECK(result.error().text.find("no interface") != std::string::npos);
}

TEST_CASE("a port is free again at once, also with connections in TIME_WAIT") {
  auto sockets = listen_on(loopback());
  const Endpoint at = sockets.at(0).local();
  Descriptor client = raw_socket();
  REQUIRE(raw_connect(client, at) == 0);
  Descriptor served(::accept4(sockets[0].fd(), nullptr, nullptr, SOCK_CLOEXEC));
  served.close();  // our side closes first and so holds TIME_WAIT
  CHECK(receive_all(client).empty());
  client.close();
  sockets.clear();
  CHECK(ListenerSocket::bind_set(at, 2).has_value());
}

TEST_CASE("a set shares one port that the first picked") {
  const auto sockets = listen_on(loopback(), 4);
  REQUIRE(sockets.size() == 4);
  CHECK(sockets[0].local().port != 0);
  for (const auto& socket : sockets) CHECK(socket.local() == sockets[0].local());
}

TEST_CASE("[::] takes both families, and an IPv4 peer there is IPv4 in every rule") {
  auto sockets = listen_on({net::IpAddress::v6({}), 0});
  REQUIRE(sockets.size() == 1);
  const std::uint16_t port = sockets[0].local().port;
  const bool has_v6 = !sockets[0].local().address.is_v4();  // else it has fallen back to 0.0.0.0
  Loop loop;
  Accepted handler;
  Listener listener(loop, std::move(sockets[0]), handler);
  listener.start();
  const Descriptor four = raw_socket();
  REQUIRE(raw_connect(four, {loopback().address, port}) == 0);
  REQUIRE(run_until(loop, [&] { return handler.peers.size() == 1; }));
  CHECK(handler.peers[0].address == net::IpAddress::v4({127, 0, 0, 1}));
  CHECK(handler.locals[0].address == net::IpAddress::v4({127, 0, 0, 1}));
  if (has_v6) {
    const Descriptor six = raw_socket(true);
    const auto loopback_v6 = net::IpAddress::parse("::1").value();
    if (raw_connect(six, {loopback_v6, port}) == 0) {
      REQUIRE(run_until(loop, [&] { return handler.peers.size() == 2; }));
      CHECK(handler.peers[1].address == loopback_v6);
    }
  }
}

TEST_CASE("a paused listener leaves connections queued, a resumed one takes them") {
  Fixture f;
  f.handler.when_accept = [&] { f.listener->pause(); };  // a limit of one
  f.listener->start();
  const auto clients = f.connect(3);
  REQUIRE(f.accepts(1));
  run_ready(f.loop);
  CHECK(f.handler.sockets.size() == 1);
  f.turn([&] { f.listener->resume(); });
  REQUIRE(f.accepts(2));
  run_ready(f.loop);
  CHECK(f.handler.sockets.size() == 2);
  f.handler.when_accept = nullptr;
  f.turn([&] { f.listener->resume(); });
  CHECK(f.accepts(3));
}

TEST_CASE("draining takes everything that is queued before the socket closes, also when paused") {
  Fixture f;
  const bool paused = GENERATE(false, true);
  const auto clients = f.connect(100);
  REQUIRE(await_queued(f.fd, 100));
  if (paused) f.listener->pause();
  f.turn([&] {
    f.listener->drain();
    CHECK(f.handler.sockets.empty());
  });
  REQUIRE(run_until(f.loop, [&] { return f.handler.drained; }));
  CHECK(f.handler.sockets.size() == 100);
  CHECK_FALSE(f.listener->is_open());
  const Descriptor late = raw_socket();
  CHECK(raw_connect(late, f.at) == ECONNREFUSED);
  for (const auto& client : clients) CHECK(readable_bytes(client.get()) == 0);
  f.handler.sockets.clear();
  int error_number = -1;
  CHECK(receive_all(clients[99], &error_number).empty());
  CHECK(error_number == 0);
}

// As long as it lives, nothing can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &saved_) == 0);
    const Descriptor highest(::dup(0));
    const rlimit none{static_cast<rlim_t>(highest.get()), saved_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &saved_); }

 private:
  rlimit saved_{};
};

TEST_CASE("out of descriptors: told once, accepting rests, does not spin, and goes on after") {
  Fixture f;
  f.listener->start();
  const auto clients = f.connect(2);
  std::optional<NoDescriptors> none(std::in_place);
  const bool told = run_until(f.loop, [&] { return !f.handler.errors.empty(); });
  const bool spins = f.loop.run_once(base::Milliseconds(0));
  none.reset();
  REQUIRE(told);
  CHECK_FALSE(spins);
  REQUIRE(f.handler.errors.size() == 1);
  CHECK(f.handler.errors[0].code == base::ErrorCode::overloaded);
  CHECK(f.handler.errors[0].fault == base::Fault::gateway);
  CHECK(f.handler.errors[0].cause == EMFILE);
  CHECK(f.handler.sockets.empty());
  advance(f.loop, Listener::kBackOff);
  CHECK(f.accepts(2));
}

TEST_CASE("draining ends also without descriptors: at once when nobody waits, else when they are taken") {
  Fixture f;
  const std::size_t waiting = GENERATE(0U, 2U);
  const auto clients = f.connect(static_cast<int>(waiting));
  if (waiting != 0) REQUIRE(await_queued(f.fd, static_cast<int>(waiting)));
  std::optional<NoDescriptors> none(std::in_place);
  f.turn([&] { f.listener->drain(); });
  const bool ended = run_until(f.loop, [&] { return f.handler.drained || !f.handler.errors.empty(); });
  none.reset();
  REQUIRE(ended);
  CHECK(f.handler.drained == (waiting == 0));
  if (waiting != 0) {
    advance(f.loop, Listener::kBackOff);
    REQUIRE(run_until(f.loop, [&] { return f.handler.drained; }));
  }
  CHECK(f.handler.sockets.size() == waiting);
}

TEST_CASE("a listener may be destroyed from its own callback, and with a wait in flight") {
  Fixture f;
  f.listener->start();
  SECTION("in on_accept") {
    f.handler.when_accept = [&] { f.listener.reset(); };
    const auto clients = f.connect(3);
    REQUIRE(f.accepts(1));
    run_ready(f.loop);
    CHECK(f.handler.sockets.size() == 1);
  }
  SECTION("at once") {
    f.listener.reset();
  }
  run_ready(f.loop);
  CHECK(f.listener == nullptr);
}

TEST_CASE("a descriptor that was handed over is adopted, also a blocking one") {
  const Descriptor made = raw_socket();
  const auto at = net::to_asio(loopback());
  REQUIRE(::bind(made.get(), at.data(), static_cast<socklen_t>(at.size())) == 0);
  REQUIRE(::listen(made.get(), 8) == 0);
  Loop loop;
  Accepted handler;
  Listener listener(loop, ListenerSocket(::dup(made.get())), handler);
  CHECK(listener.local() == net::local_endpoint(made.get()));
  listener.start();
  const Descriptor client = raw_socket();
  REQUIRE(raw_connect(client, listener.local()) == 0);
  REQUIRE(run_until(loop, [&] { return handler.sockets.size() == 1; }));
  run_ready(loop);  // would block for ever
}

TEST_CASE("a descriptor that does not listen is an error that rests, not a loop that spins") {
  Loop loop;
  Accepted handler;
  Descriptor made = raw_socket();
  Listener listener(loop, ListenerSocket(::dup(made.get())), handler);
  listener.start();
  REQUIRE(run_until(loop, [&] { return !handler.errors.empty(); }));
  run_ready(loop);
  CHECK(handler.errors.size() == 1);
  CHECK(handler.errors[0].code == base::ErrorCode::internal);
  CHECK(handler.errors[0].cause == EINVAL);
}

TEST_CASE("two workers share a port without a lock, and every connection finds one of them") {
  constexpr std::size_t kClients = 200;
  struct Worker final : Listener::Handler {
    Worker(ListenerSocket socket, std::atomic<std::size_t>& t)
        : listener(loop, std::move(socket), *this), total(t) {}
    void on_accept(net::TcpSocket socket, const Endpoint&, const Endpoint&) override {
      taken.push_back(std::move(socket));
      total.fetch_add(1);
    }
    void on_accept_error(const base::Error&) override {}
    Loop loop;
    Listener listener;
    std::vector<net::TcpSocket> taken;
    std::atomic<std::size_t>& total;
  };
  auto sockets = listen_on(loopback(), 2);
  REQUIRE(sockets.size() == 2);
  const Endpoint at = sockets[0].local();
  std::atomic<std::size_t> total = 0;
  Worker one(std::move(sockets[0]), total);
  Worker two(std::move(sockets[1]), total);
  std::vector<std::thread> threads;
  for (Worker* worker : {&one, &two}) {
    threads.emplace_back([worker] {
      worker->listener.start();
      worker->loop.run();
    });
  }
  std::vector<Descriptor> clients;
  bool connected = true;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(raw_socket());
    connected = connected && raw_connect(clients.back(), at) == 0;
  }
  const auto give_up = base::Clock::now() + std::chrono::seconds(30);
  while (connected && total.load() < kClients && base::Clock::now() < give_up) std::this_thread::yield();
  for (Worker* worker : {&one, &two}) worker->loop.stop();
  for (auto& thread : threads) thread.join();
  CHECK(connected);
  CHECK(one.taken.size() + two.taken.size() == kClients);
  CHECK_FALSE(one.taken.empty());
  CHECK_FALSE(two.taken.empty());
}
