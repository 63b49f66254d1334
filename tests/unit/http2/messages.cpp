// RFC 9113 §8 to the letter, on both sides: what a message may consist of, and what becomes of its
// stream and its connection when it does not keep to that. heads.cpp holds the rules on heads that
// attacks are made of; here are the rest, and what goes beyond one head.
#include "catch.hpp"
#include "harness.hpp"

using namespace sallyport;
using namespace sallyport::http2;
using namespace sallyport::http2::testing;
using base::ErrorCode;
using http::FieldId;

namespace {

constexpr unsigned kIncremental = 0x40;  // HPACK: a literal field that goes into the table

Settings without_tunnels() {
  Settings settings;
  settings.enable_connect_protocol = false;
  return settings;
}

// A server whose client sent this on stream 1.
struct Heard {
  explicit Heard(const std::string& wire, const Settings& settings = {}) : end(Side::client, settings) {
    REQUIRE(end.give(client_start() + wire).has_value());
    pulled = end.pull();
  }
  Seen& stream() { return end.streams[1]; }
  // Reset as malformed; the connection lives.
  bool malformed() {
    if (reset_code(pulled, 1) != code::kProtocolError || end.codec.failure()) return false;
    REQUIRE(end.give(headers(3, request_lines())).has_value());
    return end.streams[3].announced;
  }
  Endpoint end;
  std::string pulled;
};

// A client that asked on stream 1 and was sent this.
struct Answered {
  explicit Answered(const std::string& wire, http::RequestHead head = get(), bool request_ends = true)
      : end(Side::upstream) {
    // SETTINGS_ENABLE_CONNECT_PROTOCOL
    REQUIRE(end.give(frame(kSettings, kNone, 0, "\0\x08\0\0\0\1"s)).has_value());
    REQUIRE(end.codec.open_request(head, request_ends) == 1);
    (void)end.pull();
    REQUIRE(end.give(wire).has_value());
    pulled = end.pull();
  }
  Seen& stream() { return end.streams[1]; }
  bool malformed() {
    const Seen& s = end.streams[1];
    return reset_code(pulled, 1) == code::kProtocolError && !end.codec.failure() && !s.end && s.closed &&
           s.closed->code == ErrorCode::malformed && s.closed->fault == base::Fault::upstream;
  }
  Endpoint end;
  std::string pulled;
};

http::RequestHead head_request() {
  http::RequestHead head = get();
  head.set_method("HEAD");
  return head;
}
http::RequestHead websocket() {
  http::RequestHead head = get();
  head.set_protocol("websocket");
  return head;
}
FieldLines status_ok(FieldLines more = {}) {
  more.insert(more.begin(), {":status", "200"});
  return more;
}
FieldLines websocket_lines(FieldLines more = {}) {
  more.insert(more.begin(), {":protocol", "websocket"});
  return request_lines(more, "CONNECT");
}
FieldLines four(std::string method, std::string scheme, std::string authority, std::string path) {
  return {{":method", std::move(method)},
          {":scheme", std::move(scheme)},
          {":authority", std::move(authority)},
          {":path", std::move(path)}};
}

}  // namespace

TEST_CASE("a request head that breaks RFC 9113 §8.2 or §8.3 is malformed") {
  const auto [what, lines] = GENERATE(table<std::string, FieldLines>({
      {"DEL in a value", request_lines({{"x", "a\x7f"}})},
      {"DEL in a known field", request_lines({{"user-agent", "a\x7f"}})},
      {"a control in a long value",
       request_lines({{"x", std::string(20, 'a') + "\x01" + std::string(9, 'b')}})},
      {"a leading tab", request_lines({{"accept", "\ta"}})},
      {"a trailing space", request_lines({{"cookie", "a=b "}})},
      {"a capital at a name's end", request_lines({{"x-onE", "1"}})},
      {"an octet above 127 in a name", request_lines({{"x\xe9", "1"}})},
      {"a name that is a known one in capitals", request_lines({{"Content-Length", "0"}})},
      {"an empty transfer-encoding", request_lines({{"transfer-encoding", ""}})},
      {"te: trailers and more", request_lines({{"te", "trailers, gzip"}})},
      {"an empty te", request_lines({{"te", ""}})},
      {"a colon alone", request_lines({{":", "1"}})},
      {"a pseudo-field in capitals", request_lines({{":Path", "/b"}})},
      {"two :method", request_lines({{":method", "GET"}})},
      {"two :scheme", request_lines({{":scheme", "https"}})},
      {"two :authority", request_lines({{":authority", "example.com"}})},
      {"two :protocol", websocket_lines({{":protocol", "websocket"}})},
      {"an empty :method", four("", "https", "a", "/")},
      {"an empty :scheme", four("GET", "", "a", "/")},
      {"an empty :authority", four("GET", "https", "", "/")},
      {"an empty :protocol", request_lines({{":protocol", ""}}, "CONNECT")},
      {"a control in :protocol", request_lines({{":protocol", "web\nsocket"}}, "CONNECT")},
      {"a colon in :method", four("GE:T", "https", "a", "/")},
      {"a space in :scheme", four("GET", "ht tp", "a", "/")},
      {"a digit in front of :scheme", four("GET", "1http", "a", "/")},
      {"no :path, with a scheme of its own", {{":method", "GET"}, {":scheme", "ftp"}, {":authority", "a"}}},
      {"a space in :authority", four("GET", "https", "a b", "/")},
      {"a slash in :authority", four("GET", "https", "a/b", "/")},
      {"an octet above 127 in :authority", four("GET", "https", "\xe9", "/")},
      {"a space in Host", {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", "a b"}}},
      {"an empty Host", {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", ""}}},
      {"an empty Host beside :authority", request_lines({{"host", ""}})},
      {"DEL in :path", four("GET", "https", "a", "/\x7f")},
      {"a tab in :path", four("GET", "https", "a", "/a\tb")},
      {"an asterisk with GET", four("GET", "https", "a", "*")},
      {"a path without a slash, with OPTIONS", four("OPTIONS", "HTTP", "a", "a")},
      {"a content-length of nothing", request_lines({{"content-length", ""}})},
      {"a list of content-lengths", request_lines({{"content-length", "0, 0"}})},
      {"a plain CONNECT with :path", {{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}}},
      {"a plain CONNECT with :scheme", {{":method", "CONNECT"}, {":authority", "a:1"}, {":scheme", "https"}}},
      {"a plain CONNECT with Host alone", {{":method", "CONNECT"}, {"host", "a:1"}}},
      {"an extended CONNECT without :path",
       {{":method", "CONNECT"}, {":scheme", "https"}, {":authority", "a"}, {":protocol", "websocket"}}},
      {"an extended CONNECT with Host alone",
       {{":method", "CONNECT"},
        {":scheme", "https"},
        {":path", "/"},
        {":protocol", "websocket"},
        {"host", "a"}}},
  }));
  INFO(what);
  Heard heard(headers(1, lines));
  CHECK(heard.malformed());
  CHECK_FALSE(heard.stream().announced);
}

TEST_CASE("a request head may be unusual, as long as it keeps to the rules") {
  const auto [what, lines] = GENERATE(table<std::string, FieldLines>({
      {"a tab and octets above 127 in a value", request_lines({{"x", "a\tb\xe9\xff"}})},
      {"a long value with a tab", request_lines({{"x", std::string(30, 'a') + "\t" + std::string(30, 'b')}})},
      {"an empty value", request_lines({{"x", ""}})},
      {"every sign that a name may have", request_lines({{"!#$%&'*+-.^_`|~0z", "1"}})},
      {"te: Trailers", request_lines({{"te", "Trailers"}})},
      {"a method of its own", four("X-M!", "https", "a", "/")},
      {"a scheme in capitals", four("GET", "HTTPS", "a", "/")},
      {"an asterisk with OPTIONS", four("OPTIONS", "https", "a", "*")},
      {"a content-length of 0", request_lines({{"content-length", "0"}})},
      {"a websocket", websocket_lines()},
  }));
  INFO(what);
  Heard heard(headers(1, lines));
  CHECK(heard.stream().announced);
  CHECK_FALSE(heard.stream().bad);
}

TEST_CASE("an unreadable content-length is malformed whether or not a body follows") {
  for (const char* length : {"+2", "2x", "0x2", "18446744073709551618"})
    CHECK(Heard(headers(1, request_lines({{"content-length", length}}, "PUT"), false)).malformed());
}

TEST_CASE("what is sound but not served is answered: only octets decide that it is malformed") {
  for (const FieldLines& lines : {four("GET", "https", "a,b", "/"), four("GET", "https", "a%41", "/"),
                                  four("GET", "https", "a", "/\xe9"), four("GET", "ftp", "a", "b")})
    CHECK(Heard(headers(1, lines)).stream().bad->code == ErrorCode::malformed);
}

TEST_CASE(":protocol is malformed unless our SETTINGS allow it") {
  CHECK(Heard(headers(1, websocket_lines()), without_tunnels()).malformed());
}

TEST_CASE("a malformed field is the last that is looked at, and the HPACK table misses none") {
  std::string block = hpack(request_lines({{"bad ", "1"}}));
  block += static_cast<char>(kIncremental) + hpack_length(5) + "x-sum" + hpack_length(1) + "7";
  Heard heard(frame(kHeaders, kEndHeaders | kEndStream, 1, block));
  CHECK(reset_code(heard.pulled, 1) == code::kProtocolError);
  // The newest entry is the first behind the static table.
  REQUIRE(heard.end.give(frame(kHeaders, kEndHeaders | kEndStream, 3, hpack(request_lines()) + "\xbe"))
              .has_value());
  CHECK(heard.end.streams[3].request.fields.find("x-sum") == "7");
}

TEST_CASE("one reset, in a head of many faults and CONTINUATIONs") {
  const std::string block = hpack(request_lines({{"A", "1"}, {"B", "2"}, {"connection", "x"}}));
  Heard heard(frame(kHeaders, kEndStream, 1, block.substr(0, 70)) +
              frame(kContinuation, kNone, 1, block.substr(70, 10)) +
              frame(kContinuation, kEndHeaders, 1, block.substr(80)));
  std::size_t resets = 0;
  for (const Frame& f : frames(heard.pulled)) resets += f.type == kRstStream ? 1U : 0U;
  CHECK(resets == 1);
  CHECK(heard.malformed());
}

TEST_CASE("malformed goes before too large: no answer for what is no request") {
  Settings small;
  small.field_bytes = 100;
  const std::string large(200, 'a');
  CHECK(Heard(headers(1, request_lines({{"x", large}})), small).stream().bad);
  CHECK(Heard(headers(1, request_lines({{"x", large}, {"y", "\n"}})), small).malformed());
  CHECK(Heard(headers(1, {{":method", "GET"}, {":path", "/"}, {"x", large}}), small).malformed());
  CHECK(Heard(headers(1, request_lines({{"x", large}, {"content-length", "5"}})), small).malformed());
}

TEST_CASE("the body of a request that is refused is held to its length all the same") {
  Settings small;
  small.field_bytes = 100;
  const std::string head =
      headers(1, request_lines({{"x", std::string(200, 'a')}, {"content-length", "5"}}, "PUT"), false);
  const auto [what, rest, sound] = GENERATE(table<std::string, std::string, bool>({
      {"as long", frame(kData, kEndStream, 1, "hello"), true},
      {"longer", frame(kData, kNone, 1, "hello!"), false},
      {"shorter", frame(kData, kEndStream, 1, "hell"), false},
      {"bad trailers", frame(kData, kNone, 1, "hello") + headers(1, {{"X", "1"}}), false},
  }));
  INFO(what);
  Heard heard(head + rest, small);
  CHECK(heard.stream().bad);
  CHECK(heard.malformed() != sound);
}

TEST_CASE("data must be as long as content-length, in a tunnel too") {
  const std::string head = headers(1, websocket_lines({{"content-length", "2"}}), false);
  CHECK(Heard(head + frame(kData, kNone, 1, "abc")).malformed());
  CHECK_FALSE(Heard(head + frame(kData, kEndStream, 1, "ab")).malformed());
}

TEST_CASE("octets beyond content-length are not told, nor any before them in the same piece") {
  Heard heard(headers(1, request_lines({{"content-length", "3"}}, "PUT"), false) +
              frame(kData, kNone, 1, "ab") + frame(kData, kNone, 1, "cd") + frame(kData, kEndStream, 1, "e"));
  CHECK(heard.stream().body == "ab");
  CHECK_FALSE(heard.stream().end);
  CHECK(heard.stream().closed->code == ErrorCode::malformed);
  CHECK(heard.malformed());
}

TEST_CASE("a request's trailers") {
  const FieldLines with_host = request_lines({{"host", "example.com"}}, "PUT");
  const FieldLines with_length = request_lines({{"content-length", "2"}}, "PUT");
  const FieldLines plain = request_lines({}, "PUT");
  const auto [what, head, trailers, sound] = GENERATE_COPY(table<std::string, FieldLines, FieldLines, bool>({
      {"a field", plain, {{"x", "1"}}, true},
      {"a capital", plain, {{"X", "1"}}, false},
      {"LF in a value", plain, {{"x", "a\nb"}}, false},
      {"transfer-encoding", plain, {{"transfer-encoding", "chunked"}}, false},
      {"te: gzip", plain, {{"te", "gzip"}}, false},
      {"an unknown pseudo-field", plain, {{":x", "1"}}, false},
      {"a Host", plain, {{"host", "a"}}, true},
      {"two Hosts", plain, {{"host", "a"}, {"host", "a"}}, false},
      {"a second Host", with_host, {{"host", "example.com"}}, false},
      {"an empty Host", plain, {{"host", ""}}, false},
      {"the content-length of what came", plain, {{"content-length", "2"}}, true},
      {"another content-length", plain, {{"content-length", "3"}}, false},
      {"a second content-length", with_length, {{"content-length", "2"}}, false},
      {"an unreadable content-length", plain, {{"content-length", "2x"}}, false},
  }));
  INFO(what);
  Heard heard(headers(1, head, false) + frame(kData, kNone, 1, "ab") + headers(1, trailers));
  CHECK(heard.stream().announced);
  CHECK(heard.stream().trailers.has_value() == sound);
  CHECK(heard.malformed() != sound);
}

TEST_CASE("a response that breaks RFC 9113 §8 is malformed") {
  const auto [what, wire] = GENERATE(table<std::string, std::string>({
      {"two :status", headers(1, status_ok({{":status", "200"}}))},
      {"a late :status", headers(1, {{"x", "1"}, {":status", "200"}})},
      {"an empty :status", headers(1, {{":status", ""}})},
      {"a :status of four digits", headers(1, {{":status", "2000"}})},
      {"a :status with a letter", headers(1, {{":status", "20x"}})},
      {"a :status below 100, and a body", headers(1, {{":status", "099"}}, false)},
      {"no :status, and a body", headers(1, {{"x", "1"}}, false)},
      {"an unknown pseudo-field", headers(1, status_ok({{":x", "1"}}))},
      {"a capital", headers(1, status_ok({{"X", "1"}}))},
      {"an empty name", headers(1, status_ok({{"", "1"}}))},
      {"NUL in a value", headers(1, status_ok({{"server", "a\0b"s}}))},
      {"a space in front of Host's value", headers(1, status_ok({{"host", " a"}}))},
      {"connection", headers(1, status_ok({{"connection", "close"}}))},
      {"keep-alive", headers(1, status_ok({{"keep-alive", "1"}}))},
      {"proxy-connection", headers(1, status_ok({{"proxy-connection", "close"}}))},
      {"upgrade", headers(1, status_ok({{"upgrade", "h2c"}}))},
      {"te: gzip", headers(1, status_ok({{"te", "gzip"}}))},
      {"two content-lengths", headers(1, status_ok({{"content-length", "0"}, {"content-length", "0"}}))},
      {"an unreadable content-length", headers(1, status_ok({{"content-length", "-1"}}))},
      {"a content-length of an interim response",
       headers(1, {{":status", "103"}, {"content-length", "0"}}, false) + headers(1, status_ok())},
      {"a content-length of a 204", headers(1, {{":status", "204"}, {"content-length", "1"}})},
      {"two content-lengths of a 204",
       headers(1, {{":status", "204"}, {"content-length", "0"}, {"content-length", "0"}})},
      {"data behind an interim response",
       headers(1, {{":status", "103"}}, false) + frame(kData, kNone, 1, "x")},
      {"an end behind an interim response",
       headers(1, {{":status", "103"}}, false) + frame(kData, kEndStream, 1)},
      {"trailers behind an interim response",
       headers(1, {{":status", "103"}}, false) + headers(1, {{"x", "1"}})},
      {"data with a 204", headers(1, {{":status", "204"}}, false) + frame(kData, kNone, 1, "x")},
      {"more than content-length",
       headers(1, status_ok({{"content-length", "1"}}), false) + frame(kData, kNone, 1, "xy")},
      {"less than content-length",
       headers(1, status_ok({{"content-length", "3"}}), false) + frame(kData, kEndStream, 1, "xy")},
      {"less than content-length, ended apart", headers(1, status_ok({{"content-length", "3"}}), false) +
                                                    frame(kData, kNone, 1, "xy") +
                                                    frame(kData, kEndStream, 1)},
      {"less than content-length, ended by trailers",
       headers(1, status_ok({{"content-length", "3"}}), false) + headers(1, {{"x", "1"}})},
      {"trailers without an end", headers(1, status_ok(), false) + headers(1, {{"x", "1"}}, false)},
      {"a second head", headers(1, status_ok(), false) + headers(1, status_ok())},
      {"a capital in trailers", headers(1, status_ok(), false) + headers(1, {{"X", "1"}})},
      {"another content-length in trailers",
       headers(1, status_ok(), false) + headers(1, {{"content-length", "1"}})},
      {"a second content-length in trailers",
       headers(1, status_ok({{"content-length", "0"}}), false) + headers(1, {{"content-length", "0"}})},
      {"a content-length in trailers of a 304",
       headers(1, {{":status", "304"}}, false) + headers(1, {{"content-length", "0"}})},
  }));
  INFO(what);
  CHECK(Answered(wire).malformed());
}

TEST_CASE("a malformed response fails its stream also while the request is under way") {
  CHECK(Answered(headers(1, status_ok({{"X", "1"}}), false), post(), false).malformed());
}

TEST_CASE("a response to HEAD tells a length and has no body") {
  const std::string head = headers(1, status_ok({{"content-length", "5"}}), false);
  Answered sound(head + frame(kData, kEndStream, 1), head_request());
  REQUIRE(sound.stream().responses.size() == 1);
  CHECK(sound.stream().responses[0].body == http::BodySize{http::BodySize::Kind::known, 5});
  CHECK(sound.stream().end);
  CHECK_FALSE(*sound.stream().closed);
  CHECK(Answered(head + frame(kData, kEndStream, 1, "hello"), head_request()).malformed());
}

TEST_CASE("an accepted tunnel carries any number of octets, whatever a content-length says") {
  Answered open(
      headers(1, status_ok({{"content-length", "nonsense"}}), false) + frame(kData, kNone, 1, "frames"),
      websocket(), false);
  REQUIRE(open.stream().responses.size() == 1);
  CHECK(open.stream().responses[0].status == 101);
  CHECK_FALSE(open.stream().responses[0].fields.has(FieldId::content_length));
  CHECK(open.stream().body == "frames");
  CHECK(Answered(headers(1, status_ok({{"content-length", "a\nb"}}), false), websocket(), false).malformed());
  CHECK(Answered(headers(1, {{":status", "204"}}, false) + frame(kData, kNone, 1, "x"), websocket(), false)
            .malformed());
}

TEST_CASE("a tunnel that is not accepted is answered like any request") {
  const std::string head = headers(1, {{":status", "403"}, {"content-length", "2"}}, false);
  CHECK(Answered(head + frame(kData, kEndStream, 1, "no"), websocket(), false).stream().end);
  CHECK(Answered(head + frame(kData, kNone, 1, "no!"), websocket(), false).malformed());
}

TEST_CASE("a response may be unusual, as long as it keeps to the rules") {
  const auto [what, wire] = GENERATE(table<std::string, std::string>({
      {"a status of its own", headers(1, {{":status", "999"}})},
      {"te: trailers", headers(1, status_ok({{"te", "trailers"}}))},
      {"two Hosts", headers(1, status_ok({{"host", "a b"}, {"host", ""}}))},
      {"a 304 with a length", headers(1, {{":status", "304"}, {"content-length", "7"}})},
      {"interim responses", headers(1, {{":status", "100"}}, false) +
                                headers(1, {{":status", "103"}}, false) + headers(1, status_ok())},
      {"empty data before a head's trailers",
       headers(1, status_ok(), false) + frame(kData, kNone, 1) + headers(1, {{"x", "1"}})},
      {"the content-length of what came, in trailers",
       headers(1, status_ok(), false) + frame(kData, kNone, 1, "ab") + headers(1, {{"content-length", "2"}})},
  }));
  INFO(what);
  Answered answered(wire);
  CHECK(answered.stream().end);
  CHECK_FALSE(*answered.stream().closed);
}

TEST_CASE("what we reset with NO_ERROR behind our end stays open for the peer's message until then") {
  Settings narrow;
  narrow.stream_window = 4;  // our end waits for it
  Endpoint client(Side::upstream);
  REQUIRE(client.give(frame(kSettings, kNone, 0, "\0\x04\0\0\0\4"s)).has_value());
  REQUIRE(client.codec.open_request(post(), false) == 1);
  client.codec.send_data(1, bytes("longer than that"), true);
  (void)client.pull();
  client.codec.reset(1, code::kNoError);
  REQUIRE(client.give(headers(1, status_ok(), false) + headers(1, {{"x", "1"}})).has_value());
  CHECK_FALSE(reset_code(client.pull(), 1));  // it was no malformed second head
  REQUIRE(client.give(frame(kWindowUpdate, kNone, 1, u32(100))).has_value());
  (void)client.pull();
  CHECK(client.streams[1].closed);
}

TEST_CASE("a stream that its client breaks while the answer waits is the client's fault, not ours") {
  Endpoint server(Side::client);
  server.on_head_hook = [&](StreamId id) { server.codec.send_response(id, response(200), true); };
  REQUIRE(server
              .give(client_start() + headers(1, request_lines({{"content-length", "1"}}, "PUT"), false) +
                    frame(kData, kNone, 1, "ab"))
              .has_value());
  CHECK(reset_code(server.pull(), 1) == code::kProtocolError);
  REQUIRE(server.streams[1].closed);
  CHECK(server.streams[1].closed->code == ErrorCode::malformed);
  CHECK(server.streams[1].closed->fault == base::Fault::client);
}
