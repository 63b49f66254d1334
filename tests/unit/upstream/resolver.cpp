#include "sallyport/upstream/resolver.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::upstream;
using namespace std::chrono_literals;

namespace {

struct FakeLookup final : Lookup {
  void lookup(const std::string& host, Done done) override { asked.emplace_back(host, std::move(done)); }
  void answer(std::size_t n, const std::vector<std::string>& addresses, const std::string& error = "") {
    std::vector<net::IpAddress> list;
    for (const std::string& a : addresses) list.push_back(*net::IpAddress::parse(a));
    const Done done = asked.at(n).second;
    done(std::move(list), error);
  }
  std::vector<std::pair<std::string, Done>> asked;
};

struct ResolverFixture {
  ResolverFixture() {
    resolver = std::make_unique<Resolver>(
        lookup, [this](const std::shared_ptr<const Resolution>& r) { told.push_back(r); },
        [this](std::string_view host, std::string_view error, std::size_t kept) {
          failures.push_back(std::string(host) + ": " + std::string(error) + " " + std::to_string(kept));
        });
  }
  static Clusters clusters(const std::vector<std::string>& hosts, base::Milliseconds interval = 30s) {
    std::vector<std::shared_ptr<const ClusterSpec>> list;
    for (const std::string& host : hosts) {
      auto spec = std::make_shared<ClusterSpec>();
      spec->name = "upstream of " + host;
      spec->resolve.interval = interval;
      config::UpstreamEndpoint endpoint;
      endpoint.host = host;
      endpoint.port = 80;
      spec->endpoints.push_back(endpoint);
      list.push_back(std::move(spec));
    }
    return Clusters(std::move(list));
  }

  FakeLookup lookup;
  std::vector<std::shared_ptr<const Resolution>> told;
  std::vector<std::string> failures;
  std::unique_ptr<Resolver> resolver;
  base::Instant now{1h};
};

}  // namespace

TEST_CASE("names are looked up at once, literals never") {
  ResolverFixture f;
  f.resolver->watch(ResolverFixture::clusters({"a.test", "10.0.0.1", "2001:db8::1", "b.test"}), f.now);
  CHECK(f.lookup.asked.size() == 2);
}

TEST_CASE("only changed addresses are told, in whatever order they come") {
  ResolverFixture f;
  f.resolver->watch(ResolverFixture::clusters({"a.test"}), f.now);
  f.lookup.answer(0, {"10.0.0.2", "10.0.0.1", "10.0.0.2"});
  REQUIRE(f.told.size() == 1);
  CHECK(f.told[0]->host == "a.test");
  CHECK(f.told[0]->addresses.size() == 2);
  f.resolver->advance(f.now + 29s);
  CHECK(f.lookup.asked.size() == 1);
  f.resolver->advance(f.now + 30s);
  REQUIRE(f.lookup.asked.size() == 2);
  f.lookup.answer(1, {"10.0.0.1", "10.0.0.2"});
  CHECK(f.told.size() == 1);
  f.resolver->advance(f.now + 60s);
  f.lookup.answer(2, {"10.0.0.3"});
  REQUIRE(f.told.size() == 2);
  CHECK(f.told[1]->addresses.at(0).to_string() == "10.0.0.3");
  CHECK(f.resolver->known().size() == 1);
}

TEST_CASE("a failure keeps the last good addresses and is tried again soon") {
  ResolverFixture f;
  f.resolver->watch(ResolverFixture::clusters({"a.test"}), f.now);
  f.lookup.answer(0, {"10.0.0.1"});
  f.resolver->advance(f.now + 30s);
  f.lookup.answer(1, {}, "no such host");
  CHECK(f.told.size() == 1);
  CHECK(f.failures == std::vector<std::string>{"a.test: no such host 1"});
  CHECK(f.resolver->known().at(0)->addresses.size() == 1);
  f.resolver->advance(f.now + 35s);
  CHECK(f.lookup.asked.size() == 3);
}

TEST_CASE("a name that never had an address is told as failed, once, and found later") {
  ResolverFixture f;
  f.resolver->watch(ResolverFixture::clusters({"a.test"}), f.now);
  f.lookup.answer(0, {}, "no such host");
  REQUIRE(f.told.size() == 1);
  CHECK(f.told[0]->addresses.empty());
  f.resolver->advance(f.now + 5s);
  f.lookup.answer(1, {}, "no such host");
  CHECK(f.told.size() == 1);
  CHECK(f.failures.size() == 2);
  f.resolver->advance(f.now + 10s);
  f.lookup.answer(2, {"10.0.0.1"});
  REQUIRE(f.told.size() == 2);
  CHECK(f.told[1]->addresses.size() == 1);
}

TEST_CASE("a look-up that hangs is a failure, is not asked again, and still counts when it ends") {
  ResolverFixture f;
  f.resolver->watch(ResolverFixture::clusters({"a.test"}), f.now);
  f.resolver->advance(f.now + 4s);
  CHECK(f.failures.empty());
  f.resolver->advance(f.now + 5s);
  CHECK(f.failures.size() == 1);
  CHECK(f.told.size() == 1);
  f.resolver->advance(f.now + 100s);
  CHECK(f.failures.size() == 1);
  CHECK(f.lookup.asked.size() == 1);
  f.lookup.answer(0, {"10.0.0.1"});
  REQUIRE(f.told.size() == 2);
  f.resolver->advance(f.now + 130s);
  CHECK(f.lookup.asked.size() == 2);
}

TEST_CASE("a reload keeps what is known and forgets what is not asked for") {
  ResolverFixture f;
  f.resolver->watch(ResolverFixture::clusters({"a.test", "b.test"}), f.now);
  f.lookup.answer(0, {"10.0.0.1"});
  f.resolver->watch(ResolverFixture::clusters({"a.test", "b.test", "c.test"}), f.now + 1s);
  CHECK(f.lookup.asked.size() == 3);
  f.resolver->watch(ResolverFixture::clusters({"c.test"}), f.now + 2s);
  const std::size_t told = f.told.size();
  f.lookup.answer(1, {"10.0.0.2"});
  CHECK(f.told.size() == told);
  f.resolver->advance(f.now + 100s);
  CHECK(f.lookup.asked.size() == 3);
}

TEST_CASE("a shorter interval holds from the reload on") {
  ResolverFixture f;
  f.resolver->watch(ResolverFixture::clusters({"a.test"}, 1h), f.now);
  f.lookup.answer(0, {"10.0.0.1"});
  f.resolver->watch(ResolverFixture::clusters({"a.test"}, 10s), f.now + 1s);
  f.resolver->advance(f.now + 11s);
  CHECK(f.lookup.asked.size() == 2);
}

TEST_CASE("an answer after the resolver's end finds nobody") {
  ResolverFixture f;
  f.resolver->watch(ResolverFixture::clusters({"a.test"}), f.now);
  f.resolver.reset();
  f.lookup.answer(0, {"10.0.0.1"});
  CHECK(f.told.empty());
}

TEST_CASE("the system's look-up finds localhost, and says why it finds nothing") {
  boost::asio::io_context io;
  SystemLookup lookup(io);
  std::vector<net::IpAddress> found;
  std::string error;
  lookup.lookup("localhost",
                [&](std::vector<net::IpAddress> a, const std::string&) { found = std::move(a); });
  lookup.lookup("not a name", [&](std::vector<net::IpAddress> a, const std::string& e) {
    CHECK(a.empty());
    error = e;
  });
  io.run();
  REQUIRE_FALSE(found.empty());
  CHECK(found[0].is_loopback());
  CHECK_FALSE(error.empty());
}
