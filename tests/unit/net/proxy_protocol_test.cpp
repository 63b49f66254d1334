#include "sallyport/net/proxy_protocol.hpp"

#include <string>

#include "catch.hpp"

namespace {

using namespace sallyport;
using net::ProxyProtocol;
using State = ProxyProtocol::State;

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int v : values) text += static_cast<char>(v);
  return text;
}

std::string v2(int version_command, int family, const std::string& rest) {
  return kSignature +
         bytes({version_command, family, static_cast<int>(rest.size() >> 8),
                static_cast<int>(rest.size() & 0xff)}) +
         rest;
}

const std::string kPairV4 = bytes({192, 0, 2, 1, 198, 51, 100, 2, 0xde, 0xad, 0x01, 0xbb});

std::string pair_v6() {
  std::string text = bytes({0x20, 0x01, 0x0d, 0xb8}) + std::string(11, '\0') + bytes({1});
  text += bytes({0x20, 0x01, 0x0d, 0xb8}) + std::string(11, '\0') + bytes({2});
  return text + bytes({0xde, 0xad, 0x01, 0xbb});
}

// Feeds `head` and then "GET /", cut in two at every place, and byte by byte: the outcome must
// be the same, and nothing of what follows the header may be eaten.
ProxyProtocol parse_at_every_split(const std::string& head) {
  const std::string tail = "GET / HTTP/1.1\r\n";
  const std::string all = head + tail;
  ProxyProtocol whole;
  const std::size_t taken = whole.consume(all);
  if (whole.state() == State::done) CHECK(taken == head.size());
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    ProxyProtocol parser;
    std::size_t n = parser.consume(std::string_view(all).substr(0, cut));
    n += parser.consume(std::string_view(all).substr(n));
    CHECK(n == taken);
    CHECK(parser.state() == whole.state());
    CHECK(parser.header().has_addresses == whole.header().has_addresses);
    CHECK(parser.header().source == whole.header().source);
    CHECK(parser.header().destination == whole.header().destination);
    CHECK(parser.why() == whole.why());
  }
  ProxyProtocol trickle;
  for (const char& c : all) trickle.consume({&c, 1});
  CHECK(trickle.state() == whole.state());
  CHECK(trickle.header().source == whole.header().source);
  return whole;
}

}  // namespace

TEST_CASE("PROXY v1: TCP4 and TCP6 carry both ends") {
  const auto four = parse_at_every_split("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
  REQUIRE(four.state() == State::done);
  CHECK(four.header().has_addresses);
  CHECK(four.header().source.to_string() == "192.0.2.1:56324");
  CHECK(four.header().destination.to_string() == "198.51.100.2:443");

  const auto six = parse_at_every_split("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n");
  REQUIRE(six.state() == State::done);
  CHECK(six.header().source.to_string() == "[2001:db8::1]:1");
  CHECK(six.header().destination.to_string() == "[2001:db8::2]:65535");
}

TEST_CASE("PROXY v1: a v4-mapped client is its IPv4 address") {
  const auto parser = parse_at_every_split("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 0 80\r\n");
  REQUIRE(parser.state() == State::done);
  CHECK(parser.header().source.to_string() == "192.0.2.1:0");
}

TEST_CASE("PROXY v1: the longest line of the specification is taken, one byte more is not") {
  const std::string longest =
      "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
      "65535\r\n";
  REQUIRE(longest.size() == ProxyProtocol::kMaxV1);
  const auto parser = parse_at_every_split(longest);
  CHECK(parser.state() == State::done);
  CHECK_FALSE(parser.header().has_addresses);
  const auto over = parse_at_every_split("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n");
  CHECK(over.state() == State::error);
}

TEST_CASE("PROXY v1: UNKNOWN keeps the connection's own addresses") {
  CHECK(parse_at_every_split("PROXY UNKNOWN\r\n").state() == State::done);
  const auto parser = parse_at_every_split("PROXY UNKNOWN garbage of any kind\r\n");
  CHECK(parser.state() == State::done);
  CHECK_FALSE(parser.header().has_addresses);
}

TEST_CASE("PROXY v1: anything that could be read in two ways is refused (spoofed source addresses)") {
  const std::string line =
      GENERATE(as<std::string>{}, "GET / HTTP/1.1\r\n", "proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
               "PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
               "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rX", "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
               "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
               "PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
               "PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
               "PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
               "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY TCP6 2001:db8::1 198.51.100.2 1 2\r\n",
               "PROXY TCP4 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", "PROXY TCP4\r\n", "PROXY \r\n",
               "PROXY\r\n", "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY UNKNOWNS\r\n");
  INFO(line);
  const auto parser = parse_at_every_split(line);
  CHECK(parser.state() == State::error);
  CHECK_FALSE(parser.why().empty());
  CHECK_FALSE(parser.header().has_addresses);
}

TEST_CASE("PROXY v2: both families, stream and datagram alike") {
  const auto four = parse_at_every_split(v2(0x21, 0x11, kPairV4));
  REQUIRE(four.state() == State::done);
  CHECK(four.header().source.to_string() == "192.0.2.1:57005");
  CHECK(four.header().destination.to_string() == "198.51.100.2:443");
  const auto six = parse_at_every_split(v2(0x21, 0x21, pair_v6()));
  REQUIRE(six.state() == State::done);
  CHECK(six.header().source.to_string() == "[2001:db8::1]:57005");
  CHECK(six.header().destination.to_string() == "[2001:db8::2]:443");
}

TEST_CASE("PROXY v2: TLVs are skipped, to the last byte and no further") {
  for (const std::size_t size : {std::size_t{3}, std::size_t{300}, ProxyProtocol::kMaxV2 - 16 - 12}) {
    const auto parser = parse_at_every_split(v2(0x21, 0x11, kPairV4 + std::string(size, '\x04')));
    REQUIRE(parser.state() == State::done);
    CHECK(parser.header().source.port == 57005);
  }
}

TEST_CASE("PROXY v2: LOCAL, UNSPEC and UNIX keep the connection's own addresses") {
  for (const std::string& head :
       {v2(0x20, 0x00, ""), v2(0x20, 0x11, kPairV4), v2(0x20, 0x11, "x"), v2(0x21, 0x00, ""),
        v2(0x21, 0x00, "any"), v2(0x21, 0x31, std::string(216, '/'))}) {
    const auto parser = parse_at_every_split(head);
    CHECK(parser.state() == State::done);
    CHECK_FALSE(parser.header().has_addresses);
  }
}

TEST_CASE("PROXY v2: broken headers are refused") {
  std::string wrong_signature = v2(0x21, 0x11, kPairV4);
  wrong_signature[11] = 'X';
  for (const std::string& head :
       {wrong_signature, v2(0x11, 0x11, kPairV4), v2(0x31, 0x11, kPairV4), v2(0x22, 0x11, kPairV4),
        v2(0x21, 0x11, kPairV4.substr(1)), v2(0x21, 0x21, kPairV4), v2(0x21, 0x11, std::string(4081, 'x'))}) {
    const auto parser = parse_at_every_split(head);
    CHECK(parser.state() == State::error);
    CHECK_FALSE(parser.header().has_addresses);
  }
}

TEST_CASE("PROXY: an unfinished header wants more, and a finished one takes nothing more") {
  ProxyProtocol parser;
  CHECK(parser.consume(std::string_view("PROXY TCP4 ")) == 11);
  CHECK(parser.state() == State::more);
  CHECK(parser.consume({}) == 0);
  CHECK(parser.consume(std::string_view("192.0.2.1 192.0.2.2 1 2\r\n")) == 25);
  CHECK(parser.state() == State::done);
  CHECK(parser.consume(std::string_view("PROXY ")) == 0);
}
