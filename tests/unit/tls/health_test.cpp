// A handshake's health is what docs/health.md says: each part alone, the weights, and what stands in
// the certificates.
#include "sallyport/tls/health.hpp"

#include "catch.hpp"
#include "certificates.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;
using Secrecy = HealthFacts::Secrecy;

namespace {

constexpr auto kDay = std::chrono::hours(24);
const base::WallTime kNow{std::chrono::hours(24 * 20'000)};

ChainStanding standing(ChainState chain, int days_left, int notice_days = 30) {
  return {chain, kNow - 10 * kDay, kNow + days_left * kDay, notice_days * kDay};
}

HealthFacts best(const ChainStanding& of) {
  return {Version::tls13, Secrecy::forward, true, &of, true};
}

unsigned score(const HealthFacts& facts, const HealthWeights& weights = {}) {
  return health_score(facts, weights, kNow);
}

}  // namespace

TEST_CASE("each part costs its weight, or some of it") {
  const ChainStanding good = standing(ChainState::complete, 60);
  CHECK(score(best(good)) == 100);
  const auto with = [&](auto change) {
    HealthFacts facts = best(good);
    change(facts);
    return score(facts);
  };
  CHECK(with([](HealthFacts& f) { f.version = Version::tls12; }) == 90);
  CHECK(with([](HealthFacts& f) { f.version = Version::none; }) == 80);
  CHECK(with([](HealthFacts& f) { f.secrecy = Secrecy::none; }) == 85);
  CHECK(with([](HealthFacts& f) { f.secrecy = Secrecy::session; }) == 93);  // 92.5
  CHECK(with([](HealthFacts& f) { f.authenticated_cipher = false; }) == 85);
  CHECK(with([](HealthFacts& f) { f.resumption = false; }) == 95);
  CHECK(with([](HealthFacts& f) { f.certificate = nullptr; }) == 55);
  CHECK(score({}) == 0);
}

TEST_CASE("a certificate counts by its dates") {
  const auto left = [](int days) {
    const ChainStanding one = standing(ChainState::complete, days);
    return score(best(one));
  };
  CHECK(left(30) == 100);
  CHECK(left(29) == 99);
  CHECK(left(15) == 93);  // 92.5
  CHECK(left(2) == 86);
  CHECK(left(0) == 85);
  CHECK(left(-1) == 65);
  ChainStanding early = standing(ChainState::complete, 60);
  early.valid_from = kNow + kDay;
  CHECK(score(best(early)) == 65);
  const ChainStanding short_lived = standing(ChainState::complete, 2, 2);
  CHECK(score(best(short_lived)) == 100);
  const ChainStanding ending = standing(ChainState::complete, 1, 2);
  CHECK(score(best(ending)) == 93);
}

TEST_CASE("a broken chain counts as such, an unknown one not at all") {
  const ChainStanding broken = standing(ChainState::broken, 60);
  CHECK(score(best(broken)) == 90);
  const ChainStanding unknown = standing(ChainState::unknown, 60);
  CHECK(score(best(unknown)) == 100);
  HealthFacts facts = best(unknown);
  facts.version = Version::tls12;
  CHECK(score(facts) == 89);  // 80 of 90
}

TEST_CASE("weights are shares of their sum") {
  const ChainStanding expired = standing(ChainState::complete, -1);
  HealthFacts facts = best(expired);
  facts.version = Version::tls12;
  CHECK(score(facts, {1, 0, 0, 0, 0, 0, 0}) == 50);
  CHECK(score(facts, {0, 0, 0, 1, 0, 0, 0}) == 0);
  CHECK(score(facts, {1, 0, 0, 1, 0, 0, 0}) == 25);
  CHECK(score(facts, {200, 150, 150, 200, 150, 100, 50}) == score(facts));
  CHECK(score(facts, {1000, 1000, 1000, 1000, 1000, 1000, 1000}) == 64);
  const ChainStanding unknown = standing(ChainState::unknown, 60);
  CHECK(score(best(unknown), {0, 0, 0, 0, 0, 10, 0}) == 100);  // nothing is known against it
}

// ---- what stands in the certificates ----

namespace {

ChainState chain_of(const Identity& leaf, const std::string& sent, const ChainTrust& trust) {
  Notes notes;
  const auto certificate =
      Certificate::parse(sent, leaf.key_pem(), {"c.pem", "k.pem", ""}, base::WallClock::now(), notes, trust);
  REQUIRE(certificate != nullptr);
  return certificate->standing().chain;
}

std::shared_ptr<const CertificateSet> set_of(const Identity& one) {
  std::string why;
  return CertificateSet::parse(one.pem(), "set.pem", why);
}

}  // namespace

TEST_CASE("a chain is complete, broken, or only known to its own clients") {
  const Identity root = make_authority("Test root");
  const Identity other = make_authority("Another root");
  const Identity ca = make_intermediate(root);
  Wanted w;
  w.san = "DNS:a.test";
  const Identity leaf = issue(w, &ca);
  const ChainTrust own{nullptr, set_of(root), true};
  const ChainTrust system{nullptr, set_of(other), false};
  CHECK(chain_of(leaf, leaf.pem() + ca.pem(), own) == ChainState::complete);
  CHECK(chain_of(leaf, leaf.pem(), own) == ChainState::broken);
  CHECK(chain_of(leaf, leaf.pem(), {set_of(ca), set_of(root), true}) == ChainState::complete);
  CHECK(chain_of(leaf, leaf.pem() + ca.pem(), {nullptr, set_of(other), true}) == ChainState::broken);
  CHECK(chain_of(leaf, leaf.pem() + ca.pem(), system) == ChainState::unknown);
  CHECK(chain_of(leaf, leaf.pem() + ca.pem(), {}) == ChainState::unknown);
  w.until = -60;
  w.from = -7200;
  const Identity expired = issue(w, &ca);
  CHECK(chain_of(expired, expired.pem() + ca.pem(), own) == ChainState::complete);  // dates count elsewhere
}

TEST_CASE("a chain holds as long as the first of it to end") {
  const Identity root = make_authority("Test root");
  const Identity ca = make_intermediate(root);
  Wanted w;
  w.san = "DNS:a.test";
  w.from = -3600;
  w.until = 86400 * 90;
  const Identity leaf = issue(w, &ca);
  const auto alone = loaded(leaf);
  CHECK(alone->standing().valid_until == alone->not_after());
  CHECK(alone->standing().notice == std::chrono::hours(24 * 30));
  const auto chain = loaded(leaf, &ca);
  const auto above = loaded(ca);
  CHECK(chain->standing().valid_until == std::min(alone->not_after(), above->not_after()));
  CHECK(chain->standing().valid_from == std::max(alone->not_before(), above->not_before()));
  w.until = 3600 * 5;  // with its hour behind it: lives six hours
  CHECK(loaded(issue(w, &ca))->standing().notice == std::chrono::hours(2));
}
