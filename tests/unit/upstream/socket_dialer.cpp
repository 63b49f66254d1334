#include <array>
#include <functional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "catch.hpp"
#include "fakes.hpp"

using namespace sallyport;
using namespace sallyport::upstream;
using namespace sallyport::upstream::test;
using base::ErrorCode;
using namespace std::chrono_literals;
using tcp = boost::asio::ip::tcp;

// A real pool over loopback: what the fakes stand for elsewhere.
namespace {

struct SocketFixture {
  SocketFixture() : acceptor(io, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)) {
    spec->name = "origin";
    spec->identity = 9;
    spec->protocol = config::UpstreamProtocol::h1;
    config::UpstreamEndpoint endpoint;
    endpoint.host = "127.0.0.1";
    endpoint.port = acceptor.local_endpoint().port();
    spec->endpoints.push_back(endpoint);
  }
  void run_until(const std::function<bool()>& done) {
    const auto deadline = base::Clock::now() + 10s;
    while (!done() && base::Clock::now() < deadline) loop.run_once(50ms);
    REQUIRE(done());
  }
  std::unique_ptr<Exchange> ask() {
    const net::Loop::Turn turn(loop);
    auto e = std::make_unique<Exchange>(loop, pools.pool(spec));
    e->request.acquire({});
    return e;
  }

  boost::asio::io_context io;  // the origin's, used without waiting
  net::Loop loop;
  SocketDialer dialer{loop};
  Counts counts;
  Pools pools{loop, dialer, counts, 1};
  tcp::acceptor acceptor;
  std::shared_ptr<ClusterSpec> spec = std::make_shared<ClusterSpec>();
};

}  // namespace

TEST_CASE("a socket is connected, pooled, and leaves the pool when its peer closes it") {
  SocketFixture f;
  auto e = f.ask();
  tcp::socket peer = f.acceptor.accept();
  f.run_until([&] { return e->request.done(); });
  base::Result<Lease> lease = e->request.take();
  REQUIRE(lease.has_value());
  CHECK(lease->version() == http::Version::http11);
  CHECK(lease->address().port == f.acceptor.local_endpoint().port());
  {
    const net::Loop::Turn turn(f.loop);
    const Lease unused = std::move(*lease);
  }
  // Borrowed and never used: whether a session can go on after that is its own to say.
  peer.close();
  f.run_until([&] { return f.pools.status().at(0).connections == 0; });
  CHECK(f.counts.idle() == 0);
  CHECK(f.counts.active() == 0);
}

TEST_CASE("a refused connection is told as refused, unsent, and counts against the endpoint") {
  SocketFixture f;
  f.acceptor.close();
  auto e = f.ask();
  f.run_until([&] { return e->request.done(); });
  const base::Result<Lease> lease = e->request.take();
  REQUIRE(lease.has_error());
  CHECK(lease.error().code == ErrorCode::connect_refused);
  CHECK(lease.error().fault == base::Fault::upstream);
  CHECK(lease.error().unsent);
  CHECK(f.counts.results == std::vector<ErrorCode>{ErrorCode::connect_refused});
}

TEST_CASE("HTTP/2 over cleartext is spoken by prior knowledge") {
  SocketFixture f;
  f.spec->protocol = config::UpstreamProtocol::h2;
  auto e = f.ask();
  tcp::socket peer = f.acceptor.accept();
  f.run_until([&] { return e->request.done(); });
  base::Result<Lease> lease = e->request.take();
  REQUIRE(lease.has_value());
  CHECK(lease->version() == http::Version::http2);
  peer.non_blocking(true);
  std::array<char, 24> preface{};
  std::size_t got = 0;
  f.run_until([&] {
    boost::system::error_code ec;
    got += peer.read_some(boost::asio::buffer(preface.data() + got, preface.size() - got), ec);
    return got == preface.size();
  });
  CHECK(std::string(preface.data(), got) == "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const net::Loop::Turn turn(f.loop);
  const Lease unused = std::move(*lease);
}

TEST_CASE("giving up a dial closes its socket") {
  SocketFixture f;
  auto e = f.ask();
  tcp::socket peer = f.acceptor.accept();
  {
    const net::Loop::Turn turn(f.loop);
    e.reset();
    f.pools.drain();
  }
  peer.non_blocking(true);
  f.run_until([&] {
    char byte = 0;
    boost::system::error_code ec;
    peer.read_some(boost::asio::buffer(&byte, 1), ec);
    return ec && ec != boost::asio::error::would_block;
  });
  CHECK(f.pools.status().at(0).connections == 0);
}
