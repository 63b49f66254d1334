#include "sallyport/net/cidr.hpp"

#include <string>
#include <vector>

#include "catch.hpp"

namespace {

using namespace sallyport;
using net::Cidr;
using net::CidrSet;
using net::IpAddress;

CidrSet set_of(const std::vector<std::string>& texts) {
  std::vector<Cidr> blocks;
  for (const std::string& text : texts) {
    INFO(text);
    const auto block = Cidr::parse(text);
    REQUIRE(block.has_value());
    blocks.push_back(*block);
  }
  return CidrSet(blocks);
}

bool contains(const CidrSet& set, const char* address) {
  return set.contains(IpAddress::parse(address).value());
}

}  // namespace

TEST_CASE("CIDR: blocks and single addresses") {
  const auto [text, canonical] = GENERATE(table<std::string, std::string>({
      {"192.0.2.0/24", "192.0.2.0/24"},
      {"192.0.2.1", "192.0.2.1/32"},
      {"0.0.0.0/0", "0.0.0.0/0"},
      {"::/0", "::/0"},
      {"2001:db8::/29", "2001:db8::/29"},
      {"2001:db8::1", "2001:db8::1/128"},
      {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
      {"::ffff:0:0/96", "0.0.0.0/0"},
  }));
  INFO(text);
  const auto block = Cidr::parse(text);
  REQUIRE(block.has_value());
  CHECK(block->to_string() == canonical);
}

TEST_CASE("CIDR: errors say what is wrong, and what was probably meant") {
  const auto [text, word] = GENERATE(table<std::string, std::string>({
      {"", "not an IP address"},
      {"10.0.0/8", "not an IP address"},
      {"example.com", "not an IP address"},
      {"10.0.0.0/", "from 0 to 32"},
      {"10.0.0.0/33", "from 0 to 32"},
      {"10.0.0.0/08", "from 0 to 32"},
      {"10.0.0.0/+8", "from 0 to 32"},
      {"10.0.0.0/8/8", "from 0 to 32"},
      {"10.0.0.0/ 8", "from 0 to 32"},
      {"2001:db8::/129", "from 0 to 128"},
      {"10.0.0.1/8", "did you mean \"10.0.0.0/8\""},
      {"192.0.2.128/24", "did you mean \"192.0.2.0/24\""},
      {"2001:db8::1/64", "did you mean \"2001:db8::/64\""},
      {"::ffff:0:0/95", "did you mean \"::fffe:0:0/95\""},
  }));
  INFO(text);
  const auto block = Cidr::parse(text);
  REQUIRE(block.has_error());
  INFO(block.error());
  CHECK(block.error().find(word) != std::string::npos);
  CHECK(block.error().find('"' + text + '"') == 0);
}

TEST_CASE("a set contains exactly its blocks, up to both edges") {
  const CidrSet set =
      set_of({"173.245.48.0/20", "10.0.0.0/8", "192.0.2.7", "2606:4700::/32", "2a06:98c0::/29"});
  for (const char* inside :
       {"173.245.48.0", "173.245.63.255", "10.0.0.0", "10.255.255.255", "192.0.2.7",
        "2606:4700::", "2606:4700:ffff:ffff:ffff:ffff:ffff:ffff", "2a06:98c7::1", "::ffff:10.2.3.4"}) {
    INFO(inside);
    CHECK(contains(set, inside));
  }
  for (const char* outside :
       {"173.245.47.255", "173.245.64.0", "9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8",
        "2606:46ff:ffff:ffff:ffff:ffff:ffff:ffff", "2606:4701::", "2a06:98c8::", "::", "::10.0.0.1"}) {
    INFO(outside);
    CHECK_FALSE(contains(set, outside));
  }
}

TEST_CASE("nested, repeated and unordered blocks are one set") {
  CHECK(set_of({"10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "10.255.255.255"}) == set_of({"10.0.0.0/8"}));
  const CidrSet set = set_of({"10.0.0.0/8", "10.0.0.0/16", "12.0.0.0/8"});
  CHECK(contains(set, "10.200.0.1"));
  CHECK_FALSE(contains(set, "11.0.0.0"));
  CHECK(contains(set, "12.0.0.0"));
}

TEST_CASE("an IPv6 block, however wide, does not trust IPv4 peers") {
  const CidrSet all_v6 = set_of({"::/0"});
  CHECK(contains(all_v6, "::1"));
  CHECK_FALSE(contains(all_v6, "192.0.2.1"));
  CHECK_FALSE(contains(set_of({"::fffe:0:0/95"}), "192.0.2.1"));
  CHECK(contains(set_of({"::fffe:0:0/95"}), "::fffe:1:2"));
  CHECK_FALSE(contains(set_of({"0.0.0.0/0"}), "::1"));
}

TEST_CASE("the empty set contains nothing") {
  const CidrSet none;
  CHECK(none.empty());
  CHECK_FALSE(contains(none, "0.0.0.0"));
  CHECK_FALSE(contains(none, "::"));
}

TEST_CASE("every prefix length has its edges where they belong") {
  const auto base_v4 = IpAddress::parse("170.170.170.170").value();
  for (unsigned prefix = 0; prefix <= 32; ++prefix) {
    auto network = base_v4.bytes();
    auto flipped = base_v4.bytes();
    for (unsigned bit = prefix; bit < 32; ++bit) {
      network[12 + bit / 8] = static_cast<std::uint8_t>(network[12 + bit / 8] & ~(0x80U >> bit % 8));
    }
    if (prefix > 0) {
      const unsigned bit = prefix - 1;
      flipped[12 + bit / 8] = static_cast<std::uint8_t>(flipped[12 + bit / 8] ^ (0x80U >> bit % 8));
    }
    const std::string text = IpAddress::v6(network).to_string() + '/' + std::to_string(prefix);
    INFO(text);
    const CidrSet set = set_of({text});
    CHECK(set.contains(base_v4));
    CHECK(set.contains(IpAddress::v6(flipped)) == (prefix == 0));
  }
}
