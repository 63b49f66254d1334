#include "sallyport/obs/health_minutes.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

namespace sallyport::obs {

namespace {

// Counters wrap around, their differences do not.
ScoreBins difference(const ScoreBins& now, const ScoreBins& before) noexcept {
  ScoreBins bins;
  std::transform(now.begin(), now.end(), before.begin(), bins.begin(), std::minus<>());
  return bins;
}

void add(ScoreBins& sum, const ScoreBins& bins) noexcept {
  std::transform(sum.begin(), sum.end(), bins.begin(), sum.begin(), std::plus<>());
}

bool empty(const ScoreBins& bins) noexcept {
  return std::all_of(bins.begin(), bins.end(), [](std::uint32_t n) { return n == 0; });
}

unsigned quantile(const ScoreBins& bins, std::uint64_t total, unsigned percent) noexcept {
  const std::uint64_t rank = (total * percent + 99) / 100;
  std::uint64_t seen = 0;
  for (unsigned score = 0; score < kScores; ++score) {
    seen += bins[score];
    if (seen >= rank) return score;
  }
  return kScores - 1;
}

}  // namespace

ScoreQuantiles quantiles(const ScoreBins& bins) noexcept {
  ScoreQuantiles found;
  found.handshakes = std::accumulate(bins.begin(), bins.end(), std::uint64_t{0});
  if (found.handshakes == 0) return found;
  found.p5 = quantile(bins, found.handshakes, 5);
  found.p50 = quantile(bins, found.handshakes, 50);
  found.p95 = quantile(bins, found.handshakes, 95);
  return found;
}

ScoreBins HealthMinutes::Host::counted() const noexcept {
  ScoreBins bins;
  for (std::size_t i = 0; i < kScores; ++i) bins[i] = counts_[i].load(std::memory_order_relaxed);
  return bins;
}

std::shared_ptr<HealthMinutes::Host> HealthMinutes::host(std::string_view label) {
  const std::lock_guard lock(mutex_);
  const auto at = hosts_.find(label);
  if (at != hosts_.end()) return at->second;
  return hosts_.emplace(label, std::make_shared<Host>()).first->second;
}

void HealthMinutes::end_minute(base::WallTime now) {
  const std::lock_guard lock(mutex_);
  began_ = now;
  for (auto at = hosts_.begin(); at != hosts_.end();) {
    Host& host = *at->second;
    const ScoreBins counted = host.counted();
    host.last_ = difference(counted, host.at_minute_);
    host.at_minute_ = counted;
    // A worker that would hold it again asks under the lock.
    const bool gone = at->second.use_count() == 1 && empty(host.last_);
    at = gone ? hosts_.erase(at) : std::next(at);
  }
}

HealthReport HealthMinutes::report() const {
  HealthReport report;
  ScoreBins last{};
  ScoreBins running{};
  const std::lock_guard lock(mutex_);
  report.minute_began = began_;
  for (const auto& [name, host] : hosts_) {
    const ScoreBins now = difference(host->counted(), host->at_minute_);
    if (empty(now) && empty(host->last_)) continue;
    add(last, host->last_);
    add(running, now);
    report.hosts.push_back({name, {quantiles(host->last_), quantiles(now)}});
  }
  report.all = {quantiles(last), quantiles(running)};
  return report;
}

}  // namespace sallyport::obs
