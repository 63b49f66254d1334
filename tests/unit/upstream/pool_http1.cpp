#include "catch.hpp"
#include "fakes.hpp"

using namespace sallyport;
using namespace sallyport::upstream;
using namespace sallyport::upstream::test;
using base::ErrorCode;
using namespace std::chrono_literals;

TEST_CASE("an exchange waits for a connection, and the next one reuses it") {
  Fixture f;
  auto a = f.ask();
  REQUIRE(f.dialer.dials.size() == 1);
  CHECK(f.dialer.dials[0]->offer == Offer::h1);
  CHECK(f.counts.connecting() == 1);
  CHECK(f.counts.pending == 1);
  CHECK_FALSE(a->request.done());
  f.dialer.up(0);
  CHECK(f.collect(*a) == ErrorCode::none);
  REQUIRE(a->lease);
  CHECK_FALSE(a->lease.reused());
  CHECK(a->lease.connect_time() == 7ms);
  CHECK(f.counts.active() == 1);
  CHECK(f.counts.pending == 0);
  f.finish(*a);
  CHECK(f.counts.active() == 0);
  CHECK(f.counts.idle() == 1);

  auto b = f.ask();
  REQUIRE(b->lease);
  CHECK(b->lease.reused());
  CHECK(b->lease.connect_time() == 0ms);
  CHECK(f.dialer.dials.size() == 1);
  f.finish(*b);
}

TEST_CASE("idle connections are reused last in, first out") {
  Fixture f;
  std::vector<std::unique_ptr<Exchange>> all;
  for (std::size_t i = 0; i < 3; ++i) {
    all.push_back(f.ask());
    f.dialer.up(i);
    f.collect(*all[i]);
  }
  for (const std::size_t i : {1U, 2U, 0U}) f.finish(*all[i]);
  for (const std::size_t expected : {0U, 2U, 1U}) {
    all.push_back(f.ask());
    REQUIRE(all.back()->lease);
    CHECK(f.dialer.dials[expected]->session->active() == 1);
  }
  for (std::size_t i = 3; i < 6; ++i) f.finish(*all[i]);
}

TEST_CASE("a connection that is given back can be leased again in the same turn") {
  Fixture f;
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  {
    const net::Loop::Turn turn(f.loop);
    a->lease.stream().detach();
    a->lease.finished(Outcome::ok);
    a->request.acquire({});
    CHECK(a->request.done());
    f.collect(*a);
  }
  CHECK(f.dialer.dials.size() == 1);
  CHECK(f.counts.active() == 1);
  f.finish(*a);
}

TEST_CASE("at the cap exchanges wait in order for connections that come back") {
  Fixture f;
  f.spec->pool.max_connections = 2;
  auto a = f.ask();
  auto b = f.ask();
  f.dialer.up(0);
  f.dialer.up(1);
  f.collect(*a);
  f.collect(*b);
  auto c = f.ask();
  auto d = f.ask();
  auto e = f.ask();
  CHECK(f.dialer.dials.size() == 2);
  CHECK(f.counts.pending == 3);

  SECTION("first come, first served") {
    f.finish(*a);
    f.collect(*c);
    CHECK(c->lease);
    CHECK_FALSE(d->request.done());
    f.finish(*b);
    f.collect(*d);
    CHECK(d->lease);
    f.finish(*c);
    f.collect(*e);
    CHECK(e->lease);
  }
  SECTION("one that gives up leaves the queue") {
    f.end(c);
    CHECK(f.counts.pending == 2);
    f.finish(*a);
    f.collect(*d);
    CHECK(d->lease);
  }
  SECTION("a connection that dies makes room for a new one") {
    f.close(*f.dialer.dials[0]->session);
    REQUIRE(f.dialer.dials.size() == 3);
    f.dialer.up(2);
    f.collect(*c);
    CHECK(c->lease);
    CHECK_FALSE(d->request.done());
    {
      const net::Loop::Turn turn(f.loop);
      a->lease.finished(Outcome::reset);
    }
    CHECK(f.dialer.dials.size() == 3);
  }
  SECTION("whoever waits too long is told that the pool is exhausted") {
    f.pass(3s);
    CHECK_FALSE(c->request.done());
    f.pass(5s);
    CHECK(f.collect(*c) == ErrorCode::pool_exhausted);
    CHECK(f.last_error.unsent);
    CHECK(f.counts.pending == 0);
  }
  for (auto* x : {&a, &b, &c, &d, &e}) {
    if (*x) f.end(*x);
  }
}

TEST_CASE("beyond the cap of waiting exchanges the answer comes at once") {
  Fixture f;
  f.spec->pool.max_connections = 2;
  const std::uint32_t queue = GENERATE(0U, 1U, 2U);
  f.spec->pool.max_pending = queue;
  std::vector<std::unique_ptr<Exchange>> waiting;
  // For two of them a connection is dialed: those are in no queue.
  for (std::uint32_t i = 0; i < 2 + queue; ++i) waiting.push_back(f.ask());
  CHECK(f.last_error.code == ErrorCode::none);
  auto refused = f.ask();
  CHECK(f.last_error.code == ErrorCode::pool_exhausted);
  CHECK(f.last_error.fault == base::Fault::gateway);
  CHECK(f.counts.pending == static_cast<int>(2 + queue));
  // Up and busy is no different.
  f.dialer.up(0);
  f.dialer.up(1);
  f.last_error = {};
  auto refused_too = f.ask();
  CHECK(f.last_error.code == ErrorCode::pool_exhausted);
  CHECK(f.counts.pending == static_cast<int>(queue));
}

TEST_CASE("an idle connection that was closed by its peer is not leased") {
  Fixture f;
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  f.finish(*a);
  const auto facts = f.dialer.dials[0]->facts;
  f.close(*f.dialer.dials[0]->session);
  CHECK(facts->destroyed);
  CHECK(f.counts.idle() == 0);
  auto b = f.ask();
  CHECK_FALSE(b->request.done());
  CHECK(f.dialer.dials.size() == 2);
}

TEST_CASE("a connection whose close came within this turn is passed over") {
  Fixture f;
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  f.finish(*a);
  f.dialer.dials[0]->session->goaway = true;  // not told to the pool yet
  auto b = f.ask();
  CHECK_FALSE(b->request.done());
  CHECK(f.dialer.dials.size() == 2);
}

TEST_CASE("a connection that will not be kept alive is not pooled") {
  Fixture f;
  auto a = f.ask();
  FakeSession& session = f.dialer.up(0);
  f.collect(*a);
  session.goaway = true;
  f.finish(*a);
  CHECK(f.dialer.dials[0]->facts->shut_down);
  CHECK(f.counts.idle() == 0);
  CHECK(f.counts.active() == 0);
  f.close(session);
  CHECK(f.dialer.dials[0]->facts->destroyed);
}

TEST_CASE("a retry after a stale connection goes to one that was never idle") {
  Fixture f;
  auto a = f.ask();
  auto b = f.ask();
  for (std::size_t i = 0; i < 2; ++i) f.dialer.up(i);
  f.collect(*a);
  f.collect(*b);
  f.finish(*a);
  f.finish(*b);
  auto c = f.ask();
  REQUIRE(c->lease);
  CHECK(c->lease.reused());
  const base::Error stale{ErrorCode::reset, base::Fault::upstream, false, true, 0};
  {
    const net::Loop::Turn turn(f.loop);
    c->lease.finished(Outcome::neutral);
  }
  f.close(*f.dialer.dials[1]->session);
  CHECK(c->request.retry(stale, {true, true, false}) == RetryVerdict::retry);
  Ask fresh;
  fresh.fresh = true;
  f.again(*c, fresh);
  CHECK_FALSE(c->request.done());
  REQUIRE(f.dialer.dials.size() == 3);
  f.dialer.up(2);
  f.collect(*c);
  CHECK_FALSE(c->lease.reused());
  f.finish(*c);
}

TEST_CASE("idle connections close at the configured time, or a second before the peer's hint") {
  Fixture f;
  SECTION("configured") {
    auto a = f.ask();
    f.dialer.up(0);
    f.collect(*a);
    f.finish(*a);
    f.pass(54s);
    CHECK_FALSE(f.dialer.dials[0]->facts->shut_down);
    f.pass(56s);
  }
  SECTION("hint") {
    f.dialer.next_hint = 5s;
    auto a = f.ask();
    f.dialer.up(0);
    f.collect(*a);
    f.finish(*a);
    f.pass(3900ms);
    CHECK_FALSE(f.dialer.dials[0]->facts->shut_down);
    f.pass(4100ms);
  }
  SECTION("a hint of a second is too short to keep it at all") {
    f.dialer.next_hint = 1s;
    auto a = f.ask();
    f.dialer.up(0);
    f.collect(*a);
    f.finish(*a);
  }
  CHECK(f.dialer.dials[0]->facts->shut_down);
  CHECK(f.counts.idle() == 0);
}

TEST_CASE("a busy connection is not idle") {
  Fixture f;
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  f.finish(*a);
  f.again(*a);
  f.pass(200s);
  CHECK_FALSE(f.dialer.dials[0]->facts->shut_down);
  f.finish(*a);
}

TEST_CASE("a connection past its age or its number of exchanges ends with its exchange") {
  Fixture f;
  SECTION("age") {
    f.spec->pool.max_age = 60s;
    auto a = f.ask();
    FakeSession& session = f.dialer.up(0);
    f.collect(*a);
    f.pass(61s);
    CHECK(f.dialer.dials[0]->facts->shut_down);
    CHECK(session.active() == 1);
    CHECK(f.counts.active() == 1);
    f.finish(*a);
    f.close(session);
  }
  SECTION("exchanges") {
    f.spec->pool.max_requests = 2;
    auto a = f.ask();
    FakeSession& session = f.dialer.up(0);
    f.collect(*a);
    f.finish(*a);
    CHECK(f.counts.idle() == 1);
    f.again(*a);
    f.finish(*a);
    CHECK(f.dialer.dials[0]->facts->shut_down);
    f.close(session);
  }
  CHECK(f.counts.active() == 0);
  CHECK(f.counts.idle() == 0);
  CHECK(f.dialer.dials[0]->facts->destroyed);
}

TEST_CASE("above the cap of idle connections the oldest closes") {
  Fixture f;
  f.spec->pool.max_idle = 2;
  std::vector<std::unique_ptr<Exchange>> all;
  for (std::size_t i = 0; i < 3; ++i) {
    all.push_back(f.ask());
    f.dialer.up(i);
    f.collect(*all[i]);
  }
  for (auto& e : all) f.finish(*e);
  CHECK(f.dialer.dials[0]->facts->shut_down);
  CHECK_FALSE(f.dialer.dials[1]->facts->shut_down);
  CHECK(f.counts.idle() == 2);
}

TEST_CASE("a connection that nobody waits for any more is kept") {
  Fixture f;
  auto a = f.ask();
  f.end(a);
  CHECK_FALSE(f.dialer.dials[0]->canceled);
  f.dialer.up(0);
  CHECK(f.counts.idle() == 1);
  auto b = f.ask();
  REQUIRE(b->lease);
  CHECK(b->lease.reused());  // it was idle: it may be stale
  f.finish(*b);
}

TEST_CASE("a dial left behind serves the next exchange; no second one is made") {
  Fixture f;
  auto a = f.ask();
  f.end(a);
  auto b = f.ask();
  CHECK(f.dialer.dials.size() == 1);
  f.dialer.up(0);
  f.collect(*b);
  CHECK(b->lease);
  f.finish(*b);
}

TEST_CASE("a connection that comes back serves whoever waits for a dial") {
  Fixture f;
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  auto b = f.ask();
  CHECK(f.dialer.dials.size() == 2);
  f.finish(*a);
  f.collect(*b);
  REQUIRE(b->lease);
  f.dialer.up(1);
  CHECK(f.counts.idle() == 1);
  f.finish(*b);
}

TEST_CASE("a failed dial fails one exchange, with its own error, provably unsent") {
  Fixture f;
  f.add("10.0.0.2");
  auto a = f.ask();
  auto b = f.ask();
  auto c = f.ask();
  REQUIRE(f.dialer.dials.size() == 3);
  CHECK(f.dialer.dials[1]->address.to_string() == "10.0.0.2:80");
  f.dialer.fail(0, ErrorCode::connect_unreachable);
  CHECK(f.collect(*a) == ErrorCode::connect_unreachable);
  CHECK(f.last_error.unsent);
  CHECK(a->request.endpoint()->to_string() == "10.0.0.1:80");
  CHECK_FALSE(b->request.done());
  CHECK_FALSE(c->request.done());

  // The retry goes elsewhere, though the turn would be the first endpoint's.
  CHECK(a->request.retry(f.last_error, {false, true, false}) == RetryVerdict::retry);
  f.again(*a);
  CHECK(f.dialer.dials.back()->address.to_string() == "10.0.0.2:80");
}

TEST_CASE("tries end at the configured count and at the budget") {
  Fixture f;
  const base::Error refused{ErrorCode::connect_refused, base::Fault::upstream, true, false, 0};
  const Attempt fine{false, true, false};
  auto a = f.ask();
  CHECK(a->request.retry(refused, fine) == RetryVerdict::retry);
  CHECK(a->request.retry(refused, fine) == RetryVerdict::retry);
  CHECK(a->request.retry(refused, fine) == RetryVerdict::exhausted);
  CHECK(a->request.retries() == 2);
  auto b = f.ask();
  auto c = f.ask();
  auto d = f.ask();
  CHECK(b->request.retry(refused, fine) == RetryVerdict::retry);
  CHECK(c->request.retry(refused, fine) == RetryVerdict::retry);
  CHECK(d->request.retry(refused, fine) == RetryVerdict::budget);
  b->request.answered();
  CHECK(d->request.retry(refused, fine) == RetryVerdict::retry);
  f.end(a);
  CHECK(b->request.retry(refused, fine) == RetryVerdict::retry);
}

TEST_CASE("the route's connect timeout is the dial's") {
  Fixture f;
  auto a = f.ask({false, false, 250ms});
  auto b = f.ask();
  CHECK(f.dialer.dials[0]->connect_timeout == 250ms);
  CHECK(f.dialer.dials[1]->connect_timeout == 3s);
}

TEST_CASE("an exchange does not wait longer than connecting may take, whatever the dial does") {
  Fixture f;
  auto a = f.ask();
  f.pass(3900ms);
  CHECK_FALSE(a->request.done());
  f.pass(4100ms);
  CHECK(f.collect(*a) == ErrorCode::connect_timeout);
  CHECK(f.last_error.unsent);
}

TEST_CASE("a lease that nobody took goes back unharmed") {
  Fixture f;
  auto a = f.ask();
  FakeSession& session = f.dialer.up(0);
  CHECK(a->request.done());
  f.end(a);
  CHECK(session.active() == 0);
  CHECK(f.counts.idle() == 1);
}

TEST_CASE("a session that dies under a lease is gone once both are told") {
  Fixture f;
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  SECTION("the exchange hears it first") {
    const net::Loop::Turn turn(f.loop);
    a->lease.finished(Outcome::reset);
    f.dialer.dials[0]->session->close(ErrorCode::reset);
  }
  SECTION("the pool hears it first") {
    f.close(*f.dialer.dials[0]->session, ErrorCode::reset);
    f.finish(*a, Outcome::reset);
  }
  SECTION("the exchange dies without having heard") {
    f.close(*f.dialer.dials[0]->session, ErrorCode::reset);
    f.end(a);
  }
  CHECK(f.dialer.dials[0]->facts->destroyed);
  CHECK(f.counts.active() == 0);
  CHECK(f.counts.idle() == 0);
  CHECK(f.pools->status().at(0).connections == 0);
}

TEST_CASE("an idle connection elsewhere makes room for one that is needed") {
  Fixture f;
  f.add("10.0.0.2");
  f.spec->pool.max_connections = 1;
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  f.finish(*a);
  auto b = f.ask();  // round robin: the other endpoint's turn
  REQUIRE(f.dialer.dials.size() == 2);
  CHECK(f.dialer.dials[1]->address.to_string() == "10.0.0.2:80");
  CHECK(f.dialer.dials[0]->facts->shut_down);
}

TEST_CASE("the worker's end aborts what is open") {
  Fixture f;
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  f.finish(*a);
  f.end(a);
  auto b = f.ask();
  f.end(b);
  f.pools.reset();
  CHECK(f.dialer.dials[0]->facts->aborted);
  CHECK(f.dialer.dials[0]->facts->destroyed);
  CHECK(f.counts.healthy == 0);
}
