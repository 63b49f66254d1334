#include "catch.hpp"
#include "drivers.hpp"

namespace sallyport::http1::test {
namespace {

struct ResponseRow {
  std::string_view what;
  std::string_view method;
  std::string_view input;
  std::string_view expected;
  bool keep_alive;
};

// "websocket" in the place of a method asks for an upgrade.
void check_response(const ResponseRow& row, bool eof = false) {
  INFO(row.what);
  INFO(row.input);
  at_every_split(row.input, [&](const std::vector<std::string_view>& pieces) {
    ResponseDriver driver;
    if (row.method == "websocket") {
      driver.request("GET", "websocket");
    } else {
      driver.request(row.method);
    }
    for (const std::string_view piece : pieces) driver.feed(piece);
    if (eof) driver.eof();
    driver.finish("");
    REQUIRE(driver.text == row.expected);
    REQUIRE(driver.codec.keep_alive() == row.keep_alive);
  });
}

}  // namespace

TEST_CASE("responses come out in the neutral form, wherever the bytes are cut") {
  const ResponseRow rows[] = {
      {"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x\r\n\r\nok",
       "response 200 HTTP/1.1 body=2\nserver: x\ndata=ok\nend\n", true},
      {"length 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
       "response end 200 HTTP/1.1 body=0\n", true},
      {"no reason", "GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "response end 200 HTTP/1.1 body=0\n",
       true},
      {"no reason and no space", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
       "response end 200 HTTP/1.1 body=0\n", true},
      {"chunks and trailers", "GET",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nGrpc-Status: 0\r\n\r\n",
       "response 200 HTTP/1.1 body=unknown\ndata=abc\ntrailers\ngrpc-status: 0\n", true},
      {"informational", "GET",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No "
       "Content\r\n\r\n",
       "response 100 HTTP/1.1 body=none\nresponse 103 HTTP/1.1 body=none\nlink: </a>\n"
       "response end 204 HTTP/1.1 body=none\n",
       true},
      {"HEAD keeps the length that a GET would have", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
       "response end 200 HTTP/1.1 body=9\n", true},
      {"HEAD with a coding", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
       "response end 200 HTTP/1.1 body=none\n", true},
      {"304 keeps the length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
       "response end 304 HTTP/1.1 body=9\n", true},
      {"204 with length 0", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
       "response end 204 HTTP/1.1 body=none\n", true},
      {"close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
       "response end 200 HTTP/1.1 body=0\n", false},
      {"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
       "response end 200 HTTP/1.0 body=0\n", false},
      {"HTTP/1.0 with keep-alive", "GET",
       "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
       "response end 200 HTTP/1.0 body=0\n", true},
      {"hop-by-hop fields go", "GET",
       "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n"
       "Content-Length: 0\r\n\r\n",
       "response end 200 HTTP/1.1 body=0\n", true},
      {"101 and what follows", "websocket",
       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
       "Sec-WebSocket-Accept: x\r\n\r\nHTTP/1.1 \r\nraw",
       "response 101 HTTP/1.1 body=none\nsec-websocket-accept: x\ndata=HTTP/1.1 \r\nraw\n", false},
      {"a refused upgrade", "websocket", "HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\n\r\nx",
       "response 403 HTTP/1.1 body=1\ndata=x\nend\n", true},
  };
  for (const ResponseRow& row : rows) check_response(row);
}

TEST_CASE("a response whose length is the connection's ends with it and is the last") {
  check_response({"close-delimited", "GET", "HTTP/1.1 200 OK\r\n\r\nabc",
                  "response 200 HTTP/1.1 body=unknown\ndata=abc\nend\n", false},
                 true);
  check_response({"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc",
                  "response 200 HTTP/1.0 body=unknown\ndata=abc\nend\n", false},
                 true);
}

TEST_CASE("an incomplete response is never taken for a complete one") {
  const ResponseRow rows[] = {
      {"no byte", "GET", "H", "error upstream closed\n", false},
      {"in the head", "GET", "HTTP/1.1 200 OK\r\nConten", "error upstream closed\n", false},
      {"after a 1xx", "GET", "HTTP/1.1 100 Continue\r\n\r\n",
       "response 100 HTTP/1.1 body=none\nerror upstream closed\n", false},
      {"in a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
       "response 200 HTTP/1.1 body=3\ndata=ab\nerror upstream closed\n", false},
      {"in a chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
       "response 200 HTTP/1.1 body=unknown\ndata=ab\nerror upstream closed\n", false},
      {"before the last chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
       "response 200 HTTP/1.1 body=unknown\ndata=abc\nerror upstream closed\n", false},
      {"in the trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
       "response 200 HTTP/1.1 body=unknown\nerror upstream closed\n", false},
  };
  for (const ResponseRow& row : rows) check_response(row, true);
}

TEST_CASE("status lines and heads that are wrong drop the upstream connection") {
  const std::string_view rows[] = {
      "HTTP/1.1  200 OK\r\n\r\n",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1 +20 OK\r\n\r\n",
      "http/1.1 200 OK\r\n\r\n",
      "HTTP/1.1 200 O\rK\r\n\r\n",
      "HTTP/1.1 200 OK\n\n",
      "HTTP/1.1200 OK\r\n\r\n",
      " HTTP/1.1 200 OK\r\n\r\n",
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
      "HTTP/1.1\t200 OK\r\n\r\n",
      "HTTP/1.1 200 \x01\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"sv,
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
      "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
      "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\nx",
      "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\nx",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
  };
  for (const std::string_view input : rows)
    check_response({"response", "GET", input, "error upstream malformed\n", false});
  check_response({"other protocol", "websocket",
                  "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
                  "error upstream malformed\n", false});
  check_response({"Connection does not say so", "websocket", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
                  "error upstream malformed\n", false});
  check_response({"HTTP/2", "GET", "HTTP/2.0 200 OK\r\n\r\n", "error upstream unsupported\n", false});
  check_response({"unknown coding", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                  "error upstream unsupported\n", false});
}

TEST_CASE("bytes behind a response are not the next one's (response queue poisoning)") {
  const std::string_view endings[] = {
      "HTTP/1.1 204 No Content\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
  };
  for (const std::string_view response : endings) {
    INFO(response);
    ResponseDriver driver;
    driver.request("GET");
    driver.feed(std::string(response) + "HTTP/1.1 200 OK\r\n");
    REQUIRE(driver.codec.received());
    REQUIRE_FALSE(driver.codec.keep_alive());
  }
  SECTION("nor are bytes that come while nothing was asked") {
    ResponseDriver driver;
    driver.feed("H");
    REQUIRE(driver.text == "error upstream malformed\n");
  }
  SECTION("also after an exchange") {
    ResponseDriver driver;
    driver.request("GET");
    driver.feed("HTTP/1.1 204 No Content\r\n\r\n");
    REQUIRE(driver.codec.keep_alive());
    driver.codec.next();
    driver.text.clear();
    driver.feed("HTTP/1.1 204 No Content\r\n\r\n");
    REQUIRE(driver.text == "error upstream malformed\n");
  }
}

TEST_CASE("Keep-Alive's timeout is a hint") {
  const std::pair<std::string_view, int> rows[] = {
      {"timeout=5, max=100", 5},
      {"max=100, Timeout=60", 60},
      {"timeout=999999999", 86400},
      {"timeout=x", -1},
      {"max=1", -1},
  };
  for (const auto& [value, seconds] : rows) {
    INFO(value);
    ResponseDriver driver;
    driver.request("GET");
    driver.feed(std::string("HTTP/1.1 204 No Content\r\nKeep-Alive: ").append(value).append("\r\n\r\n"));
    const auto hint = driver.codec.keep_alive_timeout();
    REQUIRE((hint ? hint->count() : -1) == seconds);
  }
}

TEST_CASE("a response before the request has ended does not free the connection") {
  ResponseDriver driver;
  http::RequestHead head;
  head.set_method("POST");
  head.set_target("/");
  head.body = {http::BodySize::Kind::known, 2};
  driver.codec.write_request(head, false, driver.out);
  driver.feed("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(driver.codec.received());
  REQUIRE_FALSE(driver.codec.keep_alive());
  REQUIRE(driver.codec.open_piece(2, driver.out));
  driver.codec.close_piece(2, true, driver.out);
  REQUIRE(driver.codec.keep_alive());
}

}  // namespace sallyport::http1::test
