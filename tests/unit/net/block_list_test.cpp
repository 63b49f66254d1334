// Lists of address ranges decide who is believed: what is published is read, what is broken refused whole.
#include "sallyport/net/block_list.hpp"

#include "catch.hpp"

namespace sallyport::net {
namespace {

std::string wrong(std::string_view text) {
  const auto parsed = parse_block_list(text);
  return parsed.has_error() ? parsed.error() : "";
}

}  // namespace

TEST_CASE("a block a line, as Cloudflare publishes it, with or without an end of line") {
  const auto parsed = parse_block_list("# comment\r\n173.245.48.0/20\r\n\n 2400:cb00::/32 # v6\n192.0.2.1");
  REQUIRE(parsed.has_value());
  REQUIRE(parsed->size() == 3);
  CHECK(parsed->at(0).to_string() == "173.245.48.0/20");
  CHECK(parsed->at(1).to_string() == "2400:cb00::/32");
  CHECK(parsed->at(2).to_string() == "192.0.2.1/32");
}

TEST_CASE("the JSON of Cloudflare's API") {
  const auto parsed = parse_block_list(
      R"({"result":{"ipv4_cidrs":["173.245.48.0/20"],"ipv6_cidrs":["2400:cb00::/32"],"etag":"x"},"success":true,)"
      R"("errors":[],"messages":[]})");
  REQUIRE(parsed.has_value());
  CHECK(parsed->size() == 2);
}

TEST_CASE("one bad line makes a list bad, and the error says which") {
  CHECK(wrong("10.0.0.0/8\n10.0.0.1/8\n").starts_with("line 2: "));
  CHECK(wrong("<html>").starts_with("line 1: "));
  CHECK(wrong("") == "it holds no address range");
  CHECK(wrong("# nothing\n\n") == "it holds no address range");
  CHECK(wrong("{").starts_with("no JSON: "));
  CHECK(wrong(R"({"success":false,"errors":[{"code":1}]})").find("success: false") != std::string::npos);
  CHECK(wrong(R"({"success":true})") == "JSON without an object `result`");
  CHECK(wrong(R"({"result":{"ipv4_cidrs":["10.0.0.0/8","x"]}})").starts_with("result.ipv4_cidrs[1]: "));
  CHECK(wrong(R"({"result":{"ipv4_cidrs":"10.0.0.0/8"}})") == "result.ipv4_cidrs is no list");
  CHECK(wrong(R"({"result":{"ipv6_cidrs":[7]}})").starts_with("result.ipv6_cidrs[0]: "));
  CHECK(wrong(R"({"result":{"ipv4_cidrs":[],"ipv6_cidrs":[]}})") == "it holds no address range");
  std::string many;
  for (int i = 0; i < 100'001; ++i) many += "10.0.0.0/8\n";
  CHECK(wrong(many) == "more than 100000 address ranges");
}

TEST_CASE("Cloudflare's own, of both families") {
  const CidrSet set(cloudflare_blocks());
  CHECK(cloudflare_blocks().size() == 22);
  for (const char* in : {"173.245.48.1", "104.16.0.1", "172.71.255.255", "2606:4700::1", "2a06:98c7:ffff::1"})
    CHECK(set.contains(*IpAddress::parse(in)));
  for (const char* out : {"173.245.64.0", "8.8.8.8", "172.72.0.0", "2606:4701::1", "::1", "127.0.0.1"})
    CHECK_FALSE(set.contains(*IpAddress::parse(out)));
}

}  // namespace sallyport::net
