// Boost.Beast's parser as a second opinion: a plain request that it refuses must not pass here.
// (It accepts several that we refuse: those are in request_parse_test.cpp.)
#include <random>

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "catch.hpp"
#include "drivers.hpp"

namespace sallyport::http1::test {
namespace {

bool beast_takes_head(std::string_view input) {
  namespace bh = boost::beast::http;
  bh::request_parser<bh::empty_body> parser;
  boost::beast::error_code error;
  parser.put(boost::asio::const_buffer(input.data(), input.size()), error);
  return !error && parser.is_header_done();
}

bool we_take_head(std::string_view input) {
  RequestDriver driver;
  driver.answer = false;
  driver.feed(input);
  return driver.text.starts_with("request");
}

}  // namespace

TEST_CASE("mutated requests: what Beast refuses we refuse") {
  const std::string seed =
      "GET /path?q=1 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: x y z\r\nAccept: */*\r\nX-Long: "
      "aaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
  constexpr std::string_view kBytes(" \t\r\n:\0\x7F/.0Aaz-\x80", 15);
  std::mt19937 random(20240229);  // a fixed seed: the same inputs every time
  std::size_t taken = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string input = seed;
    const std::size_t changes = 1 + random() % 2;
    for (std::size_t i = 0; i < changes; ++i) {
      const std::size_t at = random() % input.size();
      const char byte = kBytes[random() % kBytes.size()];
      switch (random() % 3) {
        case 0:
          input[at] = byte;
          break;
        case 1:
          input.insert(at, 1, byte);
          break;
        default:
          input.erase(at, 1);
          break;
      }
    }
    if (!we_take_head(input)) continue;
    ++taken;
    INFO(input);
    REQUIRE(beast_takes_head(input));
  }
  CHECK(taken > 1000);
}

}  // namespace sallyport::http1::test
