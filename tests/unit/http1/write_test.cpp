#include "catch.hpp"
#include "drivers.hpp"

namespace sallyport::http1::test {
namespace {

using http::BodySize;

constexpr BodySize kNone{};
constexpr BodySize kUnknown{BodySize::Kind::unknown, 0};
constexpr BodySize known(std::uint64_t n) {
  return {BodySize::Kind::known, n};
}

http::ResponseHead response(std::uint16_t status, BodySize body = kNone) {
  http::ResponseHead head;
  head.status = status;
  head.body = body;
  return head;
}

http::RequestHead request(std::string_view method, BodySize body = kNone) {
  http::RequestHead head;
  head.set_method(method);
  head.set_target("/t");
  head.set_authority("o.test");
  head.body = body;
  return head;
}

// A client-side codec that has just read this request.
struct Answering {
  explicit Answering(std::string_view text) {
    driver.answer = false;
    driver.feed(text);
    REQUIRE_FALSE(driver.failed);
  }
  bool piece(std::string_view bytes, bool end) {
    const bool taken = driver.codec.open_piece(bytes.size(), driver.out);
    if (taken) driver.out.append(bytes);
    driver.codec.close_piece(bytes.size(), end, driver.out);
    return taken;
  }
  RequestCodec& codec = driver_.codec;
  RequestDriver& driver = driver_;

 private:
  RequestDriver driver_;
};

std::string get(std::string_view version = "1.1", std::string_view lines = {}) {
  return std::string("GET / HTTP/").append(version).append("\r\nHost: a\r\n").append(lines).append("\r\n");
}

}  // namespace

TEST_CASE("a response is framed from events") {
  struct Row {
    std::string request;
    http::ResponseHead head;
    bool end;
    std::string_view expected;
    bool keep_alive;
  };
  const std::string head_request = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
  const Row rows[] = {
      {get(), response(200, known(3)), false, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", true},
      {get(), response(200, kUnknown), false, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", true},
      {get(), response(200), true, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true},
      {get(), response(204), true, "HTTP/1.1 204 No Content\r\n\r\n", true},
      {get(), response(304, known(9)), true, "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", true},
      {get(), response(304), true, "HTTP/1.1 304 Not Modified\r\n\r\n", true},
      {get(), response(799), true, "HTTP/1.1 799 \r\ncontent-length: 0\r\n\r\n", true},
      {head_request, response(200, known(9)), true, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", true},
      {head_request, response(200, kUnknown), true, "HTTP/1.1 200 OK\r\n\r\n", true},
      {get("1.1", "Connection: close\r\n"), response(200), true,
       "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", false},
      {get("1.0"), response(200, kUnknown), false, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", false},
      {get("1.0", "Connection: keep-alive\r\n"), response(200, kUnknown), false,
       "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", false},
      {get("1.0", "Connection: keep-alive\r\n"), response(200, known(1)), false,
       "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\n", true},
      {get(), response(103), false, "HTTP/1.1 103 Early Hints\r\n\r\n", true},
      {get("1.0", "Connection: keep-alive\r\n"), response(103), false, "", true},
  };
  for (const Row& row : rows) {
    INFO(row.request);
    INFO(row.head.status);
    Answering a(row.request);
    a.codec.write_response(row.head, row.end, a.driver.out);
    CHECK(a.driver.out.view() == row.expected);
    CHECK(a.codec.keep_alive() == row.keep_alive);
    CHECK(a.codec.written() == row.end);
  }
}

TEST_CASE("framing and connection fields in a head are never copied (header injection)") {
  constexpr std::string_view kNames[] = {"connection", "content-length",    "keep-alive", "proxy-connection",
                                         "te",         "transfer-encoding", "upgrade",    "http2-settings"};
  Answering a(get());
  http::ResponseHead head = response(200, known(1));
  http::RequestHead out_request = request("GET");
  for (const std::string_view name : kNames) {
    head.fields.add(name, "99");
    out_request.fields.add(name, "99");
  }
  out_request.fields.add("host", "evil");
  out_request.fields.add("expect", "100-continue");
  a.codec.write_response(head, false, a.driver.out);
  CHECK(a.driver.out.view() == "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n");
  ResponseCodec codec({});
  base::Buffer out;
  codec.write_request(out_request, true, out);
  CHECK(out.view() == "GET /t HTTP/1.1\r\nhost: o.test\r\n\r\n");
}

TEST_CASE("body pieces are framed") {
  SECTION("chunked") {
    Answering a(get());
    a.codec.write_response(response(200, kUnknown), false, a.driver.out);
    a.driver.out.clear();
    CHECK(a.piece("hello", false));
    CHECK(a.piece("", false));
    CHECK(a.piece(std::string(16, 'x'), true));
    CHECK(a.driver.out.view() == "5\r\nhello\r\n10\r\nxxxxxxxxxxxxxxxx\r\n0\r\n\r\n");
    CHECK(a.codec.written());
    CHECK(a.codec.keep_alive());
  }
  SECTION("by length") {
    Answering a(get());
    a.codec.write_response(response(200, known(5)), false, a.driver.out);
    a.driver.out.clear();
    CHECK(a.piece("hel", false));
    CHECK(a.piece("lo", true));
    CHECK(a.driver.out.view() == "hello");
    CHECK(a.codec.keep_alive());
  }
  SECTION("a body that outgrows its length writes nothing and ends the connection (response splitting)") {
    Answering a(get());
    a.codec.write_response(response(200, known(5)), false, a.driver.out);
    a.driver.out.clear();
    CHECK(a.piece("hel", false));
    CHECK_FALSE(a.piece("lo!", true));
    CHECK(a.driver.out.view() == "hel");
    CHECK_FALSE(a.codec.keep_alive());
  }
  SECTION("a body that ends early ends the connection") {
    Answering a(get());
    a.codec.write_response(response(200, known(5)), false, a.driver.out);
    CHECK(a.piece("hel", true));
    CHECK(a.codec.written());
    CHECK_FALSE(a.codec.keep_alive());
  }
  SECTION("a head that ends with a length unserved ends the connection") {
    Answering a(get());
    a.codec.write_response(response(200, known(5)), true, a.driver.out);
    CHECK(a.driver.out.view() == "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n");
    CHECK_FALSE(a.codec.keep_alive());
  }
  SECTION("a bodiless response takes no bytes") {
    Answering a("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    a.codec.write_response(response(200, known(5)), false, a.driver.out);
    a.driver.out.clear();
    CHECK_FALSE(a.piece("hello", true));
    CHECK(a.driver.out.empty());
    CHECK(a.codec.written());
    CHECK(a.codec.keep_alive());
  }
  SECTION("until close") {
    Answering a(get("1.0"));
    a.codec.write_response(response(200, kUnknown), false, a.driver.out);
    a.driver.out.clear();
    CHECK(a.piece("hello", true));
    CHECK(a.driver.out.view() == "hello");
    CHECK(a.codec.written());
  }
}

TEST_CASE("trailers are written to those who asked, without what may not stand there") {
  http::Fields trailers;
  trailers.add("x-sum", "1");
  trailers.add("content-length", "9");
  trailers.add("authorization", "x");
  SECTION("asked for") {
    Answering a(get("1.1", "TE: trailers\r\n"));
    a.codec.write_response(response(200, kUnknown), false, a.driver.out);
    a.driver.out.clear();
    a.codec.write_trailers(trailers, a.driver.out);
    CHECK(a.driver.out.view() == "0\r\nx-sum: 1\r\n\r\n");
    CHECK(a.codec.written());
  }
  SECTION("not asked for") {
    Answering a(get());
    a.codec.write_response(response(200, kUnknown), false, a.driver.out);
    a.driver.out.clear();
    a.codec.write_trailers(trailers, a.driver.out);
    CHECK(a.driver.out.view() == "0\r\n\r\n");
  }
  SECTION("with a length") {
    Answering a(get("1.1", "TE: trailers\r\n"));
    a.codec.write_response(response(200, known(0)), false, a.driver.out);
    a.driver.out.clear();
    a.codec.write_trailers(trailers, a.driver.out);
    CHECK(a.driver.out.empty());
    CHECK(a.codec.keep_alive());
  }
  SECTION("in a request") {
    ResponseCodec codec({});
    base::Buffer out;
    codec.write_request(request("POST", kUnknown), false, out);
    out.clear();
    codec.write_trailers(trailers, out);
    CHECK(out.view() == "0\r\nx-sum: 1\r\n\r\n");
    CHECK(codec.written());
  }
}

TEST_CASE("a request is framed from events") {
  struct Row {
    http::RequestHead head;
    bool end;
    std::string_view expected;
  };
  Row rows[] = {
      {request("GET"), true, "GET /t HTTP/1.1\r\nhost: o.test\r\n\r\n"},
      {request("POST"), true, "POST /t HTTP/1.1\r\nhost: o.test\r\ncontent-length: 0\r\n\r\n"},
      {request("GET", known(0)), true, "GET /t HTTP/1.1\r\nhost: o.test\r\ncontent-length: 0\r\n\r\n"},
      {request("PUT", known(7)), false, "PUT /t HTTP/1.1\r\nhost: o.test\r\ncontent-length: 7\r\n\r\n"},
      {request("PROPFIND", kUnknown), false,
       "PROPFIND /t HTTP/1.1\r\nhost: o.test\r\ntransfer-encoding: chunked\r\n\r\n"},
      {request("GET", kUnknown), true, "GET /t HTTP/1.1\r\nhost: o.test\r\n\r\n"},
  };
  for (const Row& row : rows) {
    ResponseCodec codec({});
    base::Buffer out;
    codec.write_request(row.head, row.end, out);
    CHECK(out.view() == row.expected);
    CHECK(codec.written() == row.end);
  }
  SECTION("flags and crumbs") {
    ResponseCodec codec({});
    base::Buffer out;
    http::RequestHead head = request("PUT", known(1));
    head.trailers_ok = head.expects_continue = true;
    head.fields.add("cookie", "a=1");
    head.fields.add("x", "y");
    head.fields.add("cookie", "b=2");
    head.fields.add("cookie", "");
    codec.close_after();
    codec.write_request(head, false, out);
    CHECK(out.view() ==
          "PUT /t HTTP/1.1\r\nhost: o.test\r\nx: y\r\ncookie: a=1; b=2\r\ncontent-length: 1\r\n"
          "connection: close, te\r\nte: trailers\r\nexpect: 100-continue\r\n\r\n");
  }
}

TEST_CASE("a WebSocket goes through both codecs and becomes a tunnel") {
  RequestDriver client;
  client.accept_websocket = true;
  client.answer = false;
  client.feed(
      "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
      "Sec-WebSocket-Key: k\r\n\r\n\x81\x01x");
  CHECK(client.text ==
        "request GET https://a /chat HTTP/1.1 body=none protocol=websocket\nsec-websocket-key: "
        "k\ndata=\x81\x01x");
  CHECK(client.out.view() ==
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  CHECK(client.codec.tunnel());
  CHECK_FALSE(client.codec.keep_alive());
  client.out.clear();
  CHECK(client.codec.open_piece(3, client.out));
  client.codec.close_piece(3, false, client.out);
  CHECK(client.out.empty());
  client.codec.on_eof(client);
  CHECK(client.text.ends_with("\nend\n"));

  ResponseDriver upstream;
  upstream.request("GET", "websocket");
  CHECK(upstream.out.view() ==
        "GET / HTTP/1.1\r\nhost: origin.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  upstream.feed("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  CHECK(upstream.codec.tunnel());
  CHECK(upstream.codec.open_piece(3, upstream.out));
}

TEST_CASE("bytes behind an upgrade that was refused are the next request") {
  RequestDriver client;
  client.answer = false;
  client.feed("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + get());
  CHECK(client.kept() == get());
  CHECK_FALSE(client.codec.received());
  client.codec.write_response(response(403), true, client.out);
  CHECK(client.codec.received());
  CHECK(client.codec.keep_alive());
  client.codec.next();
  client.text.clear();
  client.offer();
  CHECK(client.text == "request end GET https://a / HTTP/1.1 body=none\n");
}

TEST_CASE("an upgrade with a body, another method or HTTP/1.0 is none") {
  const std::string_view rows[] = {
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
      "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
  };
  for (const std::string_view input : rows) {
    RequestDriver client;
    client.answer = false;
    client.feed(input);
    INFO(client.text);
    CHECK(client.text.find("protocol") == std::string::npos);
    CHECK(client.codec.received());
  }
}

TEST_CASE("what one codec writes the other reads as the same message") {
  struct Row {
    http::RequestHead head;
    std::vector<std::string_view> pieces;
  };
  std::vector<Row> rows;
  rows.push_back({request("GET"), {}});
  rows.push_back({request("PUT", known(5)), {"hel", "lo"}});
  rows.push_back({request("POST", kUnknown), {"hel", "", "lo"}});
  rows.back().head.fields.add("a", "b\t c");
  rows.back().head.trailers_ok = true;
  for (const Row& row : rows) {
    ResponseCodec writer({});
    base::Buffer out;
    writer.write_request(row.head, row.pieces.empty(), out);
    std::string body;
    for (std::size_t i = 0; i < row.pieces.size(); ++i) {
      if (writer.open_piece(row.pieces[i].size(), out)) out.append(row.pieces[i]);
      writer.close_piece(row.pieces[i].size(), i + 1 == row.pieces.size(), out);
      body.append(row.pieces[i]);
    }
    http::RequestHead expected = row.head;
    expected.set_scheme("https");
    const std::string text = row.pieces.empty()
                                 ? "request end " + describe(expected)
                                 : "request " + describe(expected) + "data=" + body + "\nend\n";
    at_every_split(out.view(), [&](const std::vector<std::string_view>& pieces) {
      RequestDriver reader;
      for (const std::string_view piece : pieces) reader.feed(piece);
      REQUIRE(reader.text == text);
    });
  }
}

TEST_CASE("receive stops after an event that says so") {
  struct Stopping final : RequestCodec::Events {
    void on_request(http::RequestHead&&, bool) override { codec->stop(); }
    void on_data(std::span<const char> bytes, bool end) override {
      data.append(bytes.data(), bytes.size());
      ended = end;
      codec->stop();
    }
    void on_trailers(http::Fields&&) override {}
    void on_error(const base::Error&) override {}
    RequestCodec* codec = nullptr;
    std::string data;
    bool ended = false;
  };
  RequestCodec codec({}, true);
  Stopping events;
  events.codec = &codec;
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string input = head + "1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
  std::span<const char> rest(input);
  std::size_t used = codec.receive(rest, events);
  CHECK(used == head.size());
  rest = rest.subspan(used);
  used = codec.receive(rest, events);
  CHECK(events.data == "a");
  rest = rest.subspan(used);
  used = codec.receive(rest, events);
  CHECK(events.data == "ab");
  rest = rest.subspan(used);
  CHECK(codec.receive(rest, events) == rest.size());
  CHECK(events.ended);
}

TEST_CASE("the end of the stream within a request is an error, between requests none") {
  RequestDriver driver;
  driver.codec.on_eof(driver);
  CHECK(driver.text.empty());
  CHECK(driver.codec.idle());
  driver.feed("G");
  CHECK_FALSE(driver.codec.idle());
  driver.codec.on_eof(driver);
  CHECK(driver.text == "error client closed\n");
  for (const std::string_view body :
       {"Content-Length: 2\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n0\r\n"}) {
    RequestDriver late;
    late.feed(std::string("POST / HTTP/1.1\r\nHost: a\r\n").append(body));
    late.text.clear();
    late.codec.on_eof(late);
    late.finish("");
    CHECK(late.text.ends_with("error client closed\n"));
  }
}

}  // namespace sallyport::http1::test
