#include "sallyport/net/address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "catch.hpp"

namespace {
using namespace sallyport;
using net::Endpoint;
using net::IpAddress;
}  // namespace

TEST_CASE("addresses: text to value and back, in canonical form") {
  const auto [text, canonical] = GENERATE(table<std::string, std::string>({
      {"0.0.0.0", "0.0.0.0"},
      {"192.0.2.255", "192.0.2.255"},
      {"::", "::"},
      {"::1", "::1"},
      {"2001:DB8:0:0::1", "2001:db8::1"},
      {"::ffff:192.0.2.1", "192.0.2.1"},
      {"::ffff:c000:201", "192.0.2.1"},
      {"2001:0db8:0000:0000:0000:0000:255.255.255.255", "2001:db8::ffff:ffff"},
  }));
  INFO(text);
  const auto address = IpAddress::parse(text);
  REQUIRE(address);
  CHECK(address->to_string() == canonical);
  CHECK(IpAddress::parse(canonical) == address);
}

TEST_CASE("addresses: what is not exactly one is refused") {
  const std::string text =
      GENERATE("", "1", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "0x7f.0.0.1",
               ":::", "1::2::3", "fe80::1%eth0", "[::1]", "12345::", "localhost", "1.2.3.4:80",
               "2001:0db8:0000:0000:0000:0000:255.255.255.2555");
  INFO(text);
  CHECK_FALSE(IpAddress::parse(text));
}

TEST_CASE("addresses: an embedded NUL does not hide what follows it") {
  CHECK_FALSE(IpAddress::parse(std::string_view("127.0.0.1\0.evil", 15)));
}

TEST_CASE("a v4-mapped address is its IPv4 address, so that no rule is passed by writing it so") {
  const auto mapped = IpAddress::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3});
  CHECK(mapped.is_v4());
  CHECK(mapped == IpAddress::v4({10, 1, 2, 3}));
  CHECK(IpAddress::parse("::ffff:127.0.0.1")->is_loopback());
  CHECK_FALSE(IpAddress::parse("::ffff:0:127.0.0.1")->is_v4());
}

TEST_CASE("loopback is 127.0.0.0/8 and ::1") {
  CHECK(IpAddress::parse("127.255.0.9")->is_loopback());
  CHECK(IpAddress::parse("::1")->is_loopback());
  CHECK_FALSE(IpAddress::parse("::2")->is_loopback());
  CHECK_FALSE(IpAddress::parse("1::1")->is_loopback());
  CHECK_FALSE(IpAddress::parse("128.0.0.1")->is_loopback());
}

TEST_CASE("endpoints: text to value and back") {
  const std::string text = GENERATE("192.0.2.1:80", "0.0.0.0:0", "[::]:443", "[2001:db8::1]:65535");
  const auto endpoint = Endpoint::parse(text);
  REQUIRE(endpoint);
  CHECK(endpoint->to_string() == text);
}

TEST_CASE("endpoints: what is ambiguous or broken is refused") {
  const std::string text =
      GENERATE("", ":80", "80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1",
               "1.2.3.4:8 0", "::1:80", "[::1]", "[::1]80", "[::1:80", "[1.2.3.4]:80", "[]:80", "host:80");
  INFO(text);
  CHECK_FALSE(Endpoint::parse(text));
}

TEST_CASE("endpoints: from what the kernel says") {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(8080);
  four.sin_addr.s_addr = htonl(0xc0000201);
  CHECK(Endpoint::from(reinterpret_cast<sockaddr*>(&four)).to_string() == "192.0.2.1:8080");

  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(443);
  ::inet_pton(AF_INET6, "::ffff:198.51.100.7", &six.sin6_addr);
  CHECK(Endpoint::from(reinterpret_cast<sockaddr*>(&six)).to_string() == "198.51.100.7:443");

  sockaddr unix_peer{};
  unix_peer.sa_family = AF_UNIX;
  CHECK(Endpoint::from(&unix_peer) == Endpoint{});
}
