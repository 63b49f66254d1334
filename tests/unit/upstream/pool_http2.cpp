#include "sallyport/tls/client_context.hpp"

#include "catch.hpp"
#include "fakes.hpp"

using namespace sallyport;
using namespace sallyport::upstream;
using namespace sallyport::upstream::test;
using base::ErrorCode;
using namespace std::chrono_literals;

namespace {

// A TLS context that nobody looks into: the dialer is a fake.
std::shared_ptr<const tls::ClientContext> some_tls() {
  static const int anything = 0;
  return {std::shared_ptr<const void>(), reinterpret_cast<const tls::ClientContext*>(&anything)};
}

struct Http2Fixture : Fixture {
  Http2Fixture() { spec->protocol = config::UpstreamProtocol::h2; }
};

struct AutoFixture : Fixture {
  AutoFixture() {
    spec->protocol = config::UpstreamProtocol::automatic;
    spec->tls = some_tls();
    spec->tls_http1 = some_tls();
  }
};

}  // namespace

TEST_CASE("all that wait for an HTTP/2 connection share it") {
  Http2Fixture f;
  std::vector<std::unique_ptr<Exchange>> all;
  for (int i = 0; i < 20; ++i) all.push_back(f.ask());
  REQUIRE(f.dialer.dials.size() == 1);
  CHECK(f.dialer.dials[0]->offer == Offer::h2);
  f.dialer.up(0, http::Version::http2);
  for (auto& e : all) {
    f.collect(*e);
    CHECK(e->lease);
    CHECK(e->lease.version() == http::Version::http2);
  }
  CHECK(f.dialer.dials[0]->session->active() == 20);
  auto more = f.ask();
  CHECK(more->lease);
  CHECK(f.counts.active() == 1);
  for (auto& e : all) f.finish(*e);
  f.finish(*more);
  CHECK(f.counts.idle() == 1);
  CHECK(f.dialer.dials.size() == 1);
}

TEST_CASE("another HTTP/2 connection is opened only when the first is full") {
  Http2Fixture f;
  f.dialer.next_max_streams = 2;
  std::vector<std::unique_ptr<Exchange>> all;
  for (int i = 0; i < 5; ++i) all.push_back(f.ask());
  CHECK(f.dialer.dials.size() == 1);
  f.dialer.up(0, http::Version::http2);
  REQUIRE(f.dialer.dials.size() == 2);
  f.dialer.up(1, http::Version::http2);
  REQUIRE(f.dialer.dials.size() == 3);
  f.dialer.up(2, http::Version::http2);
  for (auto& e : all) {
    f.collect(*e);
    CHECK(e->lease);
  }
  CHECK(f.dialer.dials.size() == 3);
  for (auto& e : all) f.finish(*e);
}

TEST_CASE("those that one HTTP/2 connection on its way up will take are in no queue; its surplus is") {
  Http2Fixture f;
  f.dialer.next_settings_came = false;
  f.dialer.next_max_streams = f.spec->pool.max_streams = 3;
  f.spec->pool.max_pending = 1;
  std::vector<std::unique_ptr<Exchange>> all;
  for (int i = 0; i < 4; ++i) all.push_back(f.ask());
  CHECK(f.last_error.code == ErrorCode::none);
  auto refused = f.ask();
  CHECK(f.last_error.code == ErrorCode::pool_exhausted);
  CHECK(f.dialer.dials.size() == 1);
  FakeSession& session = f.dialer.up(0, http::Version::http2);
  session.settings_came = true;
  f.changed(session);
  CHECK(f.dialer.dials.size() == 2);
  f.dialer.up(1, http::Version::http2);
  for (auto& e : all) {
    f.collect(*e);
    CHECK(e->lease);
    f.finish(*e);
  }
}

TEST_CASE("at the cap exchanges wait for streams, and for the peer to allow more of them") {
  Http2Fixture f;
  f.spec->pool.max_connections = 1;
  f.dialer.next_max_streams = 1;
  auto a = f.ask();
  auto b = f.ask();
  auto c = f.ask();
  FakeSession& session = f.dialer.up(0, http::Version::http2);
  f.collect(*a);
  CHECK(a->lease);
  CHECK_FALSE(b->request.done());
  session.max_streams = 2;
  f.changed(session);
  f.collect(*b);
  CHECK(b->lease);
  CHECK_FALSE(c->request.done());
  f.finish(*a);
  f.collect(*c);
  CHECK(c->lease);
  f.finish(*b);
  f.finish(*c);
}

TEST_CASE("a peer that lowers its limit below what runs gets nothing more until it fits") {
  Http2Fixture f;
  f.spec->pool.max_connections = 1;
  auto a = f.ask();
  auto b = f.ask();
  FakeSession& session = f.dialer.up(0, http::Version::http2);
  f.collect(*a);
  f.collect(*b);
  session.max_streams = 1;
  f.changed(session);
  auto c = f.ask();
  f.finish(*a);
  CHECK_FALSE(c->request.done());
  f.finish(*b);
  f.collect(*c);
  CHECK(c->lease);
  f.finish(*c);
}

TEST_CASE("after GOAWAY a connection finishes what runs and another takes what comes") {
  Http2Fixture f;
  auto a = f.ask();
  FakeSession& first = f.dialer.up(0, http::Version::http2);
  f.collect(*a);
  first.goaway = true;
  f.changed(first);
  CHECK(f.dialer.dials[0]->facts->shut_down);
  CHECK_FALSE(f.dialer.dials[0]->facts->aborted);
  auto b = f.ask();
  REQUIRE(f.dialer.dials.size() == 2);
  f.dialer.up(1, http::Version::http2);
  f.collect(*b);
  CHECK(b->lease);
  CHECK(first.active() == 1);
  f.finish(*a);
  f.close(first, ErrorCode::draining);
  CHECK(f.dialer.dials[0]->facts->destroyed);
  CHECK(f.counts.active() == 1);
  f.finish(*b);
}

TEST_CASE("a failed HTTP/2 dial fails all that waited for it") {
  Http2Fixture f;
  auto a = f.ask();
  auto b = f.ask();
  f.dialer.fail(0, ErrorCode::tls_failed);
  CHECK(f.collect(*a) == ErrorCode::tls_failed);
  CHECK(f.collect(*b) == ErrorCode::tls_failed);
  CHECK(f.counts.pending == 0);
  CHECK(f.dialer.dials.size() == 1);
}

TEST_CASE("automatic waits for the first connection's ALPN before it opens more") {
  AutoFixture f;
  std::vector<std::unique_ptr<Exchange>> all;
  for (int i = 0; i < 4; ++i) all.push_back(f.ask());
  REQUIRE(f.dialer.dials.size() == 1);
  CHECK(f.dialer.dials[0]->offer == Offer::both);

  SECTION("HTTP/2 serves all") {
    f.dialer.up(0, http::Version::http2);
    for (auto& e : all) {
      f.collect(*e);
      CHECK(e->lease);
    }
    CHECK(f.dialer.dials.size() == 1);
  }
  SECTION("HTTP/1.1 serves one, the others get connections of their own; it is remembered for a while") {
    f.dialer.up(0, http::Version::http11);
    f.collect(*all[0]);
    CHECK(all[0]->lease);
    REQUIRE(f.dialer.dials.size() == 4);
    for (std::size_t i = 1; i < 4; ++i) {
      CHECK(f.dialer.dials[i]->offer == Offer::h1);
      f.dialer.up(i, http::Version::http11);
      f.collect(*all[i]);
      CHECK(all[i]->lease);
    }
    auto later = f.ask();
    CHECK(f.dialer.dials[4]->offer == Offer::h1);
    f.end(later);
    f.dialer.fail(4);
    f.pass(601s);
    auto much_later = f.ask();
    CHECK(f.dialer.dials[5]->offer == Offer::both);
  }
  for (auto& e : all) f.finish(*e);
}

TEST_CASE("a peer that agrees on HTTP/2 but does not speak it is spoken to in HTTP/1.1") {
  AutoFixture f;
  f.dialer.next_settings_came = false;
  auto a = f.ask();
  FakeSession& session = f.dialer.up(0, http::Version::http2);
  f.collect(*a);
  {
    const net::Loop::Turn turn(f.loop);
    a->lease.finished(Outcome::reset);
    session.close(ErrorCode::malformed);
  }
  f.again(*a);
  REQUIRE(f.dialer.dials.size() == 2);
  CHECK(f.dialer.dials[1]->offer == Offer::h1);
}

TEST_CASE("automatic over cleartext is HTTP/1.1") {
  AutoFixture f;
  f.spec->tls = nullptr;
  auto a = f.ask();
  auto b = f.ask();
  REQUIRE(f.dialer.dials.size() == 2);
  CHECK(f.dialer.dials[0]->offer == Offer::h1);
}

TEST_CASE("a WebSocket towards automatic gets an HTTP/1.1 connection, or an HTTP/2 one that takes it") {
  AutoFixture f;
  auto a = f.ask();
  FakeSession& h2 = f.dialer.up(0, http::Version::http2);
  f.collect(*a);
  SECTION("the HTTP/2 peer does not take them") {
    auto w = f.ask({true, false, 0ms});
    REQUIRE(f.dialer.dials.size() == 2);
    CHECK(f.dialer.dials[1]->offer == Offer::h1);
    auto plain = f.ask();
    CHECK(plain->lease);
    f.dialer.up(1, http::Version::http11);
    f.collect(*w);
    REQUIRE(w->lease);
    CHECK(w->lease.takes_websocket());
    f.finish(*w);
    f.finish(*plain);
  }
  SECTION("it does") {
    h2.extended_connect = true;
    auto w = f.ask({true, false, 0ms});
    REQUIRE(w->lease);
    CHECK(w->lease.version() == http::Version::http2);
    f.finish(*w);
  }
  f.finish(*a);
}

TEST_CASE("a burst on a fresh connection waits for the peer's SETTINGS, but for the first of it") {
  Http2Fixture f;
  f.dialer.next_settings_came = false;
  f.dialer.next_max_streams = 3;
  std::vector<std::unique_ptr<Exchange>> all;
  for (int i = 0; i < 5; ++i) all.push_back(f.ask());
  FakeSession& first = f.dialer.up(0, http::Version::http2);
  const auto leased = [&] {
    for (auto& e : all) f.collect(*e);
    return std::count_if(all.begin(), all.end(), [](const auto& e) { return bool(e->lease); });
  };
  CHECK(leased() == 1);
  all.push_back(f.ask());
  CHECK(f.dialer.dials.size() == 1);
  SECTION("they allow fewer than there are: another connection is dialed, one at a time") {
    first.settings_came = true;
    f.changed(first);
    CHECK(leased() == 3);
    REQUIRE(f.dialer.dials.size() == 2);
    FakeSession& second = f.dialer.up(1, http::Version::http2);
    CHECK(leased() == 4);
    CHECK(f.dialer.dials.size() == 2);
    second.settings_came = true;
    f.changed(second);
    CHECK(leased() == 6);
    CHECK(f.dialer.dials.size() == 2);
  }
  SECTION("they do not come: those that wait are told, and the connection is not lent again") {
    f.pass(f.spec->timeouts.connect + 1s);
    CHECK(leased() == 1);
    CHECK(f.last_error.code == ErrorCode::connect_timeout);
    CHECK(f.last_error.unsent);
    CHECK(f.counts.pending == 0);
    CHECK(f.dialer.dials[0]->facts->shut_down);
  }
  SECTION("the connection dies before: as good as refused") {
    f.finish(*all[0], Outcome::reset);
    f.close(first);
    CHECK(leased() == 0);
    CHECK(f.last_error.code == ErrorCode::closed);
    CHECK(f.last_error.unsent);
    CHECK(f.counts.pending == 0);
    CHECK(f.dialer.dials.size() == 1);
  }
  for (auto& e : all) {
    if (e->lease) f.finish(*e);
  }
}

TEST_CASE("those that wait for SETTINGS of a peer that does not speak HTTP/2 get HTTP/1.1") {
  AutoFixture f;
  f.dialer.next_settings_came = false;
  auto a = f.ask();
  auto b = f.ask();
  FakeSession& session = f.dialer.up(0, http::Version::http2);
  f.collect(*a);
  f.finish(*a, Outcome::reset);
  f.close(session, ErrorCode::malformed);
  CHECK_FALSE(b->request.done());
  REQUIRE(f.dialer.dials.size() == 2);
  CHECK(f.dialer.dials[1]->offer == Offer::h1);
}

TEST_CASE("a WebSocket towards HTTP/2 waits for SETTINGS and is refused if they do not allow it") {
  Http2Fixture f;
  f.dialer.next_settings_came = false;
  auto w = f.ask({true, false, 0ms});
  FakeSession& h2 = f.dialer.up(0, http::Version::http2);
  CHECK_FALSE(w->request.done());
  SECTION("SETTINGS allow it") {
    h2.extended_connect = h2.settings_came = true;
    f.changed(h2);
    f.collect(*w);
    CHECK(w->lease);
    f.finish(*w);
  }
  SECTION("they do not") {
    h2.settings_came = true;
    f.changed(h2);
    CHECK(f.collect(*w) == ErrorCode::unsupported);
    CHECK(f.last_error.fault == base::Fault::upstream);
    CHECK(f.last_error.unsent);
  }
  SECTION("they never come") {
    f.pass(f.spec->timeouts.connect + 1s);
    CHECK(f.collect(*w) == ErrorCode::connect_timeout);
  }
  SECTION("the peer closes before they came") {
    f.close(h2);
    CHECK(f.collect(*w) == ErrorCode::closed);
    CHECK(f.last_error.unsent);
  }
  SECTION("they are known not to") {
    f.end(w);
    h2.settings_came = true;
    f.changed(h2);
    w = f.ask({true, false, 0ms});
    CHECK(f.last_error.code == ErrorCode::unsupported);
  }
  CHECK(f.dialer.dials.size() == 1);
}

TEST_CASE("WebSockets beyond the streams of an HTTP/2 connection get another one") {
  Http2Fixture f;
  f.dialer.next_extended_connect = true;
  f.dialer.next_max_streams = 1;
  auto a = f.ask({true, false, 0ms});
  f.dialer.up(0, http::Version::http2);
  f.collect(*a);
  auto b = f.ask({true, false, 0ms});
  REQUIRE(f.dialer.dials.size() == 2);
  f.dialer.up(1, http::Version::http2);
  f.collect(*b);
  CHECK(b->lease);
  f.finish(*a);
  f.finish(*b);
}

TEST_CASE("an idle HTTP/2 connection closes at its time; a busy one does not") {
  Http2Fixture f;
  auto a = f.ask();
  FakeSession& session = f.dialer.up(0, http::Version::http2);
  f.collect(*a);
  f.pass(100s);
  CHECK_FALSE(f.dialer.dials[0]->facts->shut_down);
  f.finish(*a);
  f.pass(56s);
  CHECK(f.dialer.dials[0]->facts->shut_down);
  CHECK(f.counts.idle() == 0);
  f.close(session, ErrorCode::draining);
}
