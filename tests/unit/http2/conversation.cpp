// Both sides of the codec, joined in memory.
#include "catch.hpp"
#include "harness.hpp"

using namespace sallyport;
using namespace sallyport::http2;
using namespace sallyport::http2::testing;
using http::FieldId;

TEST_CASE("a request and its response cross, heads in the neutral form") {
  Pair pair;
  http::RequestHead head = post(5);
  head.fields.add("x-one", "1");
  head.fields.add(FieldId::host, "other.example");
  head.fields.add(FieldId::connection, "x-one");
  head.fields.add(FieldId::content_length, "99");
  head.expects_continue = head.trailers_ok = true;
  const StreamId id = pair.client.codec.open_request(head, false);
  REQUIRE(id == 1);
  pair.client.codec.send_data(id, bytes("hello"), true);
  pair.run();

  const Seen& got = pair.server.streams[1];
  CHECK(got.request.method == http::Method::post);
  CHECK(got.request.version == http::Version::http2);
  CHECK(got.request.authority() == "example.com");
  CHECK(got.request.scheme() == "https");
  CHECK(got.request.target() == "/");
  CHECK(got.request.body == http::BodySize{http::BodySize::Kind::known, 5});
  CHECK(got.request.expects_continue);
  CHECK(got.request.trailers_ok);
  CHECK(got.request.fields.size() == 1);
  CHECK(got.request.fields.find("x-one") == "1");
  CHECK(got.body == "hello");
  CHECK(got.end);
  CHECK(pair.client.streams[1].sent == 5);

  pair.server.codec.send_response(1, response(200, 2), false);
  pair.server.codec.send_data(1, bytes("ok"), true);
  CHECK(pair.server.codec.unsent(1) == 2);
  pair.run();
  const Seen& answer = pair.client.streams[1];
  REQUIRE(answer.responses.size() == 1);
  CHECK(answer.responses[0].status == 200);
  CHECK(answer.responses[0].version == http::Version::http2);
  CHECK(answer.responses[0].body == http::BodySize{http::BodySize::Kind::known, 2});
  CHECK(answer.responses[0].fields.empty());
  CHECK(answer.body == "ok");
  CHECK(answer.end);
  CHECK(pair.server.codec.unsent(1) == 0);
  REQUIRE(answer.closed);
  CHECK_FALSE(*answer.closed);
  REQUIRE(pair.server.streams[1].closed);
  CHECK_FALSE(*pair.server.streams[1].closed);
  CHECK(pair.server.codec.active_streams() == 0);
  CHECK(pair.client.codec.active_streams() == 0);
  CHECK(pair.client.settings_seen == 1);
  CHECK(pair.client.codec.peer_max_streams() == 100);
  CHECK(pair.client.codec.peer_connect_protocol());
}

TEST_CASE("the last octets bring the end with them") {
  Pair pair;
  const StreamId id = pair.client.codec.open_request(post(), false);
  pair.client.codec.send_data(id, bytes("x"), true);
  pair.run();
  CHECK(pair.server.data_order.size() == 1);
  CHECK(pair.server.streams[1].end);
}

TEST_CASE("interim responses come before the final one") {
  Pair pair;
  const StreamId id = pair.client.codec.open_request(get(), true);
  pair.run();
  http::ResponseHead hints = response(103);
  hints.fields.add("link", "</a.css>; rel=preload");
  pair.server.codec.send_response(1, response(100), false);
  pair.server.codec.send_response(1, hints, false);
  pair.server.codec.send_response(1, response(204), true);
  pair.run();
  const Seen& got = pair.client.streams[id];
  REQUIRE(got.responses.size() == 3);
  CHECK(got.responses[0].status == 100);
  CHECK(got.responses[1].status == 103);
  CHECK(got.responses[1].fields.find("link") == "</a.css>; rel=preload");
  CHECK(got.responses[2].status == 204);
  CHECK(got.responses[2].body == http::BodySize{});
  CHECK(got.end);
}

TEST_CASE("trailers cross both ways, with and without a body before them") {
  Pair pair;
  http::Fields trailers;
  trailers.add("x-sum", "42");
  const StreamId a = pair.client.codec.open_request(post(), false);
  pair.client.codec.send_data(a, bytes("data"), false);
  pair.client.codec.send_trailers(a, trailers);
  pair.run();
  REQUIRE(pair.server.streams[a].trailers);
  CHECK(pair.server.streams[a].trailers->find("x-sum") == "42");
  CHECK(pair.server.streams[a].body == "data");
  CHECK(pair.server.streams[a].end);

  pair.server.codec.send_response(a, response(200), false);
  pair.run();  // the body's source waits when the trailers come
  pair.server.codec.send_trailers(a, trailers);
  pair.run();
  REQUIRE(pair.client.streams[a].trailers);
  CHECK(pair.client.streams[a].trailers->find("x-sum") == "42");
  REQUIRE(pair.client.streams[a].closed);
  CHECK_FALSE(*pair.client.streams[a].closed);
}

TEST_CASE("empty trailers are a plain end") {
  Pair pair;
  const StreamId id = pair.client.codec.open_request(post(), false);
  pair.client.codec.send_trailers(id, {});
  pair.run();
  CHECK(pair.server.streams[id].end);
  CHECK_FALSE(pair.server.streams[id].trailers);
}

TEST_CASE("a response to HEAD keeps its length and has no body") {
  Pair pair;
  http::RequestHead head = get();
  head.set_method("HEAD");
  const StreamId id = pair.client.codec.open_request(head, true);
  pair.run();
  pair.server.codec.send_response(id, response(200, 1000), true);
  pair.run();
  REQUIRE(pair.client.streams[id].responses.size() == 1);
  CHECK(pair.client.streams[id].responses[0].body == http::BodySize{http::BodySize::Kind::known, 1000});
  CHECK(pair.client.streams[id].end);
  CHECK_FALSE(*pair.client.streams[id].closed);
}

TEST_CASE("an extended CONNECT is a GET with a protocol, accepted by 101, and then a tunnel") {
  Pair pair;
  pair.run();
  http::RequestHead head = get("/chat");
  head.set_protocol("websocket");
  head.fields.add(FieldId::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQ==");
  head.fields.add(FieldId::sec_websocket_version, "13");
  head.fields.add(FieldId::upgrade, "websocket");
  const StreamId id = pair.client.codec.open_request(head, false);
  REQUIRE(id == 1);
  pair.run();
  const Seen& got = pair.server.streams[id];
  CHECK(got.request.method == http::Method::get);
  CHECK(got.request.protocol() == "websocket");
  CHECK(got.request.target() == "/chat");
  CHECK(got.request.fields.size() == 1);
  CHECK(got.request.fields.find(FieldId::sec_websocket_version) == "13");
  CHECK_FALSE(got.end);

  SECTION("accepted") {
    http::ResponseHead accept = response(101);
    accept.fields.add(FieldId::sec_websocket_accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    pair.server.codec.send_response(id, accept, false);
    pair.client.codec.send_data(id, bytes("ping"), false);
    pair.server.codec.send_data(id, bytes("pong"), false);
    pair.run();
    REQUIRE(pair.client.streams[id].responses.size() == 1);
    CHECK(pair.client.streams[id].responses[0].status == 101);
    CHECK(pair.client.streams[id].responses[0].fields.empty());
    CHECK(pair.client.streams[id].body == "pong");
    CHECK(pair.server.streams[id].body == "ping");
    pair.client.codec.send_data(id, {}, true);
    pair.server.codec.send_data(id, {}, true);
    pair.run();
    REQUIRE(pair.server.streams[id].closed);
    CHECK_FALSE(*pair.server.streams[id].closed);
  }
  SECTION("declined") {
    pair.server.codec.send_response(id, response(403, 0), true);
    pair.run();
    CHECK(pair.client.streams[id].responses.at(0).status == 403);
    CHECK(pair.client.streams[id].end);
  }
}

TEST_CASE("an extended CONNECT waits for the peer's permission") {
  Settings without;
  without.enable_connect_protocol = false;
  Pair pair(without);
  http::RequestHead head = get();
  head.set_protocol("websocket");
  CHECK(pair.client.codec.open_request(head, false) == 0);
  pair.run();
  CHECK(pair.client.codec.open_request(head, false) == 0);
  CHECK(pair.client.codec.open_request(get(), true) != 0);
}

TEST_CASE("no more requests are opened than the peer allows") {
  Settings two;
  two.max_concurrent_streams = 2;
  Pair pair(two);
  pair.run();
  CHECK(pair.client.codec.peer_max_streams() == 2);
  CHECK(pair.client.codec.open_request(get(), true) == 1);
  CHECK(pair.client.codec.open_request(get(), true) == 3);
  CHECK(pair.client.codec.open_request(get(), true) == 0);
  pair.run();
  pair.server.codec.send_response(1, response(204), true);
  pair.run();
  CHECK(pair.client.codec.open_request(get(), true) == 5);
}

TEST_CASE("heads far larger than a frame cross both ways") {
  Settings roomy;
  roomy.head_bytes = 160 * 1024;
  roomy.field_bytes = 32 * 1024;
  Pair pair(roomy, roomy);
  http::RequestHead head = get();
  http::ResponseHead answer = response(200, 0);
  for (int i = 0; i < 8; ++i) {
    const std::string value(16000, static_cast<char>('a' + i));
    head.fields.add("x-big-" + std::to_string(i), value);
    answer.fields.add("x-big-" + std::to_string(i), value);
  }
  const StreamId id = pair.client.codec.open_request(head, true);
  pair.run();
  REQUIRE(pair.server.streams[id].announced);
  CHECK(pair.server.streams[id].request.fields.size() == 8);
  pair.server.codec.send_response(id, answer, true);
  pair.run();
  REQUIRE(pair.client.streams[id].responses.size() == 1);
  CHECK(pair.client.streams[id].responses[0].fields.find("x-big-7")->size() == 16000);
}

TEST_CASE("a head beyond what we forward is our error, and costs its stream only") {
  Pair pair;
  pair.run();
  http::RequestHead head = get();
  head.fields.add("x-huge", std::string(600 * 1024, 'x'));
  const StreamId bad = pair.client.codec.open_request(head, true);
  const StreamId good = pair.client.codec.open_request(get(), true);
  pair.run();
  REQUIRE(pair.client.streams[bad].closed);
  CHECK(pair.client.streams[bad].closed->code == base::ErrorCode::head_too_large);
  CHECK(pair.client.streams[bad].closed->fault == base::Fault::gateway);
  CHECK(pair.server.streams[good].announced);

  http::ResponseHead answer = response(200);
  answer.fields.add("x-huge", std::string(600 * 1024, 'x'));
  pair.server.codec.send_response(good, answer, false);
  pair.run();
  REQUIRE(pair.server.streams[good].closed);
  CHECK(pair.server.streams[good].closed->code == base::ErrorCode::head_too_large);
  CHECK(pair.client.streams[good].closed->cause == static_cast<int>(code::kInternalError));
}

namespace {

// One conversation with everything in it; what both saw, as text.
std::string converse(std::size_t piece_up, std::size_t split_up, std::size_t split_down, std::size_t* up_size,
                     std::size_t* down_size) {
  Pair pair;
  pair.server.on_head_hook = [&](StreamId id) {
    if (id == 1) {
      pair.server.codec.send_response(id, response(103), false);
      pair.server.codec.send_response(id, response(200), false);
      pair.server.codec.send_data(id, bytes("first answer"), false);
      http::Fields trailers;
      trailers.add("grpc-status", "0");
      pair.server.codec.send_trailers(id, trailers);
    } else {
      pair.server.codec.send_response(id, response(404, 4), false);
      pair.server.codec.send_data(id, bytes("none"), true);
    }
  };
  http::RequestHead head = post();
  head.fields.add("cookie", "a=1; b=2");
  const StreamId one = pair.client.codec.open_request(head, false);
  pair.client.codec.send_data(one, bytes("some body"), true);
  const StreamId two = pair.client.codec.open_request(get("/two"), true);
  std::string up = pair.client.pull();
  const auto give = [&](Endpoint& to, std::string_view stream, std::size_t piece, std::size_t split) {
    REQUIRE(to.give(stream.substr(0, split), piece).has_value());
    REQUIRE(to.give(stream.substr(std::min(split, stream.size())), piece).has_value());
  };
  give(pair.server, up, piece_up, split_up);
  std::string down = pair.server.pull();
  give(pair.client, down, piece_up, split_down);
  if (up_size != nullptr) *up_size = up.size();
  if (down_size != nullptr) *down_size = down.size();
  pair.run();

  std::string all;
  for (const StreamId id : {one, two}) {
    const Seen& s = pair.server.streams[id];
    const Seen& c = pair.client.streams[id];
    all += std::string(s.request.method_text()) + ' ' + std::string(s.request.target()) + ' ' +
           std::string(s.request.fields.find(FieldId::cookie).value_or("-")) + ' ' + s.body + " -> ";
    for (const auto& r : c.responses) all += std::to_string(r.status) + ' ';
    all += c.body + (c.trailers ? " +trailers" : "") + (s.end && c.end ? " ended" : "") +
           (s.closed && !*s.closed && c.closed && !*c.closed ? " closed\n" : "\n");
  }
  return all;
}

}  // namespace

TEST_CASE("a conversation reads the same at every split point and octet by octet") {
  std::size_t up = 0;
  std::size_t down = 0;
  const std::string expected =
      "POST / a=1; b=2 some body -> 103 200 first answer +trailers ended closed\n"
      "GET /two -  -> 404 none ended closed\n";
  constexpr std::size_t kWhole = std::string_view::npos;
  CHECK(converse(kWhole, 0, 0, &up, &down) == expected);
  REQUIRE(up > 100);
  for (std::size_t i = 0; i < up; ++i) REQUIRE(converse(kWhole, i, 0, nullptr, nullptr) == expected);
  for (std::size_t i = 0; i < down; ++i) REQUIRE(converse(kWhole, 0, i, nullptr, nullptr) == expected);
  for (const std::size_t piece : {1U, 2U, 3U, 7U}) CHECK(converse(piece, 0, 0, nullptr, nullptr) == expected);
}

TEST_CASE("many streams at once, opened and closed over and over, keep their bodies apart") {
  Pair pair;
  pair.run();
  pair.server.on_head_hook = [&](StreamId id) {
    pair.server.codec.send_response(id, response(200), false);
    pair.server.codec.send_data(id, bytes("for " + std::to_string(id)), true);
  };
  for (int round = 0; round < 5; ++round) {
    std::vector<StreamId> ids;
    for (int i = 0; i < 90; ++i) ids.push_back(pair.client.codec.open_request(get(), true));
    CHECK(pair.client.codec.active_streams() == 90);
    pair.run();
    for (const StreamId id : ids) {
      CHECK(pair.client.streams[id].body == "for " + std::to_string(id));
      REQUIRE(pair.client.streams[id].closed);
    }
    CHECK(pair.client.codec.active_streams() == 0);
  }
}
