// A policy starts from a profile's values, and its other keys are laid over them.
#include "sallyport/config/profiles.hpp"

#include <set>

#include "sallyport/config/load.hpp"

#include "catch.hpp"

using namespace sallyport::config;

namespace {

TlsPolicy loaded(const std::string& keys) {
  const Loaded result = load_text(
      "version: 1\nlisteners:\n  - { name: http, protocol: http, address: '127.0.0.1:0' }\n"
      "hosts:\n  - names: [a.example]\n    routes:\n      - reply: { status: 200 }\n"
      "tls:\n  policies:\n    other: {" +
          keys + "}\n",
      "test.yaml");
  for (const Problem& problem : result.problems) UNSCOPED_INFO(to_string(problem));
  REQUIRE_FALSE(has_errors(result.problems));
  for (const TlsPolicy& policy : result.model.tls.policies) {
    if (policy.name == "other") return policy;
  }
  FAIL("no such policy");
  return {};
}

bool lists(const std::vector<std::string>& names, std::string_view part) {
  for (const std::string& name : names) {
    if (name.find(part) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("every profile has a name, a source and values of its own word") {
  std::set<std::string_view> names;
  for (const Profile& one : profiles()) {
    names.insert(one.name);
    CHECK(profile(one.id).name == one.name);
    CHECK(one.values.profile == one.id);
    CHECK_FALSE(one.source.empty());
    CHECK_FALSE(one.why.empty());
    TlsPolicy same = one.values;
    same.name = "other";
    CHECK(loaded("profile: " + std::string(one.name)) == same);
  }
  CHECK(names == std::set<std::string_view>{"standard", "modern", "intermediate", "cloudflare", "fips"});
  TlsPolicy nothing;
  CHECK(profile(TlsProfile::standard).values == nothing);
}

TEST_CASE("other keys are laid over the profile, wherever it stands among them") {
  for (const std::string keys :
       {"profile: modern, alpn: [h2], groups: [P-256]", "alpn: [h2], groups: [P-256], profile: modern"}) {
    const TlsPolicy policy = loaded(keys);
    CHECK(policy.name == "other");
    CHECK(policy.origin.line != 0);
    CHECK(policy.min_version == TlsVersion::tls13);
    CHECK(policy.ciphers.empty());
    CHECK(policy.alpn == std::vector<std::string>{"h2"});
    CHECK(policy.groups == std::vector<std::vector<std::string>>{{"P-256"}});
  }
}

TEST_CASE("fips has approved algorithms alone, cloudflare what Cloudflare offers") {
  const TlsPolicy& fips = profile(TlsProfile::fips).values;
  CHECK_FALSE(lists(fips.ciphers, "CHACHA20"));
  CHECK_FALSE(lists(fips.cipher_suites, "CHACHA20"));
  CHECK_FALSE(lists(fips.groups.front(), "X25519"));
  const TlsPolicy& cloudflare = profile(TlsProfile::cloudflare).values;
  CHECK_FALSE(lists(cloudflare.ciphers, "CHACHA20"));
  CHECK(lists(cloudflare.cipher_suites, "CHACHA20"));
  CHECK(cloudflare.groups.front().front() == "X25519MLKEM768");
  CHECK(lists(cloudflare.alpn, "http/1.1"));
}
