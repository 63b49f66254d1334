// What http::Stream promises, for HTTP/1.1 and HTTP/2, on both sides at once.
#include "sallyport/http2/codec.hpp"

#include "catch.hpp"
#include "pair.hpp"

using namespace sallyport;
using namespace sallyport::session;
using namespace sallyport::session::test;

namespace {

const std::string kHello = "hello, upstream";

std::span<const char> bytes(const std::string& text) {
  return {text.data(), text.size()};
}

http::Version version_under_test() {
  return GENERATE(http::Version::http11, http::Version::http2);
}

}  // namespace

TEST_CASE("a request with a body and its answer arrive whole, in slices of any size") {
  const http::Version version = version_under_test();
  const std::size_t slice = GENERATE(1, 2, 3, 7, 64, 100000);
  Pair pair(version);
  Log log;
  pair.run(
      [&] {
        http::Stream& stream = pair.open(log);
        stream.send_request(request("POST", "/up?x=1", kUnknown), false);
        stream.send_data(bytes(kHello), false);
        stream.send_data(bytes(kHello), true);
      },
      slice);
  REQUIRE(pair.arrived.size() == 1);
  auto& arrived = pair.arrived.front();
  CHECK(arrived.head.target() == "/up?x=1");
  CHECK(arrived.head.authority() == "example.com");
  CHECK(arrived.log.body == kHello + kHello);
  CHECK(arrived.log.ended);
  pair.run(
      [&] {
        arrived.stream->send_response(response(103), false);
        arrived.stream->send_response(response(200, kUnknown), false);
        arrived.stream->send_data(bytes(kHello), false);
        http::Fields trailers;
        trailers.add("x-sum", "42");
        arrived.stream->send_trailers(trailers);
      },
      slice);
  CHECK(log.informational == std::vector<std::uint16_t>{103});
  CHECK(log.status == 200);
  CHECK(log.body == kHello);
  CHECK(log.trailer == "42");
  CHECK(log.ended);
  CHECK(log.sent == 2 * kHello.size());
  CHECK(arrived.log.sent == kHello.size());
  CHECK(log.after_end == 0);
}

TEST_CASE("a connection serves one exchange after the other and is given back in between") {
  Pair pair(version_under_test());
  for (int i = 0; i < 5; ++i) {
    Log log;
    pair.run([&] { pair.open(log).send_request(request("GET", "/" + std::to_string(i)), true); });
    REQUIRE(pair.arrived.size() == 1);
    CHECK(pair.arrived.front().end);
    pair.run([&] {
      http::Stream& stream = *pair.arrived.front().stream;
      stream.send_response(response(200, known(kHello.size())), false);
      stream.send_data(bytes(kHello), true);
    });
    CHECK(log.body == kHello);
    CHECK(log.ended);
    pair.run([&] {
      pair.arrived.front().stream->detach();
      log.stream->detach();
    });
    pair.arrived.clear();
    CHECK(pair.client->usable());
    CHECK(pair.client->capacity() >= 1);
    CHECK(pair.client->served() == static_cast<std::uint64_t>(i + 1));
    CHECK(pair.server->active() == 0);
  }
  CHECK_FALSE(pair.server_closed);
  CHECK_FALSE(pair.client_closed);
}

TEST_CASE("a body that nobody takes stops at the window and goes on when it is taken") {
  const http::Version version = version_under_test();
  ClientLimits limits;
  limits.body_window = limits.stream_window = 64 * 1024;
  Pair pair(version, limits);
  Log log;
  const std::string big(1024 * 1024, 'x');
  pair.on_arrival = [](Pair::Arrived& a) { a.log.gives_credit = false; };
  pair.run(
      [&] {
        http::Stream& stream = pair.open(log);
        stream.send_request(request("PUT", "/", known(big.size())), false);
        stream.send_data(bytes(big), true);
      },
      16 * 1024);
  auto& arrived = pair.arrived.front();
  // The window, and at most one read beyond it.
  CHECK(arrived.log.body.size() >= 64 * 1024);
  CHECK(arrived.log.body.size() <= 64 * 1024 + 16 * 1024);
  std::size_t given = 0;
  for (int i = 0; i < 100 && !arrived.log.ended; ++i) {
    const std::size_t before = arrived.log.body.size();
    pair.run([&] { arrived.stream->consumed(before - std::exchange(given, before)); }, 16 * 1024);
    CHECK(arrived.log.body.size() > before);
  }
  CHECK(arrived.log.body == big);
}

TEST_CASE(
    "an HTTP/2 body that is taken as it comes may come further ahead, and while memory is short less far") {
  ClientLimits limits;
  limits.stream_window = 64 * 1024;
  Pair pair(http::Version::http2, limits);
  Log log;
  const std::string big(2 * 1024 * 1024, 'x');
  pair.run([&] {
    http::Stream& stream = pair.open(log);
    stream.send_request(request("PUT", "/"), false);
    stream.send_data(bytes(big.substr(0, 512 * 1024)), false);
  });
  auto& arrived = pair.arrived.front();
  REQUIRE(arrived.log.body.size() == 512 * 1024);
  // Once it is taken no more, all of the window comes and not a byte beyond it.
  const auto stalled_at = [&](const std::string& more) {
    arrived.log.gives_credit = false;
    const std::size_t before = arrived.log.body.size();
    pair.run([&] { log.stream->send_data(bytes(more), false); });
    return arrived.log.body.size() - before;
  };
  const std::size_t grown = stalled_at(big.substr(0, 1024 * 1024));
  CHECK(grown > 128 * 1024);
  CHECK(grown <= 1024 * 1024);

  pair.loop.pressure(base::Pressure::no_idle);
  arrived.log.gives_credit = true;
  pair.run([&] { arrived.stream->consumed(grown); });
  REQUIRE(arrived.log.body.size() == 512 * 1024 + 1024 * 1024);
  CHECK(stalled_at(big.substr(0, 512 * 1024)) <= 16 * 1024);
}

TEST_CASE("a client that leaves in the middle is told to the receiver, once") {
  Pair pair(version_under_test());
  Log log;
  pair.run([&] {
    http::Stream& stream = pair.open(log);
    stream.send_request(request("POST", "/", known(100)), false);
    stream.send_data(bytes(kHello), false);
  });
  pair.run([&] { log.stream->reset(base::gateway_error(base::ErrorCode::canceled)); });
  REQUIRE(pair.arrived.front().log.error);
  CHECK(pair.arrived.front().log.error->fault == base::Fault::client);
  CHECK(pair.arrived.front().log.after_end == 0);
}

TEST_CASE("an unfinished response never looks finished") {
  Pair pair(version_under_test());
  Log log;
  pair.run([&] { pair.open(log).send_request(request("GET", "/"), true); });
  pair.run([&] {
    http::Stream& stream = *pair.arrived.front().stream;
    stream.send_response(response(200, kUnknown), false);
    stream.send_data(bytes(kHello), false);
  });
  pair.run([&] { pair.arrived.front().stream->detach(); });
  CHECK_FALSE(log.ended);
  REQUIRE(log.error);
  CHECK(log.error->fault == base::Fault::upstream);
}

TEST_CASE("an answer that comes before the request is whole is read, and the rest is not wanted") {
  Pair pair(version_under_test());
  Log log;
  pair.run([&] {
    http::Stream& stream = pair.open(log);
    stream.send_request(request("POST", "/", known(1'000'000)), false);
    stream.send_data(bytes(kHello), false);
  });
  pair.run([&] {
    http::Stream& stream = *pair.arrived.front().stream;
    stream.send_response(response(413, known(3)), false);
    stream.send_data(bytes("no\n"), true);
    stream.detach();
  });
  CHECK(log.status == 413);
  CHECK(log.body == "no\n");
  CHECK(log.ended);
  CHECK_FALSE(log.error);
}

TEST_CASE("wherever the wire is cut, each receiver hears one error and the sessions die once") {
  const http::Version version = version_under_test();
  for (int cut = 0; cut < 60; ++cut) {
    INFO("cut after " << cut << " deliveries");
    Pair pair(version);
    pair.deliveries_left = cut;
    Log log;
    pair.on_arrival = [](Pair::Arrived& a) {
      a.stream->send_response(response(200, known(2 * kHello.size())), false);
      a.stream->send_data(bytes(kHello), false);
    };
    pair.run(
        [&] {
          http::Stream& stream = pair.open(log);
          stream.send_request(request("POST", "/", known(kHello.size())), false);
          stream.send_data(bytes(kHello), true);
        },
        9);
    if (pair.deliveries_left >= 0) {
      pair.deliveries_left = 0;
      pair.settle(9);
    }
    REQUIRE(pair.server_closed);
    REQUIRE(pair.client_closed);
    REQUIRE(log.error);
    CHECK(log.error->fault == base::Fault::upstream);
    CHECK(log.after_end == 0);
    if (!pair.arrived.empty()) {
      REQUIRE(pair.arrived.front().log.error);
      CHECK(pair.arrived.front().log.error->fault == base::Fault::client);
    }
  }
}

TEST_CASE("idle connections are closed after their time, silently, and give their buffers back before") {
  ClientLimits limits;
  limits.idle = base::Milliseconds(75'000);
  Pair pair(version_under_test(), limits);
  Log log;
  pair.run([&] { pair.open(log).send_request(request("GET", "/"), true); });
  pair.run([&] {
    pair.arrived.front().stream->send_response(response(204), true);
    pair.arrived.front().stream->detach();
  });
  pair.run([&] { log.stream->detach(); });
  pair.wait(base::Milliseconds(1'000));
  CHECK(pair.at_server->idle_);
  CHECK_FALSE(pair.server_closed);
  pair.wait(base::Milliseconds(80'000));
  pair.wait(base::Milliseconds(5'000));
  REQUIRE(pair.server_closed);
  CHECK(*pair.server_closed == ClosedBy::idle);
}

TEST_CASE("a request body that stalls is answered, not waited for") {
  ClientLimits limits;
  limits.request_body = base::Milliseconds(30'000);
  Pair pair(version_under_test(), limits);
  Log log;
  pair.run([&] {
    http::Stream& stream = pair.open(log);
    stream.send_request(request("POST", "/", known(100)), false);
    stream.send_data(bytes(kHello), false);
  });
  REQUIRE(pair.arrived.size() == 1);
  Log& arrived = pair.arrived[0].log;
  arrived.when_broken = [](http::Stream& stream) {
    stream.send_response(response(408), true);
    stream.detach();
  };
  pair.wait(base::Milliseconds(31'000));
  CHECK(pair.arrived.size() == 1);
  REQUIRE(arrived.broken);
  CHECK(arrived.broken->code == base::ErrorCode::body_timeout);
  CHECK_FALSE(arrived.error);
  CHECK(log.status == 408);
}

TEST_CASE("a reader that opens its window by a few bytes now and then is cut") {
  ClientLimits limits;
  limits.write_stall = base::Milliseconds(30'000);
  UpstreamLimits narrow;
  narrow.stream_window = 16;
  Pair pair(http::Version::http2, limits, narrow);
  Log log;
  log.gives_credit = false;
  pair.run([&] { pair.open(log).send_request(request("GET", "/"), true); });
  const std::string body(1000, 'x');
  pair.run([&] {
    pair.arrived.front().stream->send_response(response(200, known(body.size())), false);
    pair.arrived.front().stream->send_data(bytes(body), true);
  });
  for (int i = 0; i < 2; ++i) {
    pair.wait(base::Milliseconds(10'000));
    pair.run([&] { log.stream->consumed(8); });
    CHECK_FALSE(log.error);
  }
  pair.wait(base::Milliseconds(15'000));
  CHECK(log.error);
  CHECK(pair.arrived.front().log.error);
  CHECK(pair.slow_readers == 1);
  CHECK_FALSE(pair.server_closed);
}

TEST_CASE("a drain lets what runs end, then closes") {
  Pair pair(version_under_test());
  Log log;
  pair.run([&] { pair.open(log).send_request(request("GET", "/"), true); });
  pair.run([&] { pair.server->drain(); });
  CHECK_FALSE(pair.server_closed);
  pair.wait(base::Milliseconds(1'500));
  if (pair.client->version() == http::Version::http2) CHECK_FALSE(pair.client->usable());
  pair.run([&] {
    pair.arrived.front().stream->send_response(response(200, known(kHello.size())), false);
    pair.arrived.front().stream->send_data(bytes(kHello), true);
    pair.arrived.front().stream->detach();
  });
  CHECK(log.body == kHello);
  CHECK(log.ended);
  pair.run([&] {
    if (log.stream != nullptr) log.stream->detach();
  });
  pair.wait(base::Milliseconds(6'000));
  REQUIRE(pair.server_closed);
  CHECK(*pair.server_closed == ClosedBy::drain);
}

// A request that crosses the close of its connection fails for no reason, and nobody may repeat a POST.
TEST_CASE("a drain waits for the request that may be on its way over HTTP/1.1") {
  Pair pair(http::Version::http11);
  Log log;
  if (GENERATE(false, true)) {  // on one that was just opened, and on one that was kept
    Log first;
    pair.run([&] { pair.open(first).send_request(request("GET", "/"), true); });
    pair.run([&] {
      pair.arrived.front().stream->send_response(response(204), true);
      pair.arrived.front().stream->detach();
    });
    pair.run([&] { first.stream->detach(); });
    pair.arrived.clear();
    pair.wait(base::Milliseconds(5'000));
  }
  pair.run([&] { pair.server->drain(); });
  CHECK_FALSE(pair.server_closed);

  SECTION("and answers it") {
    pair.wait(base::Milliseconds(500));
    pair.run([&] { pair.open(log).send_request(request("GET", "/"), true); });
    REQUIRE(pair.arrived.size() == 1);
    pair.wait(base::Milliseconds(1'500));
    CHECK_FALSE(pair.server_closed);
    pair.run([&] {
      pair.arrived.front().stream->send_response(response(200, known(kHello.size())), false);
      pair.arrived.front().stream->send_data(bytes(kHello), true);
      pair.arrived.front().stream->detach();
    });
    CHECK(log.body == kHello);
    CHECK(log.ended);
    pair.run([&] {
      if (log.stream != nullptr) log.stream->detach();
    });
    pair.wait(base::Milliseconds(6'000));
  }
  SECTION("for a while") {
    pair.wait(base::Milliseconds(1'500));
  }
  REQUIRE(pair.server_closed);
  CHECK(*pair.server_closed == ClosedBy::drain);
}

TEST_CASE("a request that was given whole reaches its end before it is cancelled") {
  std::deque<Log> logs;
  Pair pair(http::Version::http2);
  // Ten uploads fill the first batch of frames, so that the end of the last request waits for the second.
  const std::string piece(16 * 1024, 'x');
  std::vector<http::Stream*> streams;
  pair.run([&] { pair.open(logs.emplace_back()).send_request(request("GET", "/settings"), true); });
  pair.run([&] {
    for (int i = 0; i < 11; ++i) {
      streams.push_back(&pair.open(logs.emplace_back()));
      streams.back()->send_request(request("POST", "/", kUnknown), false);
    }
  });
  pair.run([&] {
    for (int i = 0; i < 10; ++i) streams[static_cast<std::size_t>(i)]->send_data(bytes(piece), false);
    streams.back()->send_data({}, true);
    streams.back()->detach();
  });
  REQUIRE(pair.arrived.size() == 12);
  CHECK(pair.arrived.back().log.ended);
  CHECK(pair.resets == std::vector<std::uint32_t>{http2::code::kCancel});
}

TEST_CASE("a client that leaves while its body is not read is looked for, and its exchange ends") {
  const bool closed_half = GENERATE(true, false);
  ClientLimits limits;
  limits.body_window = 16 * 1024;
  Pair pair(http::Version::http11, limits);
  Log log;
  pair.on_arrival = [](Pair::Arrived& a) { a.log.gives_credit = false; };
  const std::string big(64 * 1024, 'x');
  pair.run(
      [&] {
        http::Stream& stream = pair.open(log);
        stream.send_request(request("PUT", "/", known(big.size())), false);
        stream.send_data(bytes(big), true);
      },
      16 * 1024);
  REQUIRE(pair.arrived.size() == 1);
  REQUIRE(pair.at_server->paused_);
  pair.wait(base::Seconds(100));
  REQUIRE_FALSE(pair.arrived.front().log.error);  // there, and not to blame
  pair.at_server->hung_up_ =
      base::client_error(closed_half ? base::ErrorCode::closed : base::ErrorCode::reset);
  pair.wait(base::Seconds(2));
  REQUIRE(pair.arrived.front().log.error);
  CHECK(*pair.arrived.front().log.error == pair.at_server->hung_up_);
  CHECK(pair.server_closed == ClosedBy::peer);
}

TEST_CASE("once its body is read again a client is not looked for") {
  ClientLimits limits;
  limits.body_window = 16 * 1024;
  Pair pair(http::Version::http11, limits);
  Log log;
  pair.on_arrival = [](Pair::Arrived& a) { a.log.gives_credit = false; };
  const std::string big(24 * 1024, 'x');
  pair.run(
      [&] {
        http::Stream& stream = pair.open(log);
        stream.send_request(request("PUT", "/", known(100'000)), false);
        stream.send_data(bytes(big), false);
      },
      16 * 1024);
  REQUIRE(pair.at_server->paused_);
  pair.run([&] { pair.arrived.front().stream->consumed(24 * 1024); });
  CHECK_FALSE(pair.at_server->paused_);
  // A FIN would be read now, behind what came before it.
  pair.at_server->hung_up_ = base::client_error(base::ErrorCode::closed);
  pair.wait(base::Seconds(2));
  CHECK_FALSE(pair.arrived.front().log.error);
}

TEST_CASE(
    "an upstream connection of HTTP/2 that takes nothing of a body lends no more, one without a window "
    "does") {
  const bool reads = GENERATE(true, false);
  ClientLimits limits;
  limits.request_body = base::Milliseconds(0);
  Pair pair(http::Version::http2, limits);
  Log log;
  pair.on_arrival = [](Pair::Arrived& a) { a.log.gives_credit = false; };
  const std::string big(1024 * 1024, 'x');
  pair.run([&] { pair.open(log).send_request(request("PUT", "/", known(big.size())), false); });
  if (!reads) pair.at_server->paused_ = true;
  pair.run([&] { log.stream->send_data(bytes(big), true); });
  REQUIRE(log.stream->unsent() != 0);
  // For want of a window alone the session has no deadline: its borrower has.
  pair.wait(base::Seconds(reads ? 100 : 50));
  REQUIRE_FALSE(log.error);
  pair.run([&] { log.stream->reset(base::upstream_error(base::ErrorCode::body_timeout)); });
  CHECK(pair.client->usable() == reads);
}
