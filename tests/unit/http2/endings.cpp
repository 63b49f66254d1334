// How streams and connections end, and what is told of it.
#include "catch.hpp"
#include "harness.hpp"

using namespace sallyport;
using namespace sallyport::http2;
using namespace sallyport::http2::testing;
using base::ErrorCode;
using base::Fault;

TEST_CASE("a reset reaches the peer with its code") {
  Pair pair;
  pair.run();
  const StreamId id = pair.client.codec.open_request(post(), false);
  pair.run();
  pair.client.codec.send_data(id, bytes("never leaves"), false);
  pair.client.codec.reset(id, code::kCancel);
  pair.client.codec.reset(id, code::kInternalError);  // the first one counts
  pair.client.codec.send_data(id, bytes("nor this"), true);
  CHECK(pair.client.codec.unsent(id) == 0);
  pair.run();
  const Seen& got = pair.server.streams[id];
  REQUIRE(got.closed);
  CHECK(got.closed->code == ErrorCode::stream_reset);
  CHECK(got.closed->fault == Fault::client);
  CHECK(got.closed->cause == static_cast<int>(code::kCancel));
  CHECK(got.body.empty());
  REQUIRE(pair.client.streams[id].closed);
  CHECK(pair.client.streams[id].closed->fault == Fault::gateway);
  CHECK(pair.server.resets == std::vector<std::pair<bool, std::uint32_t>>{{false, code::kCancel}});
  CHECK(pair.client.resets == std::vector<std::pair<bool, std::uint32_t>>{{true, code::kCancel}});
  CHECK(pair.server.codec.active_streams() == 0);
}

TEST_CASE("an upstream's REFUSED_STREAM is provably unsent, other codes are not") {
  const std::uint32_t h2_code = GENERATE(code::kRefusedStream, code::kInternalError, code::kHttp11Required);
  Pair pair;
  pair.run();
  const StreamId id = pair.client.codec.open_request(get(), true);
  pair.run();
  pair.server.codec.reset(id, h2_code);
  pair.run();
  REQUIRE(pair.client.streams[id].closed);
  const base::Error& e = *pair.client.streams[id].closed;
  CHECK(e.unsent == (h2_code == code::kRefusedStream));
  CHECK(e.code == (e.unsent ? ErrorCode::stream_refused : ErrorCode::stream_reset));
  CHECK(e.cause == static_cast<int>(h2_code));
  CHECK(e.fault == Fault::upstream);
}

TEST_CASE("an early answer with NO_ERROR is sent whole before the upload is stopped") {
  Pair pair;
  pair.run();
  const StreamId id = pair.client.codec.open_request(post(), false);
  pair.client.codec.send_data(id, bytes(std::string(1000, 'u')), false);
  pair.server.on_head_hook = [&](StreamId stream) {
    pair.server.codec.send_response(stream, response(413), false);
    pair.server.codec.send_data(stream, bytes(std::string(100 * 1024, 'e')), true);
    pair.server.codec.reset(stream, code::kNoError);
  };
  pair.run();
  const Seen& got = pair.client.streams[id];
  REQUIRE(got.responses.size() == 1);
  CHECK(got.responses[0].status == 413);
  CHECK(got.body.size() == 100 * 1024);
  CHECK(got.end);
  REQUIRE(got.closed);
  CHECK(got.closed->code == ErrorCode::stream_reset);
  CHECK(got.closed->cause == 0);
  CHECK(pair.server.streams[id].body.empty());
  CHECK(pair.server.codec.active_streams() == 0);
}

TEST_CASE("NO_ERROR after a whole exchange is a clean end") {
  Pair pair;
  pair.run();
  const StreamId id = pair.client.codec.open_request(get(), true);
  pair.run();
  pair.server.codec.send_response(id, response(200), true);
  pair.server.codec.reset(id, code::kNoError);
  pair.run();
  CHECK_FALSE(*pair.server.streams[id].closed);
  CHECK_FALSE(*pair.client.streams[id].closed);
  CHECK(pair.server.resets.empty());
}

TEST_CASE("calls for a stream that is gone or never was do nothing") {
  Pair pair;
  pair.run();
  const StreamId id = pair.client.codec.open_request(get(), true);
  pair.run();
  pair.server.codec.send_response(id, response(200), true);
  pair.run();
  for (const StreamId stale : {id, StreamId{0}, StreamId{77}, StreamId{-1}}) {
    pair.server.codec.send_response(stale, response(200), false);
    pair.server.codec.send_data(stale, bytes("x"), true);
    pair.server.codec.send_trailers(stale, {});
    pair.server.codec.consumed(stale, 10);
    pair.server.codec.reset(stale, code::kCancel);
    CHECK(pair.server.codec.unsent(stale) == 0);
  }
  CHECK_FALSE(pair.server.codec.wants_write());
}

TEST_CASE("a request reset before it was framed was never sent") {
  Pair pair;
  pair.run();
  const StreamId id = pair.client.codec.open_request(post(), false);
  pair.client.codec.send_data(id, bytes("x"), false);
  pair.client.codec.reset(id, code::kCancel);
  pair.run();
  CHECK_FALSE(pair.server.streams[id].announced);
  REQUIRE(pair.client.streams[id].closed);
  CHECK(pair.client.streams[id].closed->unsent);
  CHECK(pair.client.codec.active_streams() == 0);
}

TEST_CASE("streams above an upstream's GOAWAY are refused and unsent; those below go on") {
  Endpoint client(Side::upstream);
  REQUIRE(client.give(server_start().substr(0, 9)).has_value());
  for (const StreamId expected : {1, 3, 5}) CHECK(client.codec.open_request(get(), true) == expected);
  (void)client.pull();
  const StreamId queued = client.codec.open_request(get(), true);
  REQUIRE(client.give(frame(kGoaway, kNone, 0, u32(1) + u32(0))).has_value());
  CHECK(client.goaways == std::vector<std::pair<StreamId, std::uint32_t>>{{1, 0}});
  CHECK(client.codec.open_request(get(), true) == 0);
  (void)client.pull();
  for (const StreamId id : {StreamId{3}, StreamId{5}, queued}) {
    INFO(id);
    REQUIRE(client.streams[id].closed);
    CHECK(client.streams[id].closed->code == ErrorCode::stream_refused);
    CHECK(client.streams[id].closed->unsent);
  }
  CHECK_FALSE(client.streams[1].closed);
  CHECK_FALSE(client.codec.drained());
  REQUIRE(client.give(headers(1, {{":status", "204"}})).has_value());
  REQUIRE(client.streams[1].closed);
  CHECK_FALSE(*client.streams[1].closed);
  CHECK(client.codec.drained());
}

TEST_CASE("the two-phase drain loses no request: notice, ping, last id, the rest refused") {
  Pair pair;
  pair.run();
  const StreamId before = pair.client.codec.open_request(get(), true);
  pair.run();
  Endpoint& server = pair.server;
  server.codec.shutdown_notice();
  server.codec.ping();
  const std::string notice = server.pull();
  CHECK(find(frames(notice), kGoaway, 0)->word(0) == 0x7fffffff);
  CHECK_FALSE(server.codec.drained());
  // One request was on its way.
  const StreamId crossing = pair.client.codec.open_request(get(), true);
  REQUIRE(server.give(pair.client.pull()).has_value());
  CHECK(server.streams[crossing].announced);
  REQUIRE(pair.client.give(notice).has_value());
  CHECK(pair.client.codec.open_request(get(), true) == 0);
  REQUIRE(server.give(pair.client.pull()).has_value());
  CHECK(server.ping_acks == 1);

  server.codec.goaway(code::kNoError);
  // Between the call and the pump a client that heeds no notice asks once more.
  REQUIRE(server.give(headers(99, request_lines())).has_value());
  const std::string last = server.pull();
  const auto goaway = find(frames(last), kGoaway, 0);
  REQUIRE(goaway);
  CHECK(goaway->word(0) == static_cast<std::uint32_t>(crossing));
  CHECK(goaway->word(4) == code::kNoError);
  CHECK_FALSE(server.streams[99].announced);
  CHECK(reset_code(last, 99).value_or(code::kRefusedStream) == code::kRefusedStream);
  CHECK_FALSE(server.codec.drained());
  CHECK_FALSE(server.codec.failure());

  REQUIRE(server.give(headers(101, request_lines())).has_value());
  CHECK_FALSE(server.streams[101].announced);
  for (const StreamId id : {before, crossing}) server.codec.send_response(id, response(204), true);
  (void)server.pull();
  CHECK(server.codec.drained());
  CHECK(server.goaways_sent == std::vector<std::uint32_t>{0, 0});
}

TEST_CASE("goaway with an error ends the connection with the next pump") {
  Pair pair;
  pair.run();
  pair.server.codec.goaway(code::kInternalError);
  CHECK(pair.server.codec.failure());
  CHECK(find(frames(pair.server.pull()), kGoaway, 0)->word(4) == code::kInternalError);
  CHECK(pair.server.codec.receive(bytes(frame(kPing, kNone, 0, "12345678"))).has_error());
  CHECK_FALSE(pair.server.codec.wants_write());
}

TEST_CASE(
    "what breaks the connection's rules ends it with a GOAWAY and an error, at the latest with the pump") {
  const auto [what, wire, h2_code] = GENERATE(table<std::string, std::string, std::uint32_t>({
      {"no preface: HTTP/1.1 spoken to us", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1},
      {"no SETTINGS first", std::string(kClientPreface) + frame(kPing, kNone, 0, "12345678"), 1},
      {"a frame over the limit", client_start() + frame(kData, kNone, 1, std::string(16385, 'x')), 6},
      {"DATA on stream 0", client_start() + frame(kData, kNone, 0, "x"), 1},
      {"HEADERS on an even stream", client_start() + headers(2, request_lines()), 1},
      {"DATA on an idle stream", client_start() + frame(kData, kNone, 1, "x"), 1},
      {"a broken HPACK block", client_start() + frame(kHeaders, kEndHeaders, 1, "\xff\xff\xff\xff\xff\xff"),
       9},
      {"a frame between HEADERS and CONTINUATION",
       client_start() + frame(kHeaders, kNone, 1, hpack(request_lines())) +
           frame(kPing, kNone, 0, "12345678"),
       1},
      {"WINDOW_UPDATE beyond 2^31-1", client_start() + frame(kWindowUpdate, kNone, 0, u32(0x7fffffff)), 3},
      {"a short PING", client_start() + frame(kPing, kNone, 0, "1234"), 6},
      {"PUSH_PROMISE from a client", client_start() + frame(kPushPromise, kEndHeaders, 1, u32(2)), 1},
      {"an unasked SETTINGS ACK",
       client_start() + frame(kSettings, kAck, 0) + frame(kSettings, kAck, 0) + frame(kSettings, kAck, 0), 1},
  }));
  INFO(what);
  Endpoint server(Side::client);
  (void)server.pull();
  (void)server.give(wire);
  const auto pulled = frames(server.pull());
  const auto goaway = find(pulled, kGoaway, 0);
  REQUIRE(goaway);
  CHECK(goaway->word(4) == h2_code);
  REQUIRE(server.codec.failure());
  CHECK(server.codec.failure().code == ErrorCode::malformed);
  CHECK(server.codec.failure().fault == Fault::client);
  CHECK(server.codec.failure().cause == static_cast<int>(h2_code));
  CHECK(server.codec.receive(bytes("more")).has_error());
  CHECK_FALSE(server.codec.wants_write());
}

TEST_CASE("an upstream that does not speak HTTP/2 is told apart by its first octets") {
  Endpoint client(Side::upstream);
  CHECK(client.codec.open_request(get(), true) == 1);
  (void)client.pull();
  (void)client.give("HTTP/1.1 400 Bad Request\r\n\r\n");
  (void)client.pull();
  REQUIRE(client.codec.failure());
  CHECK(client.codec.failure().fault == Fault::upstream);
}
