#include <functional>

#include "sallyport/upstream/cluster.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::upstream;
using namespace std::chrono_literals;

namespace {

config::Upstream example() {
  config::Upstream u;
  u.name = "api";
  config::UpstreamEndpoint endpoint;
  endpoint.host = "api.internal";
  endpoint.port = 8443;
  u.endpoints = {endpoint};
  return u;
}

std::shared_ptr<const ClusterSpec> made(const config::Upstream& u) {
  tls::Notes notes;
  auto spec = make_cluster(u, nullptr, nullptr, notes);
  REQUIRE(notes.ok());
  REQUIRE(spec != nullptr);
  return spec;
}

}  // namespace

TEST_CASE("the same configuration has the same identity") {
  CHECK(made(example())->identity == made(example())->identity);
}

TEST_CASE("every setting that makes a pool what it is changes its identity") {
  const std::vector<std::pair<const char*, std::function<void(config::Upstream&)>>> changes = {
      {"name", [](auto& u) { u.name = "web"; }},
      {"protocol", [](auto& u) { u.protocol = config::UpstreamProtocol::h2; }},
      {"tls", [](auto& u) { u.tls.emplace().verify = false; }},
      {"host", [](auto& u) { u.endpoints[0].host = "api2.internal"; }},
      {"port", [](auto& u) { u.endpoints[0].port = 443; }},
      {"weight", [](auto& u) { u.endpoints[0].weight = 2; }},
      {"endpoints", [](auto& u) { u.endpoints.push_back(u.endpoints[0]); }},
      {"balance", [](auto& u) { u.balance = config::Balance::least_request; }},
      {"connect", [](auto& u) { u.timeouts.connect = 1s; }},
      {"tls timeout", [](auto& u) { u.timeouts.tls = 1s; }},
      {"max_connections", [](auto& u) { u.pool.max_connections = 7; }},
      {"max_idle", [](auto& u) { u.pool.max_idle = 7; }},
      {"max_pending", [](auto& u) { u.pool.max_pending = 7; }},
      {"max_streams", [](auto& u) { u.pool.max_streams = 7; }},
      {"max_requests", [](auto& u) { u.pool.max_requests = 7; }},
      {"idle_timeout", [](auto& u) { u.pool.idle_timeout = 7s; }},
      {"max_age", [](auto& u) { u.pool.max_age = 7s; }},
      {"header_bytes", [](auto& u) { u.limits.header_bytes = 77777; }},
      {"header_field_bytes", [](auto& u) { u.limits.header_field_bytes = 777; }},
      {"header_count", [](auto& u) { u.limits.header_count = 77; }},
      {"informational", [](auto& u) { u.limits.informational = 7; }},
      {"retries", [](auto& u) { u.retries.count = 7; }},
      {"budget", [](auto& u) { u.retries.budget.value = 7; }},
      {"floor", [](auto& u) { u.retries.budget_floor = 7; }},
      {"failures", [](auto& u) { u.ejection.failures = 7; }},
      {"ejection time", [](auto& u) { u.ejection.time = 7s; }},
      {"ejection max", [](auto& u) { u.ejection.max_time = 7s; }},
      {"ejection share", [](auto& u) { u.ejection.max_ejected.value = 7; }},
  };
  const std::uint64_t before = made(example())->identity;
  for (const auto& [name, change] : changes) {
    INFO(name);
    config::Upstream u = example();
    change(u);
    CHECK(made(u)->identity != before);
  }
}

TEST_CASE("what only an exchange reads does not cost the pool its connections") {
  config::Upstream u = example();
  u.timeouts.send = 1s;
  u.timeouts.first_byte = 1s;
  u.timeouts.total = 1s;
  u.resolve.interval = 1s;
  CHECK(made(u)->identity == made(example())->identity);
  CHECK(made(u)->timeouts.first_byte == 1s);
}

TEST_CASE("automatic over TLS has a second context, which offers HTTP/1.1 alone") {
  config::Upstream u = example();
  CHECK(made(u)->tls == nullptr);
  u.tls.emplace();
  CHECK(made(u)->tls_http1 != nullptr);
  CHECK(made(u)->tls != made(u)->tls_http1);
  u.protocol = config::UpstreamProtocol::h2;
  CHECK(made(u)->tls != nullptr);
  CHECK(made(u)->tls_http1 == nullptr);
}

TEST_CASE("a CA file that is not there is told, and makes no upstream") {
  config::Upstream u = example();
  u.tls.emplace().ca = "/does/not/exist.pem";
  tls::Notes notes;
  CHECK(make_cluster(u, nullptr, nullptr, notes) == nullptr);
  CHECK_FALSE(notes.ok());
}

TEST_CASE("upstreams are found by name and by index") {
  config::Upstream other = example();
  other.name = "web";
  const Clusters clusters({made(example()), made(other)});
  CHECK(clusters.size() == 2);
  REQUIRE(clusters.index_of("web"));
  CHECK(clusters.at(*clusters.index_of("web"))->name == "web");
  CHECK_FALSE(clusters.index_of("nothing"));
}
