// A client that goes on with what it ended, or steps back in its numbers, is found out; one whose
// frames cross a reset of ours is not.
#include "../../../src/http2/peer_streams.hpp"

#include "catch.hpp"
#include "harness.hpp"

using namespace sallyport::http2;
using namespace sallyport::http2::testing;
using Verdict = PeerStreams::Verdict;

namespace {

// What the connection ends with when the client sends this behind its preface; nothing if it lives.
std::optional<std::uint32_t> ending(const std::string& sent) {
  Endpoint server(Side::client);
  (void)server.give(client_start() + sent);
  const auto goaway = find(frames(server.pull()), kGoaway, 0);
  return goaway ? std::optional(goaway->word(4)) : std::nullopt;
}

}  // namespace

TEST_CASE("new streams and old ones that nothing is known of are fine") {
  PeerStreams streams;
  CHECK(streams.continues(0) == Verdict::fine);
  CHECK(streams.continues(1) == Verdict::fine);
  streams.opened(1);
  streams.opened(3);
  CHECK(streams.continues(0) == Verdict::fine);
  CHECK(streams.continues(1) == Verdict::fine);
  CHECK(streams.continues(5) == Verdict::fine);
}

TEST_CASE("a stream that its client ended is ended, as long as it is among the last") {
  PeerStreams streams;
  for (StreamId id = 1; id <= 63; id += 2) {
    streams.opened(id);
    streams.ended(id);
  }
  CHECK(streams.continues(1) == Verdict::ended);
  CHECK(streams.continues(63) == Verdict::ended);
  streams.opened(65);
  streams.ended(65);
  CHECK(streams.continues(1) == Verdict::fine);
  CHECK(streams.continues(3) == Verdict::ended);
}

TEST_CASE("numbers that were passed over are skipped, those in use are not") {
  PeerStreams streams;
  streams.opened(5);
  streams.opened(4);  // no client's; somebody else's error
  streams.opened(11);
  for (const StreamId id : {1, 3, 7, 9}) CHECK(streams.continues(id) == Verdict::skipped);
  for (const StreamId id : {5, 11, 13}) CHECK(streams.continues(id) == Verdict::fine);
}

TEST_CASE("what a client may not send on a stream ends the connection with the RFC's code") {
  const std::string request = headers(1, request_lines());
  const std::string open = headers(1, request_lines({}, "POST"), false);
  const std::string reset = frame(kRstStream, kNone, 1, u32(code::kCancel));
  const std::string data = frame(kData, kNone, 1, "x");
  CHECK(ending(request + data) == code::kStreamClosed);
  CHECK(ending(request + request) == code::kStreamClosed);
  CHECK(ending(open + reset + data) == code::kStreamClosed);
  CHECK(ending(open + frame(kData, kEndStream, 1, "x") + data) == code::kStreamClosed);
  CHECK(ending(headers(5, request_lines()) + headers(3, request_lines())) == code::kProtocolError);
  CHECK(ending(frame(kPriority, kNone, 0, u32(1) + "\x10")) == code::kProtocolError);
  CHECK(ending(frame(kData, kNone, 0, "x")) == code::kProtocolError);

  CHECK_FALSE(ending(headers(3, request_lines()) + headers(5, request_lines())));
  CHECK_FALSE(ending(open + data + headers(1, {{"x-sum", "1"}})));
  CHECK_FALSE(ending(request + frame(kPriority, kNone, 1, u32(0) + "\x10")));
}

TEST_CASE("what crosses a reset of ours is no fault of the client's") {
  Endpoint server(Side::client);
  (void)server.give(client_start() + headers(1, request_lines({}, "POST"), false));
  server.codec.reset(1, code::kCancel);
  (void)server.pull();
  (void)server.give(frame(kData, kNone, 1, "x") + headers(1, {{"x-sum", "1"}}));
  CHECK_FALSE(find(frames(server.pull()), kGoaway, 0));
}
