// Flow control and scheduling.
#include <algorithm>

#include "catch.hpp"
#include "harness.hpp"

using namespace sallyport;
using namespace sallyport::http2;
using namespace sallyport::http2::testing;

namespace {
constexpr std::size_t kWindow = 64 * 1024;
}

TEST_CASE("a stream whose reader stalls stops at its window and does not stop the others") {
  Settings tight;
  tight.connection_window = 2 * kWindow;  // the stalled one alone would use up half
  Pair pair(tight, tight);
  pair.run();
  pair.server.consume = false;
  const StreamId stalled = pair.client.codec.open_request(post(), false);
  pair.client.codec.send_data(stalled, bytes(std::string(4 * kWindow, 's')), true);
  pair.run();
  CHECK(pair.server.streams[stalled].body.size() == kWindow);
  CHECK(pair.client.codec.unsent(stalled) == 3 * kWindow);
  CHECK(pair.client.streams[stalled].sent == kWindow);

  // The connection's window was given back, so that ten more windows pass beside it.
  for (int i = 0; i < 10; ++i) {
    const StreamId id = pair.client.codec.open_request(post(), false);
    pair.client.codec.send_data(id, bytes(std::string(kWindow, 'o')), true);
    pair.run();
    CHECK(pair.server.streams[id].body.size() == kWindow);
    CHECK(pair.server.streams[id].end);
  }
  while (!pair.server.streams[stalled].end) {
    pair.server.codec.consumed(stalled, kWindow);
    const std::size_t before = pair.server.streams[stalled].body.size();
    pair.run();
    REQUIRE(pair.server.streams[stalled].body.size() > before);
  }
  CHECK(pair.server.streams[stalled].body.size() == 4 * kWindow);
  CHECK(pair.client.codec.unsent(stalled) == 0);
}

TEST_CASE("what comes for a stream that we reset is given back to the connection") {
  Settings tight;
  tight.connection_window = kWindow;
  Pair pair(tight, tight);
  pair.run();
  pair.server.consume = false;
  pair.server.on_head_hook = [&](StreamId id) { pair.server.codec.reset(id, code::kCancel); };
  for (int i = 0; i < 8; ++i) {
    const StreamId id = pair.client.codec.open_request(post(), false);
    pair.client.codec.send_data(id, bytes(std::string(kWindow / 2, 'x')), true);
    pair.run();
    REQUIRE(pair.client.streams[id].closed);
    CHECK(pair.server.streams[id].body.empty());
  }
  pair.server.on_head_hook = nullptr;
  const StreamId last = pair.client.codec.open_request(post(), false);
  pair.client.codec.send_data(last, bytes(std::string(kWindow, 'x')), true);
  pair.run();
  CHECK(pair.server.streams[last].end);
}

TEST_CASE("two downloads on one connection take turns when the client states no priority") {
  Settings roomy;
  roomy.stream_window = 1024 * 1024;
  Pair pair(roomy, roomy);
  pair.run();
  pair.server.on_head_hook = [&](StreamId id) {
    pair.server.codec.send_response(id, response(200), false);
    pair.server.codec.send_data(id, bytes(std::string(200 * 1024, 'd')), true);
  };
  const StreamId a = pair.client.codec.open_request(get(), true);
  const StreamId b = pair.client.codec.open_request(get(), true);
  pair.run();
  const auto& order = pair.client.data_order;
  CHECK(pair.client.streams[a].end);
  CHECK(pair.client.streams[b].end);
  const auto first_b = std::find(order.begin(), order.end(), b);
  CHECK(first_b - order.begin() < 4);
}

TEST_CASE("pump stops at its limit, give or take a frame, and goes on where it stopped") {
  Settings roomy;
  roomy.stream_window = 1024 * 1024;
  Pair pair(roomy, roomy);
  pair.run();
  const StreamId id = pair.client.codec.open_request(post(), false);
  pair.client.codec.send_data(id, bytes(std::string(300 * 1024, 'p')), true);
  std::size_t total = 0;
  bool more = true;
  while (more) {
    base::Buffer out;
    more = pair.client.codec.pump(out, 32 * 1024);
    CHECK(out.size() < 32 * 1024 + 16384 + 9);
    if (more) CHECK(out.size() >= 32 * 1024);
    REQUIRE(!out.empty());
    total += out.size();
    REQUIRE(pair.server.codec.receive(out.data()).has_value());
  }
  CHECK_FALSE(pair.client.codec.wants_write());
  CHECK(total > 300 * 1024);
  CHECK(pair.server.streams[id].body.size() == 300 * 1024);
}

TEST_CASE("more data may be given from within on_sent: a body of many buffers passes through one") {
  Pair pair;
  pair.run();
  const StreamId id = pair.client.codec.open_request(post(), false);
  int left = 50;
  pair.client.on_sent_hook = [&](StreamId stream) {
    if (pair.client.codec.unsent(stream) != 0 || left == 0) return;
    --left;
    pair.client.codec.send_data(stream, bytes(std::string(10000, 'm')), left == 0);
  };
  pair.client.codec.send_data(id, bytes("m"), false);
  pair.run();
  CHECK(pair.server.streams[id].body.size() == 50 * 10000 + 1);
  CHECK(pair.server.streams[id].end);
}
