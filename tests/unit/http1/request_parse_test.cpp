#include "catch.hpp"
#include "drivers.hpp"

namespace sallyport::http1::test {
namespace {

struct RequestRow {
  std::string_view what;
  std::string_view input;
  std::string_view expected;
};

std::string parse(const std::vector<std::string_view>& pieces, bool tls = true) {
  RequestDriver driver({}, tls);
  for (const std::string_view piece : pieces) driver.feed(piece);
  if (!driver.kept().empty() && !driver.failed) driver.finish("kept\n");
  return driver.text;
}

void check_request(const RequestRow& row) {
  INFO(row.what);
  INFO(row.input);
  at_every_split(row.input, [&](const std::vector<std::string_view>& pieces) {
    REQUIRE(parse(pieces) == row.expected);
  });
}

// A head with these lines behind Host.
std::string with(std::string_view lines, std::string_view body = {}) {
  return std::string("POST / HTTP/1.1\r\nHost: a.test\r\n").append(lines).append("\r\n").append(body);
}

}  // namespace

TEST_CASE("requests come out in the neutral form, wherever the bytes are cut") {
  const RequestRow rows[] = {
      {"plain", "GET /a?b=c HTTP/1.1\r\nHost: A.test:8443\r\nUser-Agent: x y\r\n\r\n",
       "request end GET https://a.test:8443 /a?b=c HTTP/1.1 body=none\nuser-agent: x y\n"},
      {"white space around values", "GET / HTTP/1.1\r\nHost:a.test\r\nA: \t b\tc \t\r\nB:\r\nC:   \r\n\r\n",
       "request end GET https://a.test / HTTP/1.1 body=none\na: b\tc\nb: \nc: \n"},
      {"obs-text is carried", "GET / HTTP/1.1\r\nHost: a.test\r\nA: \xC3\xA4\xFF\r\n\r\n",
       "request end GET https://a.test / HTTP/1.1 body=none\na: \xC3\xA4\xFF\n"},
      {"unknown method", "M-SEARCH / HTTP/1.1\r\nHost: a.test\r\n\r\n",
       "request end M-SEARCH https://a.test / HTTP/1.1 body=none\n"},
      {"methods are case-sensitive", "get / HTTP/1.1\r\nHost: a.test\r\n\r\n",
       "request end get https://a.test / HTTP/1.1 body=none\n"},
      {"IPv6 literal", "GET / HTTP/1.1\r\nHost: [2001:DB8::1]:443\r\n\r\n",
       "request end GET https://[2001:db8::1]:443 / HTTP/1.1 body=none\n"},
      {"a length", "PUT /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
       "request PUT https://a.test /x HTTP/1.1 body=5\ndata=hello\nend\n"},
      {"length 0", "PUT /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
       "request end PUT https://a.test /x HTTP/1.1 body=0\n"},
      {"chunks",
       "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n"
       "5\r\nhello\r\n00a;n=v;q=\"z\"\r\n 123456789\r\n0\r\n\r\n",
       "request POST https://a.test /x HTTP/1.1 body=unknown\ndata=hello 123456789\nend\n"},
      {"trailers",
       "POST /x HTTP/1.1\r\nHost: a.test\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
       "1\r\na\r\n0\r\nX-Sum: 9\r\nY: \r\n\r\n",
       "request POST https://a.test /x HTTP/1.1 body=unknown\ntrailer: X-Sum\ndata=a\ntrailers\nx-sum: 9\ny: "
       "\n"},
      {"trailers that frame, route or authenticate are dropped",
       "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
       "0\r\nContent-Length: 9\r\nHost: b.test\r\nAuthorization: x\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n",
       "request POST https://a.test /x HTTP/1.1 body=unknown\nend\n"},
      {"hop-by-hop and Connection-listed fields go",
       "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, X-Hop ,,TE\r\nX-Hop: 1\r\nx-hop: 2\r\n"
       "Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip, Trailers\r\nX-Stays: 3\r\n\r\n",
       "request end GET https://a.test / HTTP/1.1 body=none trailers_ok\nx-stays: 3\n"},
      {"an offer of h2c is ignored and not passed on",
       "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
       "HTTP2-Settings: AAMAAABk\r\n\r\n",
       "request end GET https://a.test / HTTP/1.1 body=none\n"},
      {"expectation", "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\nx",
       "request PUT https://a.test / HTTP/1.1 body=1 expect\ndata=x\nend\n"},
      {"an expectation without a body means nothing",
       "GET / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n\r\n",
       "request end GET https://a.test / HTTP/1.1 body=none\n"},
      {"absolute form", "GET HTTPS://A.test/x?y HTTP/1.1\r\nHost: a.TEST\r\n\r\n",
       "request end GET https://a.test /x?y HTTP/1.1 body=none\n"},
      {"absolute form without a path", "GET https://a.test?y HTTP/1.1\r\nHost: a.test\r\n\r\n",
       "request end GET https://a.test /?y HTTP/1.1 body=none\n"},
      {"absolute form of the asterisk", "OPTIONS https://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
       "request end OPTIONS https://a.test * HTTP/1.1 body=none\n"},
      {"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
       "request end OPTIONS https://a.test * HTTP/1.1 body=none\n"},
      {"TRACE is for the proxy to refuse", "TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n",
       "request end TRACE https://a.test / HTTP/1.1 body=none\n"},
      {"HTTP/1.0 without Host closes", "GET / HTTP/1.0\r\n\r\n",
       "request end GET https:// / HTTP/1.0 body=none\nclose\n"},
      {"HTTP/1.0 keeps alive on request",
       "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: a.test\r\n\r\n",
       "request end GET https:// / HTTP/1.0 body=none\n"
       "request end GET https://a.test /2 HTTP/1.0 body=none\nclose\n"},
      {"Connection: close is the last", "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Close\r\n\r\nGET /2",
       "request end GET https://a.test / HTTP/1.1 body=none\nclose\n"},
      {"pipelined requests",
       "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: "
       "2\r\n\r\nok"
       "POST /3 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
       "GET /4 HTTP/1.1\r\nHost: a.test\r\n\r\n",
       "request end GET https://a.test /1 HTTP/1.1 body=none\n"
       "request POST https://a.test /2 HTTP/1.1 body=2\ndata=ok\nend\n"
       "request POST https://a.test /3 HTTP/1.1 body=unknown\ndata=x\nend\n"
       "request end GET https://a.test /4 HTTP/1.1 body=none\n"},
      {"an unfinished head is kept", "GET / HTTP/1.1\r\nHost: a.test\r\n\r", "kept\n"},
  };
  for (const RequestRow& row : rows) check_request(row);
}

TEST_CASE("request lines that others read differently are refused") {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"GET  / HTTP/1.1\r\n", "malformed"},
      {"GET /  HTTP/1.1\r\n", "malformed"},
      {"GET\t/ HTTP/1.1\r\n", "malformed"},
      {" GET / HTTP/1.1\r\n", "malformed"},
      {"\r\nGET / HTTP/1.1\r\n", "malformed"},
      {"GET / HTTP/1.1 \r\n", "malformed"},
      {"GET / HTTP/1.1\n", "malformed"},
      {"GET / HTTP/1.1\r\r\n", "malformed"},
      {"GET /\r\n", "malformed"},
      {"GET / http/1.1\r\n", "malformed"},
      {"GET / HTTP/1.2\r\n", "unsupported"},
      {"GET / HTTP/2.0\r\n", "unsupported"},
      {"GET / HTTP/0.9\r\n", "unsupported"},
      {"GET / HTTP/1.x\r\n", "malformed"},
      {"GET / HTTP/11\r\n", "malformed"},
      {"GET / HTTP/1.10\r\n", "malformed"},
      {"GET / HTCPCP/1.0\r\n", "malformed"},
      {"G(T / HTTP/1.1\r\n", "malformed"},
      {"GET /a#b HTTP/1.1\r\n", "malformed"},
      {"GET /\x7F HTTP/1.1\r\n", "malformed"},
      {"GET /\xC3\xA4 HTTP/1.1\r\n", "malformed"},
      {"GET /a\x01 HTTP/1.1\r\n", "malformed"},
      {"GET /a\0b HTTP/1.1\r\n"sv, "malformed"},
      {"GET a HTTP/1.1\r\n", "malformed"},
      {"GET * HTTP/1.1\r\n", "malformed"},
      {"GET a.test:443 HTTP/1.1\r\n", "malformed"},
      {"CONNECT a.test:443 HTTP/1.1\r\n", "unsupported"},
      {"GET https://b.test/ HTTP/1.1\r\n", "malformed"},
      {"GET https://a.test:443/ HTTP/1.1\r\n", "malformed"},
      {"GET http://a.test/ HTTP/1.1\r\n", "malformed"},
      {"GET ftp://a.test/ HTTP/1.1\r\n", "malformed"},
      {"GET https://u@a.test/ HTTP/1.1\r\n", "malformed"},
      {"GET https:///x HTTP/1.1\r\n", "malformed"},
      {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n", "malformed"},
      {"\x16\x03\x01\x02 / HTTP/1.1\r\n", "malformed"},
  };
  for (const auto& [line, code] : rows) {
    const std::string input = std::string(line) + "Host: a.test\r\n\r\n";
    check_request({"request line", input, std::string("error client ").append(code).append("\n")});
  }
}

TEST_CASE("field lines that hide a field, or a request, are refused") {
  const std::string_view rows[] = {
      "A : b\r\n",
      "A\t: b\r\n",
      " A: b\r\n",
      "A: b\r\n c\r\n",
      "A: b\r\n\tc\r\n",
      ": b\r\n",
      "A\r\n",
      "A b\r\n",
      "A: b\n",
      "A: b\rC: d\r\n",
      "A: b\r\r\n",
      "A: b\n\r\n",
      "A(: b\r\n",
      "\xC3: b\r\n",
      "A: \x7F\r\n",
      "A: \x01\r\n",
      "A: b\x0B\r\n",
      "A\r\n: b\r\n",
      "A: b\0c\r\n"sv,
      "A\0: b\r\n"sv,
      "\0: b\r\n"sv,
      "Connection: \"close\"\r\n",
      "Connection: a b\r\n",
      "Expect: 200-maybe\r\n",
      "Expect: y 100-continue\r\n",
      "Expect:\r\n",
      "Expect: 100-continue\r\nExpect: 100-continue\r\n",
  };
  for (const std::string_view line : rows)
    check_request({"field line", with(line), "error client malformed\n"});
}

TEST_CASE("a missing, repeated or malformed Host is refused") {
  const std::string_view rows[] = {
      "",
      "Host:\r\n",
      "Host: a.test\r\nHost: a.test\r\n",
      "Host: a.test\r\nHost: b.test\r\n",
      "Host: a.test,b.test\r\n",
      "Host: u@a.test\r\n",
      "Host: a.test/x\r\n",
      "Host: a.test:\r\n",
      "Host: a.test:0\r\n",
      "Host: a.test:65536\r\n",
      "Host: a.test:+1\r\n",
      "Host: a.test:80:80\r\n",
      "Host: a test\r\n",
      "Host: a%2etest\r\n",
      "Host: a..test\r\n",
      "Host: .a\r\n",
      "Host: [::1\r\n",
      "Host: ::1\r\n",
      "Host: [::1]x\r\n",
      "Host: [fe80::1%25eth0]\r\n",
      "Host: [1.2.3.4]\r\n",
      "Host: \xC3\xA4.test\r\n",
      "Host: a?b\r\n",
      "Host: a#b\r\n",
      "Host: a\\b\r\n",
  };
  for (const std::string_view lines : rows) {
    const std::string input = std::string("GET / HTTP/1.1\r\n").append(lines).append("\r\n");
    check_request({"host", input, "error client malformed\n"});
  }
  check_request(
      {"two in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "error client malformed\n"});
}

TEST_CASE("a body's length that can be read in two ways is refused (request smuggling)") {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "malformed"},
      {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "malformed"},
      {"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "malformed"},
      {"Content-Length: 3\r\nContent-Length: 4\r\n", "malformed"},
      {"Content-Length: 3\r\nContent-Length: 3\r\n", "malformed"},
      {"Content-Length: 3, 3\r\n", "malformed"},
      {"Content-Length: 3,\r\n", "malformed"},
      {"Content-Length: +3\r\n", "malformed"},
      {"Content-Length: -3\r\n", "malformed"},
      {"Content-Length: 0x3\r\n", "malformed"},
      {"Content-Length: 3.0\r\n", "malformed"},
      {"Content-Length: 3 3\r\n", "malformed"},
      {"Content-Length: \r\n", "malformed"},
      {"Content-Length: 3a\r\n", "malformed"},
      {"Content-Length: 9223372036854775808\r\n", "malformed"},
      {"Content-Length: 18446744073709551619\r\n", "malformed"},
      {"Content-Length: 00000000000000000003\r\n", "malformed"},
      {"Transfer-Encoding: xchunked\r\n", "malformed"},
      {"Transfer-Encoding: identity\r\n", "malformed"},
      {"Transfer-Encoding: chunked, identity\r\n", "malformed"},
      {"Transfer-Encoding: gzip\r\n", "malformed"},
      {"Transfer-Encoding: gzip, chunked\r\n", "unsupported"},
      {"Transfer-Encoding: , chunked\r\n", "malformed"},
      {"Transfer-Encoding: chunked,\r\n", "malformed"},
      {"Transfer-Encoding: gzip,\t, chunked\r\n", "malformed"},
      {"Transfer-Encoding: gzip;q=1, chunked\r\n", "malformed"},
      {"Transfer-Encoding: chunked, chunked\r\n", "malformed"},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "malformed"},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "malformed"},
      {"Transfer-Encoding: chunked;q=1\r\n", "malformed"},
      {"Transfer-Encoding: \"chunked\"\r\n", "malformed"},
      {"Transfer-Encoding: chunk ed\r\n", "malformed"},
      {"Transfer-Encoding:\r\n", "malformed"},
      {"Transfer-Encoding: ,\r\n", "malformed"},
      {"Transfer-Encoding: \x0B"
       "chunked\r\n",
       "malformed"},
      {"Transfer-Encoding : chunked\r\n", "malformed"},
      {"Transfer-Encoding\r\n: chunked\r\n", "malformed"},
      {"Transfer-Encoding:\r\n chunked\r\n", "malformed"},
  };
  for (const auto& [lines, code] : rows)
    check_request(
        {"framing", with(lines, "0\r\n\r\n"), std::string("error client ").append(code).append("\n")});
  check_request({"coding in HTTP/1.0",
                 "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 "error client malformed\n"});
}

TEST_CASE("chunks that can be read in two ways are refused") {
  const std::string head = with("Transfer-Encoding: chunked\r\n");
  const std::string_view rows[] = {
      "0x3\r\nabc\r\n",
      "+3\r\nabc\r\n",
      "-3\r\nabc\r\n",
      " 3\r\nabc\r\n",
      "3 \r\nabc\r\n",
      "3\nabc\r\n",
      "3\r\r\nabc\r\n",
      "3;x\nabc\r\n",
      "3;x\x01\r\nabc\r\n",
      "3;x\xFF\r\nabc\r\n",
      "3;x\ry\r\nabc\r\n",
      "\r\n",
      ";x\r\n",
      "g\r\n",
      "8000000000000000\r\n",
      "10000000000000000\r\n",
      "00000000000000003\r\nabc\r\n",
      "fffffffffffffffff\r\n",
      "3 ;x\r\nabc\r\n",
  };
  for (const std::string_view body : rows)
    check_request({"chunk", head + std::string(body) + "0\r\n\r\n",
                   "request POST https://a.test / HTTP/1.1 body=unknown\n"
                   "error client malformed\n"});
  // The data before the fault was good.
  const std::string_view late[] = {"3\r\nabcd\r\n", "3\r\nabc\n", "3\r\nabc\r\r\n", "3\r\nabc0\r\n\r\n"};
  for (const std::string_view body : late)
    check_request({"chunk end", head + std::string(body),
                   "request POST https://a.test / HTTP/1.1 body=unknown\n"
                   "data=abc\nerror client malformed\n"});
  const std::string_view trailers[] = {"0\r\nA : b\r\n\r\n",      "0\r\n A: b\r\n\r\n",
                                       "0\r\nA: b\n\r\n",         "0\r\n\n",
                                       "0\r\nA: b\r\n c\r\n\r\n", "0\r\n\r\r\n"};
  for (const std::string_view body : trailers)
    check_request({"trailers", head + std::string(body),
                   "request POST https://a.test / HTTP/1.1 body=unknown\n"
                   "error client malformed\n"});
}

TEST_CASE("nothing behind an error is parsed") {
  RequestDriver driver;
  driver.feed("GET / HTTP/1.1\r\n\r\n");
  REQUIRE(driver.text == "error client malformed\n");
  const std::string_view more = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
  REQUIRE(driver.codec.receive({more.data(), more.size()}, driver) == 0);
  REQUIRE(driver.text == "error client malformed\n");
  REQUIRE_FALSE(driver.codec.keep_alive());
  http::ResponseHead refusal;
  refusal.status = 400;
  driver.codec.write_response(refusal, true, driver.out);
  REQUIRE(driver.out.view() == "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

TEST_CASE("the scheme is the connection's") {
  REQUIRE(parse({"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"}, false) ==
          "request end GET http://a.test / HTTP/1.1 body=none\n");
  REQUIRE(parse({"GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"}, false) ==
          "error client malformed\n");
}

}  // namespace sallyport::http1::test
