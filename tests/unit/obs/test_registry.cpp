#include <atomic>
#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "sallyport/obs/registry.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::obs;
using namespace std::chrono_literals;

namespace {

// The exposition, line by line: "name{labels}" → value.
std::map<std::string, double> parse(const std::string& text) {
  std::map<std::string, double> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t blank = line.rfind(' ');
    REQUIRE(blank != std::string::npos);
    REQUIRE(out.emplace(line.substr(0, blank), std::stod(line.substr(blank + 1))).second);
  }
  return out;
}

FamilyOptions named(std::string name, std::vector<std::string> labels, std::size_t cap = kSeriesCap) {
  FamilyOptions o;
  o.name = std::move(name);
  o.help = "Something.";
  o.labels = std::move(labels);
  o.cap = cap;
  return o;
}

constexpr Buckets kThree = Buckets::of_seconds({.001, .01, 1});

}  // namespace

TEST_CASE("a counter is the sum over all shards, and starts at zero") {
  Registry registry;
  const auto family = registry.add_family(Kind::counter, named("x_total", {"a", "b"}));
  const CounterId id = registry.counter(family, {"1", "two"});
  Shard& one = registry.new_shard();
  Shard& two = registry.new_shard();
  CHECK(parse(registry.text()).at("x_total{a=\"1\",b=\"two\"}") == 0);
  one.add(id, 40);
  two.add(id);
  two.add(id);
  CHECK(registry.value(id) == 42);
  CHECK(parse(registry.text()).at("x_total{a=\"1\",b=\"two\"}") == 42);
}

TEST_CASE("the same labels give the same series, so a reload sets no counter back") {
  Registry registry;
  const auto family = registry.add_family(Kind::counter, named("x_total", {"a"}));
  Shard& shard = registry.new_shard();
  shard.add(registry.counter(family, {"r"}), 3);
  shard.add(registry.counter(family, {"r"}), 4);
  CHECK(registry.value(registry.counter(family, {"r"})) == 7);
  CHECK(registry.value(registry.counter(family, {"s"})) == 0);
}

TEST_CASE("a gauge that is raised on one worker and lowered on another comes back to zero") {
  Registry registry;
  const auto family = registry.add_family(Kind::gauge, named("x", {}));
  const GaugeId id = registry.gauge(family, {});
  Shard& one = registry.new_shard();
  Shard& two = registry.new_shard();
  one.add(id, 5);
  two.add(id, -7);
  CHECK(registry.value(id) == -2);
  CHECK(parse(registry.text()).at("x") == -2);
  two.add(id, 2);
  CHECK(registry.value(id) == 0);
}

TEST_CASE("a histogram puts a value that equals a bound below it, and the rest into +Inf") {
  Registry registry;
  FamilyOptions options = named("x_seconds", {"l"});
  options.buckets = &kThree;
  const HistogramId id = registry.histogram(registry.add_family(Kind::histogram, options), {"v"});
  Shard& shard = registry.new_shard();
  Shard& other = registry.new_shard();
  for (const base::Duration d : {base::Duration(-1), base::Duration(0), base::Duration(1ms)})
    shard.observe(id, d);
  shard.observe(id, 1ms + 1ns);
  shard.observe(id, 10ms);
  other.observe(id, 1s);
  other.observe(id, 2s);
  const auto text = parse(registry.text());
  CHECK(text.at("x_seconds_bucket{l=\"v\",le=\"0.001\"}") == 3);
  CHECK(text.at("x_seconds_bucket{l=\"v\",le=\"0.01\"}") == 5);
  CHECK(text.at("x_seconds_bucket{l=\"v\",le=\"1\"}") == 6);
  CHECK(text.at("x_seconds_bucket{l=\"v\",le=\"+Inf\"}") == 7);
  CHECK(text.at("x_seconds_count{l=\"v\"}") == 7);
  CHECK(std::abs(text.at("x_seconds_sum{l=\"v\"}") - 3.012000001) < 1e-9);
}

TEST_CASE("series beyond a metric's cap are counted together, and that is counted too") {
  Registry registry;
  const auto family = registry.add_family(Kind::counter, named("x_total", {"host", "why"}, 3));
  Shard& shard = registry.new_shard();
  for (int i = 0; i < 10; ++i) shard.add(registry.counter(family, {std::to_string(i), "y"}));
  const auto text = parse(registry.text());
  CHECK(text.at("x_total{host=\"2\",why=\"y\"}") == 1);
  CHECK(text.count("x_total{host=\"3\",why=\"y\"}") == 0);
  CHECK(text.at("x_total{host=\"_other\",why=\"_other\"}") == 7);
  CHECK(text.at("sallyport_metrics_overflow_total{metric=\"x_total\"}") == 7);
}

TEST_CASE("series that came before the cap was reached keep their names after it") {
  Registry registry;
  const auto family = registry.add_family(Kind::counter, named("x_total", {"host"}, 1));
  Shard& shard = registry.new_shard();
  const CounterId first = registry.counter(family, {"a"});
  shard.add(registry.counter(family, {"b"}));
  shard.add(registry.counter(family, {"a"}));
  CHECK(registry.value(first) == 1);
}

TEST_CASE("a table of values is replaced whole, and its overflow is the earliest time") {
  Registry registry;
  FamilyOptions options = named("x_timestamp_seconds", {"host"}, 2);
  options.overflow = Overflow::minimum;
  const auto family = registry.add_family(Kind::gauge, options);
  registry.replace(family, {{{"a"}, 10}, {{"b"}, 20}, {{"c"}, 7}, {{"d"}, 5}, {{"e"}, 30}});
  auto text = parse(registry.text());
  CHECK(text.at("x_timestamp_seconds{host=\"a\"}") == 10);
  CHECK(text.at("x_timestamp_seconds{host=\"_other\"}") == 5);
  registry.replace(family, {{{"b"}, 21}});
  text = parse(registry.text());
  CHECK(text.count("x_timestamp_seconds{host=\"a\"}") == 0);
  CHECK(text.count("x_timestamp_seconds{host=\"_other\"}") == 0);
  CHECK(text.at("x_timestamp_seconds{host=\"b\"}") == 21);
}

TEST_CASE("what is asked for is asked for at each scrape") {
  Registry registry;
  double now = 1;
  registry.pull(registry.add_family(Kind::gauge, named("x_bytes", {})), {}, [&now] { return now; });
  CHECK(parse(registry.text()).at("x_bytes") == 1);
  now = 2;
  CHECK(parse(registry.text()).at("x_bytes") == 2);
}

TEST_CASE("label values that hold quotes, backslashes and line ends are escaped") {
  Registry registry;
  const auto family = registry.add_family(Kind::counter, named("x_total", {"a"}));
  (void)registry.counter(family, {"q\"b\\n\nend"});
  CHECK(registry.text().find("x_total{a=\"q\\\"b\\\\n\\nend\"} 0\n") != std::string::npos);
}

TEST_CASE("a default id can be written through and disturbs nothing") {
  Registry registry;
  const auto family = registry.add_family(Kind::counter, named("x_total", {}));
  const CounterId real = registry.counter(family, {});
  Shard& shard = registry.new_shard();
  shard.add(CounterId{}, 99);
  shard.add(GaugeId{}, -3);
  shard.observe(HistogramId{}, 5s);
  shard.observe(HistogramId{0, &kThree}, 5s);
  CHECK(registry.value(real) == 0);
}

TEST_CASE("workers count on while series are registered, shards grow and a scrape reads") {
  constexpr int kWorkers = 3;
  constexpr std::uint32_t kSeries = 3 * Shard::kBlockSlots;
  Registry registry;
  const auto family = registry.add_family(Kind::counter, named("x_total", {"n"}, kSeries));
  FamilyOptions timed = named("x_seconds", {"n"}, kSeries);
  timed.buckets = &kThree;
  const auto histograms = registry.add_family(Kind::histogram, timed);

  std::vector<CounterId> ids(kSeries);
  std::vector<HistogramId> timers(kSeries);
  std::atomic<std::uint32_t> published{0};
  std::vector<std::thread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&, shard = &registry.new_shard()] {
      for (std::uint32_t done = 0; done < kSeries;) {
        const std::uint32_t ready = published.load(std::memory_order_acquire);
        for (; done < ready; ++done) {
          shard->add(ids[done], done);
          shard->observe(timers[done], 5ms);
          shard->add(ids[0], 1);
        }
      }
    });
  }
  for (std::uint32_t i = 0; i < kSeries; ++i) {
    const std::string n = std::to_string(i);
    ids[i] = registry.counter(family, {n});
    timers[i] = registry.histogram(histograms, {n});
    published.store(i + 1, std::memory_order_release);
    if (i % 1000 == 0) CHECK(!registry.text().empty());
  }
  for (auto& w : workers) w.join();
  CHECK(registry.value(ids[0]) == kWorkers * kSeries);
  for (std::uint32_t i = 1; i < kSeries; ++i) REQUIRE(registry.value(ids[i]) == std::uint64_t{kWorkers} * i);
  const auto text = parse(registry.text());
  for (std::uint32_t i = 0; i < kSeries; i += 97) {
    REQUIRE(text.at("x_seconds_bucket{n=\"" + std::to_string(i) + "\",le=\"0.01\"}") == kWorkers);
    REQUIRE(text.at("x_seconds_bucket{n=\"" + std::to_string(i) + "\",le=\"0.001\"}") == 0);
  }
}
