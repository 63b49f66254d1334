// What Cloudflare's offer and a policy share is exact: in our order, and only what the keys can serve.
#include "sallyport/tls/cloudflare.hpp"

#include "catch.hpp"
#include "certificates.hpp"

using namespace sallyport::tls;
using namespace tls_test;

namespace {

using Certificates = std::vector<std::shared_ptr<const Certificate>>;
using Names = std::vector<std::string>;

Certificates of_curve(const char* curve) {
  Wanted wanted;
  wanted.curve = curve;
  return {loaded(issue(wanted))};
}

Certificates of_rsa() {
  Wanted wanted;
  wanted.rsa = true;
  return {loaded(issue(wanted))};
}

CloudflareOverlap meet(const PolicySpec& spec, const Certificates& certificates) {
  Notes notes;
  const auto policy = resolve_policy(spec, notes);
  REQUIRE(policy != nullptr);
  return meet_cloudflare(*policy, certificates);
}

}  // namespace

TEST_CASE("suites are those that both have, in our order, for the keys that there are") {
  PolicySpec spec;
  spec.ciphers = {"ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384",
                  "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"};
  spec.cipher_suites = {"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256", "TLS_AES_128_GCM_SHA256"};
  const Names rsa{"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"};
  const Names ecdsa{"ECDHE-ECDSA-AES256-GCM-SHA384"};
  CloudflareOverlap overlap = meet(spec, of_rsa());
  CHECK(overlap.suites12 == rsa);
  CHECK(overlap.unkeyed12 == ecdsa);
  CHECK(overlap.suites13 == Names{"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"});
  overlap = meet(spec, of_curve("P-256"));
  CHECK(overlap.suites12 == ecdsa);
  CHECK(overlap.unkeyed12 == rsa);
  Certificates both = of_rsa();
  both.push_back(of_curve("P-384").front());
  CHECK(meet(spec, both).suites12 ==
        Names{"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"});
}

TEST_CASE("a version that is off shares nothing, and ChaCha20 alone is nothing in TLS 1.2") {
  PolicySpec spec;
  spec.max_version = Version::tls12;
  CHECK(meet(spec, of_rsa()).suites13.empty());
  spec.ciphers = {"ECDHE-RSA-CHACHA20-POLY1305"};
  CHECK(meet(spec, of_rsa()).suites12.empty());
  CHECK(meet(spec, of_rsa()).unkeyed12.empty());
  spec = {};
  spec.min_version = Version::tls13;
  CHECK(meet(spec, of_rsa()).suites12.empty());
  CHECK(meet(spec, of_rsa()).suites13.size() == 3);
}

TEST_CASE("groups: a key share comes for X25519, P-521 is not offered") {
  PolicySpec spec;
  spec.groups = {{"P-521", "P-384", "X25519"}};
  CloudflareOverlap overlap = meet(spec, of_rsa());
  CHECK(overlap.groups == Names{"P-384", "X25519"});
  CHECK(overlap.no_retry);
  CHECK_FALSE(overlap.post_quantum);
  spec.groups = {{"P-256"}};
  CHECK_FALSE(meet(spec, of_rsa()).no_retry);
  spec.groups = {{"P-521"}};
  CHECK(meet(spec, of_rsa()).groups.empty());
}

TEST_CASE("keys that sign what BoringSSL verifies") {
  CHECK(cloudflare_takes(*of_rsa().front()));
  CHECK(cloudflare_takes(*of_curve("P-256").front()));
  CHECK(cloudflare_takes(*of_curve("P-384").front()));
  CHECK_FALSE(cloudflare_takes(*of_curve("P-521").front()));
  CHECK(meet({}, of_curve("P-521")).suites13.empty());
}

TEST_CASE("the Origin CA is known by its name, and chains are judged as they are sent") {
  const Identity origin_ca = make_authority("CloudFlare Origin SSL Certificate Authority");
  const Identity other = make_authority("Origin SSL Certificate Authority");
  CHECK(is_from_origin_ca(*loaded(issue({}, &origin_ca))));
  CHECK_FALSE(is_from_origin_ca(*loaded(issue({}, &other))));

  std::string why;
  const Identity root = make_authority("Root");
  const Identity middle = make_intermediate(root, "Middle");
  const Identity leaf = issue({}, &middle);
  const auto roots = CertificateSet::parse(root.pem(), "roots", why);
  const auto now = sallyport::base::WallClock::now();
  CHECK(judge_sent(*loaded(leaf, &middle), roots.get(), now).complete());
  CHECK_FALSE(judge_sent(*loaded(leaf), roots.get(), now).complete());
}
