#include "catch.hpp"
#include "drivers.hpp"

namespace sallyport::http1::test {
namespace {

Limits small() {
  Limits limits;
  limits.head_bytes = 200;
  limits.field_bytes = 60;
  limits.target_bytes = 40;
  limits.fields = 5;
  limits.chunk_line_bytes = 20;
  limits.extension_bytes = 30;
  limits.trailer_bytes = 80;
  limits.trailers = 2;
  limits.informational = 2;
  return limits;
}

std::string parse_within(std::string_view input, const Limits& limits = small()) {
  std::string whole;
  at_every_split(input, [&](const std::vector<std::string_view>& pieces) {
    RequestDriver driver(limits);
    for (const std::string_view piece : pieces) driver.feed(piece);
    if (pieces.size() == 1) whole = driver.text;
    REQUIRE(driver.text == whole);
  });
  return whole;
}

std::string repeat(std::size_t n, std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out.append(text);
  return out;
}

bool accepted(std::string_view transcript) {
  return transcript.starts_with("request");
}

}  // namespace

TEST_CASE("a target up to its limit passes, one byte more is too long, also before it ends") {
  const std::string tail = " HTTP/1.1\r\nHost: a\r\n\r\n";
  CHECK(accepted(parse_within("GET /" + std::string(39, 'a') + tail)));
  CHECK(parse_within("GET /" + std::string(40, 'a') + tail) == "error client uri_too_long\n");
  CHECK(parse_within("GET /" + std::string(40, 'a')) == "error client uri_too_long\n");
}

TEST_CASE("field lines, their number and a head as a whole have bounds, also before they end") {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\n";
  CHECK(accepted(parse_within(start + "N: " + std::string(57, 'v') + "\r\n\r\n")));
  CHECK(parse_within(start + "N: " + std::string(58, 'v') + "\r\n\r\n") == "error client head_too_large\n");
  CHECK(parse_within(start + std::string(61, 'n')) == "error client head_too_large\n");
  CHECK(accepted(parse_within(start + repeat(4, "a: b\r\n") + "\r\n")));
  CHECK(parse_within(start + repeat(5, "a: b\r\n") + "\r\n") == "error client head_too_large\n");
  const std::string filler = "a: " + std::string(52, 'v') + "\r\n";  // 57 bytes
  const std::string most = start + filler + filler + filler;         // 25 + 171
  CHECK(accepted(parse_within(most + "\r\n")));
  CHECK(parse_within(most + "b:\r\n\r\n") == "error client head_too_large\n");
}

TEST_CASE("a head of exactly head_bytes passes") {
  Limits limits = small();
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  limits.head_bytes = head.size();
  CHECK(accepted(parse_within(head, limits)));
  limits.head_bytes = head.size() - 1;
  CHECK(parse_within(head, limits) == "error client head_too_large\n");
}

TEST_CASE("chunk extensions have bounds, by line and by message (CPU for nothing)") {
  const std::string start = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  const auto chunk = [](std::size_t n) { return "1;" + std::string(n, 'x') + "\r\na\r\n"; };
  const std::string head = "request POST https://a / HTTP/1.1 body=unknown\n";
  CHECK(parse_within(start + chunk(18) + "0\r\n\r\n") == head + "data=a\nend\n");
  CHECK(parse_within(start + chunk(19) + "0\r\n\r\n") == head + "error client malformed\n");
  CHECK(parse_within(start + chunk(9) + chunk(9) + chunk(9) + "0\r\n\r\n") == head + "data=aaa\nend\n");
  CHECK(parse_within(start + chunk(9) + chunk(9) + chunk(10) + "0\r\n\r\n") ==
        head + "data=aa\nerror client malformed\n");
}

TEST_CASE("trailers have bounds, also before they end") {
  const std::string start = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
  const std::string head = "request POST https://a / HTTP/1.1 body=unknown\n";
  CHECK(parse_within(start + "a: b\r\nc: d\r\n\r\n") == head + "trailers\na: b\nc: d\n");
  CHECK(parse_within(start + "a: b\r\nc: d\r\ne: f\r\n\r\n") == head + "error client head_too_large\n");
  CHECK(parse_within(start + "a: " + std::string(50, 'x') + "\r\nc: " + std::string(50, 'x')) ==
        head + "error client head_too_large\n");
}

TEST_CASE("Connection options have a bound: each costs a walk over the fields") {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nConnection: ";
  CHECK(accepted(parse_within(start + repeat(32, "a,") + "\r\n\r\n", Limits{})));
  CHECK(parse_within(start + repeat(33, "a,") + "\r\n\r\n", Limits{}) == "error client malformed\n");
  CHECK(parse_within(start + std::string(129, 'a') + "\r\n\r\n", Limits{}) == "error client malformed\n");
}

TEST_CASE("informational responses have a bound (1xx flood)") {
  ResponseDriver driver(small());
  driver.request("GET");
  driver.feed(repeat(2, "HTTP/1.1 103 Early Hints\r\n\r\n") + "HTTP/1.1 204 No Content\r\n\r\n");
  CHECK_FALSE(driver.failed);
  driver.codec.next();
  driver.request("GET");
  driver.feed(repeat(3, "HTTP/1.1 103 Early Hints\r\n\r\n"));
  CHECK(driver.failed);
  CHECK(driver.text.ends_with("error upstream interim_flood\n"));
}

}  // namespace sallyport::http1::test
