// Frames that cost us work and bring no message: each kind has its end.
#include "catch.hpp"
#include "harness.hpp"

using namespace sallyport;
using namespace sallyport::http2;
using namespace sallyport::http2::testing;
using namespace std::chrono_literals;
using base::ErrorCode;

namespace {

const base::Instant kStart = base::Instant{} + 1000s;

Settings with_budgets(std::uint32_t burst) {
  const Budget all{burst, 1};
  Settings settings;
  settings.budgets = {all, all, all, all, all, all, all, all, burst};
  settings.budgets.settings = {burst + 1, 1};  // the first is no flood
  return settings;
}

// The n-th attack, on a stream of its own.
using Attack = std::function<std::string(StreamId)>;

}  // namespace

TEST_CASE("a flood ends the connection with ENHANCE_YOUR_CALM and says which it was") {
  const std::string request = headers(1, request_lines({}, "POST"), false);
  const auto
      [flood, before, attack] =
          GENERATE_COPY(
              table<Flood, std::string, Attack>(
                  {
                      {Flood::rapid_reset, "",
                       [](StreamId id) {
                         return headers(id, request_lines()) + frame(kRstStream, kNone, id, u32(8));
                       }},
                      {Flood::provoked_reset, "",
                       [](StreamId id) {
                         return headers(id, request_lines({{"te", "x"}}));
                       }},
                      {Flood::provoked_reset, "",
                       [](StreamId id) {  // MadeYouReset: a window driven over its limit
                         return headers(id, request_lines()) +
                                frame(kWindowUpdate, kNone, id, u32(0x7fffffff));
                       }},
                      {Flood::continuation, frame(kHeaders, kNone, 1, hpack(request_lines())),
                       [](StreamId) {
                         return frame(kContinuation, kNone, 1, hpack({{"x", "1"}}));
                       }},
                      {Flood::continuation, frame(kHeaders, kNone, 1, hpack({{"te", "x"}})),
                       [](StreamId) { return frame(kContinuation, kNone, 1, hpack({{"x", "1"}})); }},
                      {Flood::continuation, frame(kHeaders, kNone, 1, hpack(request_lines())),
                       [](StreamId) { return frame(kContinuation, kNone, 1); }},
                      {Flood::settings, "", [](StreamId) { return frame(kSettings, kNone, 0); }},
                      {Flood::ping, "", [](StreamId) { return frame(kPing, kNone, 0, "12345678"); }},
                      {Flood::ping, "", [](StreamId) { return frame(kPing, kAck, 0, "12345678"); }},
                      {Flood::priority,
                       "", [](StreamId id) { return frame(kPriority, kNone, id, u32(0) + "\x10"); }},
                      {Flood::priority, "", [](StreamId) { return frame(0x10, kNone, 0, u32(1) + "u=1"); }},
                      {Flood::empty_frames, request, [](StreamId) { return frame(kData, kNone, 1); }},
                      {Flood::empty_frames, request,
                       [](StreamId) { return frame(kData, kPadded, 1, "\x02\0\0"s); }},
                      {Flood::window_update, request,
                       [](StreamId) { return frame(kWindowUpdate, kNone, 0, u32(1)); }},
                      {Flood::unknown_frames, "", [](StreamId) { return frame(0xbe, kNone, 0, "?"); }},
                      {Flood::unknown_frames, request,
                       [](StreamId) { return frame(kGoaway, kNone, 0, u32(0) + u32(0)); }},
                      // Reset by us, and never ended by the client.
                      {
                          Flood::unknown_frames, headers(1, request_lines({{"te", "x"}}), false),
                          [](StreamId) {
                            return headers(1, {{"x", "1"}}, false);
                          }},
                  }));
  INFO(to_string(flood));
  constexpr int kBurst = 20;
  Settings settings = with_budgets(kBurst);
  if (flood == Flood::provoked_reset) settings.budgets.window_update = {1000, 1};
  Endpoint server(Side::client, settings);
  server.codec.now(kStart);
  (void)server.give(client_start() + before);
  std::string pulled = server.pull();
  int survived = 0;
  for (StreamId id = 3; survived < 10 * kBurst; id += 2) {
    const bool refused = server.give(attack(id)).has_error();
    pulled = server.pull();
    if (refused || server.codec.failure()) break;
    ++survived;
  }
  CHECK(survived == kBurst);
  REQUIRE(server.codec.failure());
  CHECK(server.codec.failure().code == ErrorCode::enhance_your_calm);
  CHECK(server.codec.failure().fault == base::Fault::client);
  CHECK(server.floods == std::vector<Flood>{flood});
  const auto goaway = find(frames(pulled), kGoaway, 0);
  REQUIRE(goaway);
  CHECK(goaway->word(4) == code::kEnhanceYourCalm);
  CHECK_FALSE(server.codec.wants_write());
}

TEST_CASE("a SETTINGS frame of very many entries is a flood by itself") {
  const auto of = [](std::size_t entries) {
    std::string payload;
    for (std::size_t i = 0; i < entries; ++i) payload += std::string("\0\xfe", 2) + u32(0);
    return frame(kSettings, kNone, 0, payload);
  };
  Endpoint server(Side::client);
  REQUIRE(server.give(client_start() + of(kMostSettings)).has_value());
  CHECK(server.give(of(kMostSettings + 1)).has_error());
  CHECK(server.floods == std::vector<Flood>{Flood::settings});
}

TEST_CASE("CONTINUATION frames are counted a field section, not a connection") {
  Endpoint server(Side::client, with_budgets(20));
  server.codec.now(kStart);
  (void)server.give(client_start());
  for (StreamId id = 1; id < 60; id += 2) {
    std::string wire = frame(kHeaders, kEndStream, id, hpack(request_lines()));
    for (int i = 1; i < 20; ++i) wire += frame(kContinuation, kNone, id, hpack({{"x", "1"}}));
    REQUIRE(server.give(wire + frame(kContinuation, kEndHeaders, id, hpack({{"x", "1"}}))).has_value());
    CHECK(server.streams[id].announced);
  }
}

TEST_CASE("streams above a limit that the client has not acknowledged are refused within the budget") {
  Settings settings = with_budgets(20);
  settings.max_concurrent_streams = 5;
  Endpoint server(Side::client, settings);
  server.codec.now(kStart);
  (void)server.give(client_start());
  (void)server.pull();
  StreamId id = 1;
  for (; id < 2 * 25; id += 2) {
    REQUIRE(server.give(headers(id, request_lines())).has_value());
    const auto pulled = server.pull();
    CHECK(reset_code(pulled, id) == (id < 10 ? std::nullopt : std::optional(code::kRefusedStream)));
  }
  REQUIRE_FALSE(server.codec.failure());
  (void)server.give(headers(id, request_lines()));
  (void)server.pull();
  CHECK(server.floods == std::vector<Flood>{Flood::provoked_reset});
}

TEST_CASE("streams that cross our GOAWAY are no fault of the client's") {
  Settings settings = with_budgets(20);
  settings.max_concurrent_streams = 60;
  Endpoint server(Side::client, settings);
  server.codec.now(kStart);
  (void)server.give(client_start());
  server.codec.goaway(code::kNoError);
  (void)server.pull();
  for (StreamId id = 1; id < 2 * 60; id += 2) {
    REQUIRE(server.give(headers(id, request_lines())).has_value());
    (void)server.pull();
  }
  CHECK(server.floods.empty());
}

TEST_CASE("a head, its body and its trailers in one piece are nothing unknown") {
  Endpoint server(Side::client, with_budgets(20));
  server.codec.now(kStart);
  (void)server.give(client_start());
  for (StreamId id = 1; id < 2 * 60; id += 2) {
    REQUIRE(server
                .give(headers(id, request_lines({}, "POST"), false) + frame(kData, kNone, id, "x") +
                      headers(id, {{"x-sum", "1"}}))
                .has_value());
    server.codec.send_response(id, response(200, 0), true);
    (void)server.pull();
  }
  CHECK(server.floods.empty());
}

TEST_CASE("what comes slowly is no flood") {
  Endpoint server(Side::client, with_budgets(2));
  (void)server.give(client_start());
  for (int i = 0; i < 50; ++i) {
    server.codec.now(kStart + i * 1s);
    REQUIRE(server.give(frame(kPing, kNone, 0, "12345678")).has_value());
    (void)server.pull();
  }
}

TEST_CASE("window updates are explained by the data that was sent") {
  Settings budgets = with_budgets(20);
  Pair pair(budgets);
  pair.run();
  const StreamId id = pair.client.codec.open_request(get(), true);
  pair.run();
  pair.server.codec.send_response(id, response(200), false);
  pair.server.codec.send_data(id, bytes(std::string(20 * 1024 * 1024, 'd')), true);
  pair.run();
  CHECK(pair.client.streams[id].body.size() == 20 * 1024 * 1024);
  CHECK(pair.server.floods.empty());
}

TEST_CASE("an upstream that resets many requests is no attacker") {
  Pair pair({}, with_budgets(5));
  pair.run();
  pair.server.on_head_hook = [&](StreamId id) { pair.server.codec.reset(id, code::kInternalError); };
  for (int i = 0; i < 50; ++i) {
    REQUIRE(pair.client.codec.open_request(get(), true) != 0);
    pair.run();
  }
  CHECK_FALSE(pair.client.codec.failure());
}

TEST_CASE("resets that we choose ourselves are not held against the client") {
  Pair pair(with_budgets(5));
  pair.run();
  pair.server.on_head_hook = [&](StreamId id) { pair.server.codec.reset(id, code::kRefusedStream); };
  for (int i = 0; i < 50; ++i) {
    REQUIRE(pair.client.codec.open_request(get(), true) != 0);
    pair.run();
  }
  CHECK_FALSE(pair.server.codec.failure());
}

TEST_CASE("a head of 128 KiB in small frames is no CONTINUATION flood") {
  Settings roomy;
  roomy.head_bytes = 128 * 1024;
  roomy.field_bytes = 32 * 1024;
  Endpoint server(Side::client, roomy);
  server.codec.now(kStart);
  const std::string block = hpack(request_lines(FieldLines(7, {"x-large", std::string(17 * 1024, 'x')})));
  std::string wire = client_start() + frame(kHeaders, kEndStream, 1, block.substr(0, 256));
  for (std::size_t at = 256; at < block.size(); at += 256) {
    const bool last = at + 256 >= block.size();
    wire += frame(kContinuation, last ? kEndHeaders : kNone, 1, block.substr(at, 256));
  }
  REQUIRE(server.give(wire).has_value());
  CHECK(server.streams[1].announced);
  CHECK(server.streams[1].request.fields.size() == 7);
}
