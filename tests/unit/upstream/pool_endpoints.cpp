#include <map>

#include "catch.hpp"
#include "fakes.hpp"

using namespace sallyport;
using namespace sallyport::upstream;
using namespace sallyport::upstream::test;
using base::ErrorCode;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<ClusterSpec> copy_of(const ClusterSpec& spec, std::uint64_t identity) {
  auto copy = std::make_shared<ClusterSpec>(spec);
  copy->identity = identity;
  return copy;
}

// One exchange that fails at whatever endpoint it gets.
void fail_once(Fixture& f, ErrorCode code = ErrorCode::connect_refused) {
  auto e = f.ask();
  f.dialer.fail(f.dialer.dials.size() - 1, code);
  f.collect(*e);
}

}  // namespace

TEST_CASE("exchanges are spread by weight") {
  Fixture f;
  f.add("10.0.0.2", 3);
  std::map<std::string, int> seen;
  std::vector<std::unique_ptr<Exchange>> all;
  for (int i = 0; i < 40; ++i) {
    all.push_back(f.ask());
    ++seen[f.dialer.dials.back()->address.address.to_string()];
  }
  CHECK(seen == std::map<std::string, int>{{"10.0.0.1", 10}, {"10.0.0.2", 30}});
}

TEST_CASE("an endpoint that fails is passed over for its time and then returns") {
  Fixture f;
  f.add("10.0.0.2");
  std::vector<std::unique_ptr<Exchange>> all;
  // Five failures of the first endpoint; the second one's dials stay open.
  int failures = 0;
  for (int i = 0; i < 12 && failures < 5; ++i) {
    all.push_back(f.ask());
    if (f.dialer.dials.back()->address.to_string() != "10.0.0.1:80") continue;
    f.dialer.fail(f.dialer.dials.size() - 1);
    ++failures;
  }
  REQUIRE(f.counts.ejections.size() == 1);
  CHECK(f.counts.ejections[0].first == EjectedFor::connect);
  CHECK(f.counts.ejections[0].second == 10s);
  CHECK(f.counts.healthy == 1);
  CHECK(f.counts.ejected == 1);
  for (int i = 0; i < 10; ++i) {
    all.push_back(f.ask());
    CHECK(f.dialer.dials.back()->address.to_string() == "10.0.0.2:80");
  }
  f.pass(11s);
  CHECK(f.counts.ejected == 0);
  CHECK(f.counts.healthy == 2);
  bool back = false;
  for (int i = 0; i < 2; ++i) {
    all.push_back(f.ask());
    back = back || f.dialer.dials.back()->address.to_string() == "10.0.0.1:80";
  }
  CHECK(back);
}

TEST_CASE("bad answers in a row eject too") {
  const Outcome bad = GENERATE(Outcome::gateway_status, Outcome::timeout, Outcome::reset);
  const bool one_good = GENERATE(false, true);
  Fixture f;
  f.add("10.0.0.2");
  int failures = 0;
  for (int i = 0; i < 16 && failures < 5; ++i) {
    auto e = f.ask();
    if (!e->request.done() && !e->lease) f.dialer.up(f.dialer.dials.size() - 1);
    f.collect(*e);
    REQUIRE(e->lease);
    if (where(*e) == "10.0.0.2") {
      f.finish(*e);
      continue;
    }
    if (bad == Outcome::reset) e->lease.stream().detach();
    f.finish(*e, one_good && failures == 2 ? Outcome::ok : bad);
    ++failures;
  }
  if (one_good) {
    CHECK(f.counts.ejections.empty());
  } else {
    REQUIRE(f.counts.ejections.size() == 1);
    CHECK(f.counts.ejections[0].first == EjectedFor::errors);
  }
}

TEST_CASE("the only endpoint is never ejected, and half of them stay") {
  Fixture f;
  for (int i = 0; i < 20; ++i) fail_once(f);
  CHECK(f.counts.ejections.empty());

  Fixture two;
  two.add("10.0.0.2");
  for (int i = 0; i < 40; ++i) fail_once(two);
  CHECK(two.counts.ejections.size() == 1);
}

TEST_CASE("when all are ejected all are tried: better than a refusal") {
  Fixture f;
  f.spec->ejection.max_ejected = config::Percent{100};
  f.add("10.0.0.2");
  for (int i = 0; i < 40 && f.counts.ejected < 2; ++i) fail_once(f);
  REQUIRE(f.counts.ejected == 2);
  const std::size_t before = f.dialer.dials.size();
  auto e = f.ask();
  CHECK(f.dialer.dials.size() == before + 1);
}

TEST_CASE("an upstream without endpoints says so") {
  Fixture f;
  f.spec->endpoints.clear();
  auto e = f.ask();
  CHECK(f.last_error.code == ErrorCode::no_endpoint);
}

TEST_CASE("a name is waited for when it is looked up for the first time") {
  Fixture f;
  f.spec->endpoints.clear();
  f.add("api.internal");
  auto a = f.ask();
  CHECK_FALSE(a->request.done());
  SECTION("each address is an endpoint, and knows its name") {
    f.resolve("api.internal", {"10.0.0.7", "10.0.0.8"});
    REQUIRE(f.dialer.dials.size() == 1);
    CHECK(f.dialer.dials[0]->host == "api.internal");
    CHECK(f.dialer.dials[0]->address.to_string() == "10.0.0.7:80");
    auto b = f.ask();
    CHECK(f.dialer.dials[1]->address.to_string() == "10.0.0.8:80");
    CHECK(f.counts.healthy == 2);
  }
  SECTION("it does not exist") {
    f.resolve("api.internal", {});
    CHECK(f.collect(*a) == ErrorCode::name_unresolved);
    auto b = f.ask();
    CHECK(f.last_error.code == ErrorCode::name_unresolved);
  }
  SECTION("no answer comes") {
    f.pass(5s);
    CHECK(f.collect(*a) == ErrorCode::name_unresolved);
  }
  SECTION("another name's answer changes nothing") {
    f.resolve("else.internal", {"10.0.0.9"});
    CHECK_FALSE(a->request.done());
    CHECK(f.dialer.dials.empty());
  }
}

TEST_CASE("an address that a new resolution lacks finishes; the others keep their connections") {
  Fixture f;
  f.spec->endpoints.clear();
  f.add("api.internal");
  f.resolve("api.internal", {"10.0.0.7", "10.0.0.8"});
  auto a = f.ask();
  auto b = f.ask();
  auto c = f.ask();  // waits for 10.0.0.7
  f.dialer.up(0);
  f.dialer.up(1);
  f.collect(*a);
  f.collect(*b);
  f.resolve("api.internal", {"10.0.0.8", "10.0.0.9"});
  CHECK(f.dialer.dials[0]->facts->shut_down);        // once its exchange ends
  CHECK_FALSE(f.dialer.dials[0]->facts->destroyed);  // not before
  CHECK_FALSE(f.dialer.dials[1]->facts->shut_down);
  CHECK(f.dialer.dials[2]->canceled);
  CHECK(f.counts.healthy == 2);
  REQUIRE(f.dialer.dials.size() == 4);  // the one that waited goes elsewhere
  CHECK(f.dialer.dials[3]->address.to_string() != "10.0.0.7:80");
  f.finish(*a);
  f.close(*f.dialer.dials[0]->session, ErrorCode::draining);
  CHECK(f.dialer.dials[0]->facts->destroyed);
  f.end(c);
  f.finish(*b);
  CHECK(f.counts.idle() == 1);
}

TEST_CASE("resolutions are there for pools that are made later") {
  Fixture f;
  f.spec->endpoints.clear();
  f.add("api.internal");
  f.resolve("api.internal", {"10.0.0.7"});
  auto a = f.ask();
  CHECK(f.dialer.dials.size() == 1);
}

TEST_CASE("a reload that leaves an upstream as it was keeps its connections") {
  Fixture f;
  f.update({f.spec});
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  f.finish(*a);
  f.end(a);
  f.update({copy_of(*f.spec, f.spec->identity)});
  CHECK(f.counts.idle() == 1);
  auto b = f.ask();
  CHECK(b->lease);
  f.finish(*b);
}

TEST_CASE("a reload that changes an upstream lets the old pool finish and die") {
  Fixture f;
  f.update({f.spec});
  auto idle = f.ask();
  auto busy = f.ask();
  f.dialer.up(0);
  f.dialer.up(1);
  f.collect(*idle);
  f.collect(*busy);
  f.finish(*idle);
  const auto changed = copy_of(*f.spec, 2);
  f.update({changed});
  CHECK(f.dialer.dials[0]->facts->shut_down);        // nothing is kept for reuse
  CHECK_FALSE(f.dialer.dials[1]->facts->shut_down);  // nothing is cut
  CHECK(f.pools->size() == 1);

  // The exchange of the old snapshot may still try again.
  f.finish(*busy);
  CHECK(f.dialer.dials[1]->facts->shut_down);
  f.again(*busy);
  REQUIRE(f.dialer.dials.size() == 3);
  f.dialer.up(2);
  f.collect(*busy);
  CHECK(busy->lease);
  f.finish(*busy);

  for (std::size_t i = 0; i < 3; ++i) f.close(*f.dialer.dials[i]->session, ErrorCode::draining);
  CHECK(f.pools->size() == 1);
  f.end(idle);
  f.end(busy);
  CHECK(f.pools->size() == 0);
  CHECK(f.counts.healthy == 0);
  for (std::size_t i = 0; i < 3; ++i) CHECK(f.dialer.dials[i]->facts->destroyed);
}

TEST_CASE("a pool that a second reload brings back keeps its connections again") {
  Fixture f;
  f.update({f.spec});
  auto a = f.ask();
  f.dialer.up(0);
  f.collect(*a);
  f.update({});
  f.update({f.spec});
  f.finish(*a);
  CHECK(f.counts.idle() == 1);
}

TEST_CASE("an exchange of an old snapshot finds a pool, which dies with it") {
  Fixture f;
  f.update({});
  auto a = f.ask();
  REQUIRE(f.dialer.dials.size() == 1);
  f.dialer.up(0);
  f.collect(*a);
  REQUIRE(a->lease);
  f.finish(*a);
  CHECK(f.dialer.dials[0]->facts->shut_down);
  f.close(*f.dialer.dials[0]->session, ErrorCode::draining);
  f.end(a);
  CHECK(f.pools->size() == 0);
}

TEST_CASE("draining closes what is idle, keeps nothing, and still serves") {
  Fixture f;
  auto a = f.ask();
  auto b = f.ask();
  auto left = f.ask();
  f.dialer.up(0);
  f.dialer.up(1);
  f.collect(*a);
  f.collect(*b);
  f.finish(*a);
  f.end(left);
  {
    const net::Loop::Turn turn(f.loop);
    f.pools->drain();
  }
  CHECK(f.dialer.dials[0]->facts->shut_down);
  CHECK(f.dialer.dials[2]->canceled);
  f.finish(*b);
  CHECK(f.dialer.dials[1]->facts->shut_down);
  auto c = f.ask();
  CHECK(f.dialer.dials.size() == 4);
}
