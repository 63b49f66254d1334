// What /status tells of the last minute and of the running one is what was counted in them.
#include <thread>
#include <vector>

#include "sallyport/obs/health_minutes.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::obs;

namespace {

base::WallTime at(int minute) {
  return base::WallTime(std::chrono::minutes(minute));
}

ScoreBins bins_of(std::initializer_list<std::pair<unsigned, std::uint32_t>> counts) {
  ScoreBins bins{};
  for (const auto& [score, n] : counts) bins[score] = n;
  return bins;
}

void check(const ScoreQuantiles& q, std::uint64_t handshakes, unsigned p5, unsigned p50, unsigned p95) {
  CHECK(q.handshakes == handshakes);
  CHECK(q.p5 == p5);
  CHECK(q.p50 == p50);
  CHECK(q.p95 == p95);
}

}  // namespace

TEST_CASE("quantiles are nearest ranks") {
  check(quantiles(bins_of({})), 0, 0, 0, 0);
  check(quantiles(bins_of({{70, 1}})), 1, 70, 70, 70);
  check(quantiles(bins_of({{60, 1}, {90, 19}})), 20, 60, 90, 90);
  check(quantiles(bins_of({{60, 1}, {90, 20}})), 21, 90, 90, 90);  // the 5 % are the first two
  check(quantiles(bins_of({{0, 50}, {100, 50}})), 100, 0, 0, 100);
  check(quantiles(bins_of({{0, 49}, {100, 51}})), 100, 0, 100, 100);
  check(quantiles(bins_of({{10, 95}, {20, 5}})), 100, 10, 10, 10);
  check(quantiles(bins_of({{10, 94}, {20, 6}})), 100, 10, 10, 20);
}

TEST_CASE("a minute ends, and the next begins empty") {
  HealthMinutes minutes(at(0));
  const auto a = minutes.host("a.test");
  const auto b = minutes.host("b.test");
  a->add(90);
  a->add(90);
  b->add(50);
  HealthReport report = minutes.report();
  CHECK(report.minute_began == at(0));
  check(report.all.running, 3, 50, 90, 90);
  check(report.all.last, 0, 0, 0, 0);
  minutes.end_minute(at(1));
  a->add(80);
  report = minutes.report();
  CHECK(report.minute_began == at(1));
  check(report.all.last, 3, 50, 90, 90);
  check(report.all.running, 1, 80, 80, 80);
  REQUIRE(report.hosts.size() == 2);
  CHECK(report.hosts[0].name == "a.test");
  check(report.hosts[0].minutes.last, 2, 90, 90, 90);
  check(report.hosts[0].minutes.running, 1, 80, 80, 80);
  check(report.hosts[1].minutes.last, 1, 50, 50, 50);
  minutes.end_minute(at(2));
  minutes.end_minute(at(3));
  report = minutes.report();
  CHECK(report.hosts.empty());
  check(report.all.last, 0, 0, 0, 0);
}

TEST_CASE("a host is kept while it is held or has something to tell") {
  HealthMinutes minutes(at(0));
  auto held = minutes.host("a.test");
  CHECK(minutes.host("a.test") == held);
  held->add(10);
  held.reset();
  minutes.end_minute(at(1));
  CHECK(minutes.report().hosts.size() == 1);  // of the last minute
  minutes.end_minute(at(2));
  CHECK(minutes.report().hosts.empty());
  minutes.host("a.test")->add(20);
  check(minutes.report().all.running, 1, 20, 20, 20);
}

TEST_CASE("a score beyond the scale counts as the best") {
  HealthMinutes minutes(at(0));
  minutes.host("a.test")->add(255);
  check(minutes.report().all.running, 1, 100, 100, 100);
}

TEST_CASE("workers count at once and none is lost") {
  HealthMinutes minutes(at(0));
  const auto host = minutes.host("a.test");
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&host] {
      for (int n = 0; n < 10'000; ++n) host->add(100);
    });
  }
  std::uint64_t last = 0;
  for (int minute = 1; minute <= 50; ++minute) {
    minutes.end_minute(at(minute));
    last += minutes.report().all.last.handshakes;
  }
  for (std::thread& worker : workers) worker.join();
  minutes.end_minute(at(51));
  CHECK(last + minutes.report().all.last.handshakes == 40'000);
}
