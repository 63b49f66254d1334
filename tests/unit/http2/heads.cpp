// What a head may be: requests and responses made by hand, good and bad.
#include <algorithm>

#include "catch.hpp"
#include "harness.hpp"

using namespace sallyport;
using namespace sallyport::http2;
using namespace sallyport::http2::testing;
using base::ErrorCode;
using http::FieldId;

namespace {

struct Server {
  explicit Server(const Settings& settings = {}) : end(Side::client, settings) {
    REQUIRE(end.give(client_start()).has_value());
  }
  Seen& ask(const FieldLines& lines, bool stream_end = true) {
    REQUIRE(end.give(headers(1, lines, stream_end)).has_value());
    pulled = end.pull();
    return end.streams[1];
  }
  // The stream was reset as malformed, and nobody heard of it.
  bool refused() {
    return reset_code(pulled, 1) == code::kProtocolError && !end.streams[1].announced &&
           !end.streams[1].closed && !end.codec.failure();
  }
  Endpoint end;
  std::string pulled;
};

struct Client {
  explicit Client(const Settings& settings = {}) : end(Side::upstream, settings) {
    REQUIRE(end.give(server_start().substr(0, 9)).has_value());
  }
  Seen& answer(const http::RequestHead& head, const std::string& bytes_of_answer) {
    REQUIRE(end.codec.open_request(head, true) == 1);
    (void)end.pull();
    REQUIRE(end.give(bytes_of_answer).has_value());
    pulled = end.pull();
    return end.streams[1];
  }
  Endpoint end;
  std::string pulled;
};

}  // namespace

TEST_CASE("cookie crumbs are joined, and content-length becomes the body's size") {
  Server server;
  const Seen& got = server.ask(request_lines({{"cookie", "a=1"},
                                              {"accept", "*/*"},
                                              {"cookie", "b=2"},
                                              {"content-length", "12"},
                                              {"cookie", "c=3"}},
                                             "PUT"),
                               false);
  REQUIRE(got.announced);
  CHECK(got.request.fields.count(FieldId::cookie) == 1);
  CHECK(got.request.fields.find(FieldId::cookie) == "a=1; b=2; c=3");
  CHECK_FALSE(got.request.fields.has(FieldId::content_length));
  CHECK(got.request.body == http::BodySize{http::BodySize::Kind::known, 12});
  CHECK_FALSE(got.end);
}

TEST_CASE("empty cookie crumbs leave nothing behind, no space at the end above all") {
  CHECK(Server()
            .ask(request_lines({{"cookie", ""}, {"cookie", "a=1"}, {"cookie", ""}}))
            .request.fields.find(FieldId::cookie) == "a=1");
  CHECK_FALSE(Server().ask(request_lines({{"cookie", ""}})).request.fields.has(FieldId::cookie));
}

TEST_CASE("a body is none with the end, unknown without it") {
  CHECK(Server().ask(request_lines({}, "POST"), true).request.body.kind == http::BodySize::Kind::none);
  CHECK(Server().ask(request_lines({}, "POST"), false).request.body.kind == http::BodySize::Kind::unknown);
}

TEST_CASE("Host stands in for a missing :authority and never survives") {
  Server server;
  const Seen& got =
      server.ask({{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", "a.example"}});
  CHECK(got.request.authority() == "a.example");
  CHECK_FALSE(got.request.fields.has(FieldId::host));
}

TEST_CASE("the authority is told in lower case, as hosts are looked up") {
  for (const char* name : {":authority", "host"}) {
    Server server;
    const Seen& got =
        server.ask({{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {name, "A.Example:443"}});
    REQUIRE(got.announced);
    CHECK(got.request.authority() == "a.example:443");
  }
}

TEST_CASE("Host may say what :authority says, in any case") {
  Server server;
  CHECK(server.ask(request_lines({{"host", "EXAMPLE.com"}})).announced);
}

TEST_CASE("an unknown expectation is left to others") {
  Server server;
  const Seen& got = server.ask(request_lines({{"expect", "a-miracle"}}));
  CHECK_FALSE(got.request.expects_continue);
  CHECK(got.request.fields.find(FieldId::expect) == "a-miracle");
}

TEST_CASE("malformed request heads cost the stream and are heard of by nobody") {
  const auto [what, lines] = GENERATE(table<std::string, FieldLines>({
      {"Host against :authority (routing by one, logging by the other)",
       request_lines({{"host", "evil.example"}})},
      {"two Hosts", request_lines({{"host", "example.com"}, {"host", "example.com"}})},
      {"connection", request_lines({{"connection", "close"}})},
      {"keep-alive", request_lines({{"keep-alive", "1"}})},
      {"proxy-connection", request_lines({{"proxy-connection", "close"}})},
      {"transfer-encoding (h2.TE smuggling)", request_lines({{"transfer-encoding", "chunked"}})},
      {"upgrade", request_lines({{"upgrade", "h2c"}})},
      {"te beyond trailers", request_lines({{"te", "gzip"}})},
      {"CR LF in a value (header injection)", request_lines({{"x", "a\r\nevil: 1"}})},
      {"LF in a value", request_lines({{"x", "a\nb"}})},
      {"NUL in a value", request_lines({{"x", "a\0b"s}})},
      {"a leading space", request_lines({{"x", " a"}})},
      {"a trailing tab", request_lines({{"x", "a\t"}})},
      {"an upper-case name", request_lines({{"X-One", "1"}})},
      {"a space in a name", request_lines({{"x one", "1"}})},
      {"CR LF in a name", request_lines({{"x\r\ny", "1"}})},
      {"a colon in a name", request_lines({{"x:y", "1"}})},
      {"an empty name", request_lines({{"", "1"}})},
      {"an unknown pseudo-field", request_lines({{":unknown", "1"}})},
      {"a late pseudo-field", request_lines({{"x", "1"}, {":path", "/b"}})},
      {"a response's pseudo-field", request_lines({{":status", "200"}})},
      {"two :path",
       {{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}, {":path", "/b"}}},
      {"no :path", {{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}}},
      {"no :method", {{":scheme", "https"}, {":authority", "a"}, {":path", "/"}}},
      {"no :scheme", {{":method", "GET"}, {":authority", "a"}, {":path", "/"}}},
      {"neither :authority nor Host", {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}}},
      {"a space in the method (request line injection)", request_lines({}, "GET / HTTP/1.1")},
      {"a space in the path", request_lines({}, "GET", "/ HTTP/1.1\r\nx: y")},
      {"an empty path", request_lines({}, "GET", "")},
      {"a path without a slash", request_lines({}, "GET", "a")},
      {"two content-lengths, equal", request_lines({{"content-length", "0"}, {"content-length", "0"}})},
      {"a signed content-length", request_lines({{"content-length", "+0"}})},
      {"an endless content-length", request_lines({{"content-length", "99999999999999999999"}})},
      {"a content-length without a body", request_lines({{"content-length", "1"}})},
      {"a :protocol without CONNECT", request_lines({{":protocol", "websocket"}})},
  }));
  INFO(what);
  Server server;
  server.ask(lines);
  CHECK(server.refused());
  // The connection lives.
  REQUIRE(server.end.give(headers(3, request_lines())).has_value());
  CHECK(server.end.streams[3].announced);
}

TEST_CASE("requests that are sound HTTP/2 but not served can be answered") {
  const auto [what, lines, expected] = GENERATE(table<std::string, FieldLines, ErrorCode>({
      {"a port of 0",
       {{":method", "GET"}, {":scheme", "https"}, {":authority", "a:0"}, {":path", "/"}},
       ErrorCode::malformed},
      {"an unknown scheme",
       {{":method", "GET"}, {":scheme", "ftp"}, {":authority", "a"}, {":path", "/"}},
       ErrorCode::malformed},
      {"a fragment", request_lines({}, "GET", "/a#b"), ErrorCode::malformed},
      {"a plain CONNECT", {{":method", "CONNECT"}, {":authority", "a:443"}}, ErrorCode::unsupported},
      {"an extended CONNECT to another protocol", request_lines({{":protocol", "connect-udp"}}, "CONNECT"),
       ErrorCode::unsupported},
      {"a long target", request_lines({}, "GET", "/" + std::string(8 * 1024, 'a')), ErrorCode::uri_too_long},
      {"a large field", request_lines({{"x", std::string(16 * 1024, 'a')}}), ErrorCode::head_too_large},
      {"many fields", request_lines(FieldLines(129, {"x", "1"})), ErrorCode::head_too_large},
      {"a large head", request_lines(FieldLines(5, {"x", std::string(14 * 1024, 'a')})),
       ErrorCode::head_too_large},
      {"a cookie of many crumbs", request_lines(FieldLines(5, {"cookie", std::string(4 * 1024, 'a')})),
       ErrorCode::head_too_large},
  }));
  INFO(what);
  // A CONNECT gets here only with its :protocol in front; pseudo-fields come first.
  FieldLines ordered = lines;
  std::stable_partition(ordered.begin(), ordered.end(),
                        [](const auto& l) { return l.first.starts_with(":"); });
  Server server;
  std::string block = hpack(ordered);
  std::string wire;
  for (std::size_t at = 0; at < block.size(); at += 16384) {
    const bool last = at + 16384 >= block.size();
    wire += frame(at == 0 ? kHeaders : kContinuation, last ? kEndHeaders : kNone, 1, block.substr(at, 16384));
  }
  wire += frame(kData, kEndStream, 1, "its body is dropped");
  REQUIRE(server.end.give(wire).has_value());
  Seen& got = server.end.streams[1];
  REQUIRE(got.bad);
  CHECK(got.bad->code == expected);
  CHECK(got.bad->fault == base::Fault::client);
  CHECK(got.body.empty());
  server.end.codec.send_response(1, response(431, 0), true);
  const auto pulled = frames(server.end.pull());
  CHECK(find(pulled, kHeaders, 1));
  CHECK_FALSE(find(pulled, kRstStream, 1));
  REQUIRE(got.closed);
  CHECK_FALSE(*got.closed);
  CHECK(server.end.codec.active_streams() == 0);
}

// nghttp2 takes it for a malformed message since some release; before, it is ours to answer.
TEST_CASE("userinfo in the authority is refused") {
  const FieldLines lines = {{":method", "GET"}, {":scheme", "https"}, {":authority", "u@a"}, {":path", "/"}};
  Server server;
  server.ask(lines);
  const Seen& got = server.end.streams[1];
  CHECK(((got.bad && got.bad->code == ErrorCode::malformed) || server.refused()));
}

TEST_CASE("limits are exact: what just fits passes") {
  Settings limits;
  limits.target_bytes = 10;
  limits.field_bytes = 25;
  limits.fields = 3;
  const std::string path = "/123456789";
  Server fits(limits);
  CHECK(
      fits.ask(request_lines({{"x", std::string(24, 'a')}, {"y", "1"}, {"z", "1"}}, "GET", path)).announced);
  CHECK(fits.end.streams[1].request.target() == path);
  CHECK(Server(limits).ask(request_lines({}, "GET", path + "0")).bad->code == ErrorCode::uri_too_long);
  CHECK(Server(limits).ask(request_lines({{"x", std::string(25, 'a')}})).bad->code ==
        ErrorCode::head_too_large);
}

TEST_CASE("a head far over its limits is cut off: an indexed field costs its sender one octet (HPACK bomb)") {
  Server server;
  // One field of 4000 octets into the table, then references to it, each one octet.
  const std::string big(3000, 'b');
  std::string block = hpack(request_lines());
  block += "\x40"s + hpack_length(1) + "x" + hpack_length(big.size()) + big;
  block += std::string(12000, '\xbe');
  REQUIRE(server.end.give(frame(kHeaders, kEndHeaders | kEndStream, 1, block)).has_value());
  const std::string pulled = server.end.pull();
  CHECK(reset_code(pulled, 1) == code::kEnhanceYourCalm);
  CHECK_FALSE(server.end.streams[1].announced);
  REQUIRE(server.end.give(headers(3, request_lines())).has_value());
  CHECK(server.end.streams[3].announced);
}

TEST_CASE("trailers lose what may not stand there, and pseudo-fields cost the stream") {
  Server server;
  server.ask(request_lines({}, "POST"), false);
  SECTION("forbidden fields") {
    REQUIRE(server.end.give(headers(1, {{"host", "evil.example"}, {"x-sum", "1"}, {"authorization", "x"}}))
                .has_value());
    const Seen& got = server.end.streams[1];
    REQUIRE(got.trailers);
    CHECK(got.trailers->size() == 1);
    CHECK(got.trailers->find("x-sum") == "1");
    CHECK(got.end);
  }
  SECTION("a pseudo-field") {
    REQUIRE(server.end.give(headers(1, {{":path", "/admin"}})).has_value());
    CHECK(reset_code(server.end.pull(), 1) == code::kProtocolError);
    CHECK_FALSE(server.end.streams[1].trailers);
    CHECK(server.end.streams[1].closed->code == ErrorCode::malformed);
    CHECK(server.end.streams[1].closed->fault == base::Fault::client);
  }
  SECTION("no end") {
    REQUIRE(server.end.give(headers(1, {{"x-sum", "1"}}, false)).has_value());
    CHECK(reset_code(server.end.pull(), 1) == code::kProtocolError);
  }
  SECTION("too large") {
    REQUIRE(server.end.give(headers(1, FieldLines(140, {"x", "1"}))).has_value());
    CHECK(reset_code(server.end.pull(), 1) == code::kCancel);
    CHECK(server.end.streams[1].closed->code == ErrorCode::head_too_large);
  }
}

TEST_CASE("a body must be as long as its content-length (smuggling into HTTP/1.1 upstreams)") {
  Server server;
  server.ask(request_lines({{"content-length", "5"}}, "POST"), false);
  SECTION("as long") {
    REQUIRE(server.end.give(frame(kData, kNone, 1, "he") + frame(kData, kEndStream, 1, "llo")).has_value());
    CHECK(server.end.streams[1].end);
    CHECK(server.end.streams[1].body == "hello");
    return;
  }
  SECTION("shorter") {
    REQUIRE(server.end.give(frame(kData, kEndStream, 1, "hell")).has_value());
  }
  SECTION("shorter, ended apart") {
    REQUIRE(server.end.give(frame(kData, kNone, 1, "hell") + frame(kData, kEndStream, 1)).has_value());
  }
  SECTION("longer") {
    REQUIRE(server.end.give(frame(kData, kEndStream, 1, "hello!")).has_value());
  }
  SECTION("shorter, ended by trailers") {
    REQUIRE(server.end.give(frame(kData, kNone, 1, "hell") + headers(1, {{"x", "1"}})).has_value());
  }
  CHECK_FALSE(server.end.streams[1].end);
  CHECK(reset_code(server.end.pull(), 1) == code::kProtocolError);
  REQUIRE(server.end.streams[1].closed);
  CHECK(server.end.streams[1].closed->code == ErrorCode::malformed);
}

TEST_CASE("padding hides nothing: data and end arrive whole") {
  Server server;
  server.ask(request_lines({}, "POST"), false);
  REQUIRE(server.end.give(frame(kData, kPadded | kEndStream, 1, "\x03"s + "data" + "\0\0\0"s)).has_value());
  CHECK(server.end.streams[1].body == "data");
  CHECK(server.end.streams[1].end);
}

TEST_CASE("malformed responses cost their stream and are the upstream's fault") {
  const auto [what, wire] = GENERATE(table<std::string, std::string>({
      {"no :status", headers(1, {{"x", "1"}})},
      {"a :status of two digits", headers(1, {{":status", "20"}})},
      {"a :status below 100", headers(1, {{":status", "099"}})},
      {"101", headers(1, {{":status", "101"}}, false)},
      {"an interim response that ends", headers(1, {{":status", "103"}})},
      {"transfer-encoding", headers(1, {{":status", "200"}, {"transfer-encoding", "chunked"}})},
      {"a value with CR LF (response splitting)", headers(1, {{":status", "200"}, {"x", "a\r\nb: c"}})},
      {"data with an answer to GET that promised none",
       headers(1, {{":status", "304"}}, false) + frame(kData, kEndStream, 1, "x")},
      {"a request's pseudo-field", headers(1, {{":status", "200"}, {":path", "/"}})},
      {"less than content-length", headers(1, {{":status", "200"}, {"content-length", "3"}})},
  }));
  INFO(what);
  Client client;
  const Seen& got = client.answer(get(), wire);
  CHECK(reset_code(client.pulled, 1) == code::kProtocolError);
  REQUIRE(got.closed);
  CHECK(got.closed->code == ErrorCode::malformed);
  CHECK(got.closed->fault == base::Fault::upstream);
  CHECK_FALSE(got.end);
  CHECK_FALSE(client.end.codec.failure());
}

TEST_CASE("data before any response head ends the connection, and is the upstream's fault") {
  Client client;
  client.answer(get(), frame(kData, kEndStream, 1, "x"));
  REQUIRE(client.end.codec.failure());
  CHECK(client.end.codec.failure().code == ErrorCode::malformed);
  CHECK(client.end.codec.failure().fault == base::Fault::upstream);
}

TEST_CASE("a response head over our limits is told as such") {
  Client client;
  FieldLines lines(140, {"x", "1"});
  lines.insert(lines.begin(), {":status", "200"});
  const std::string over = headers(1, lines);
  const Seen& got = client.answer(get(), over);
  REQUIRE(got.closed);
  CHECK(got.closed->code == ErrorCode::head_too_large);
  CHECK(got.closed->fault == base::Fault::upstream);
  CHECK(got.responses.empty());
}

TEST_CASE("informational responses have a bound (1xx flood)") {
  Settings settings;
  settings.informational = 2;
  for (const int heads : {2, 3}) {
    Pair pair({}, settings);
    const StreamId id = pair.client.codec.open_request(get("/"), true);
    pair.run();
    for (int i = 0; i < heads; ++i) {
      http::ResponseHead hints;
      hints.status = 103;
      pair.server.codec.send_response(id, hints, false);
    }
    http::ResponseHead head;
    head.status = 204;
    pair.server.codec.send_response(id, head, true);
    pair.run();
    REQUIRE(pair.client.streams[id].closed);
    CHECK(pair.client.streams[id].closed->code ==
          (heads == 2 ? base::ErrorCode::none : base::ErrorCode::interim_flood));
    CHECK(pair.client.streams[id].responses.size() == (heads == 2 ? 3 : 2));
  }
}

TEST_CASE("a 204 may say content-length: 0, which goes no further") {
  Client client;
  const Seen& got = client.answer(get(), headers(1, {{":status", "204"}, {"content-length", "0"}}));
  REQUIRE(got.responses.size() == 1);
  CHECK(got.responses[0].body == http::BodySize{});
  CHECK_FALSE(*got.closed);
}
