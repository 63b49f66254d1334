#include "sallyport/obs/registry.hpp"

#include <algorithm>
#include <cassert>
#include <map>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace sallyport::obs {

// What default ids write to: the widest histogram from slot 0 on.
static constexpr std::uint32_t kScrapSlots = Buckets::kMax + 2;

Shard::~Shard() {
  for (const auto& block : blocks_) delete block.load(std::memory_order_relaxed);
}

void Shard::grow(std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    if (blocks_[i].load(std::memory_order_relaxed) == nullptr)
      blocks_[i].store(new Block, std::memory_order_release);
  }
}

std::uint64_t Shard::read(std::uint32_t slot) const noexcept {
  const Block* block = blocks_[slot / kBlockSlots].load(std::memory_order_acquire);
  return block->slots[slot % kBlockSlots].load(std::memory_order_relaxed);
}

// Counted in shards from `slot` on; or asked for; or, with neither, the value that was set.
struct Registry::Series {
  std::uint32_t slot = 0;
  std::function<double()> read;
  double value = 0;
  bool fresh = true;
};

struct Registry::Family {
  Kind kind;
  FamilyOptions options;
  std::map<std::vector<std::string>, Series> series;

  [[nodiscard]] std::vector<std::string> other() const {
    return std::vector<std::string>(options.labels.size(), std::string(kOther));
  }
};

Registry::Registry() : next_slot_(kScrapSlots) {
  FamilyOptions overflow;
  overflow.name = "sallyport_metrics_overflow_total";
  overflow.help = "Series that were not made because their metric had reached its cap.";
  overflow.labels = {"metric"};
  overflow_ = add_family(Kind::counter, std::move(overflow));
}

Registry::~Registry() = default;

Shard& Registry::new_shard() {
  const std::lock_guard lock(mutex_);
  shards_.push_back(std::make_unique<Shard>());
  shards_.back()->grow((next_slot_ - 1) / Shard::kBlockSlots + 1);
  return *shards_.back();
}

Registry::FamilyRef Registry::add_family(Kind kind, FamilyOptions options) {
  const std::lock_guard lock(mutex_);
  families_.push_back(std::make_unique<Family>(Family{kind, std::move(options), {}}));
  return {static_cast<std::uint32_t>(families_.size() - 1)};
}

// Slots of one series lie in one block, so that an id is one number. Returns 0, the scrap, when
// all blocks are in use: the series reads as zero and nothing else is disturbed.
std::uint32_t Registry::allocate(std::uint32_t slots) {
  std::uint32_t first = next_slot_;
  if (first / Shard::kBlockSlots != (first + slots - 1) / Shard::kBlockSlots)
    first = (first / Shard::kBlockSlots + 1) * Shard::kBlockSlots;
  const std::uint32_t blocks = (first + slots - 1) / Shard::kBlockSlots + 1;
  if (blocks > Shard::kBlocks) return 0;
  for (const auto& shard : shards_) shard->grow(blocks);
  next_slot_ = first + slots;
  return first;
}

Registry::Series& Registry::series(Family& family, std::vector<std::string> labels) {
  assert(labels.size() == family.options.labels.size());
  if (const auto found = family.series.find(labels); found != family.series.end()) return found->second;
  if (family.series.size() < family.options.cap) return family.series[std::move(labels)];
  families_[overflow_.index]->series[{family.options.name}].value += 1;
  return family.series[family.other()];
}

std::uint32_t Registry::slot(FamilyRef ref, LabelValues labels, std::uint32_t slots) {
  const std::lock_guard lock(mutex_);
  Series& s = series(*families_[ref.index], {labels.begin(), labels.end()});
  if (s.slot == 0) s.slot = allocate(slots);
  return s.slot;
}

CounterId Registry::counter(FamilyRef family, LabelValues labels) {
  return {slot(family, labels, 1)};
}

GaugeId Registry::gauge(FamilyRef family, LabelValues labels) {
  return {slot(family, labels, 1)};
}

HistogramId Registry::histogram(FamilyRef family, LabelValues labels) {
  const Buckets* buckets = this->buckets(family);
  return {slot(family, labels, buckets->slots()), buckets};
}

const Buckets* Registry::buckets(FamilyRef family) const {
  const std::lock_guard lock(mutex_);
  return families_[family.index]->options.buckets;
}

static void put(Overflow overflow, double& held, bool& fresh, double value, bool shared) {
  if (fresh || !shared)
    held = value;
  else
    held = overflow == Overflow::minimum ? std::min(held, value) : held + value;
  fresh = false;
}

void Registry::set(FamilyRef ref, LabelValues labels, double value) {
  const std::lock_guard lock(mutex_);
  Family& family = *families_[ref.index];
  Series& s = series(family, {labels.begin(), labels.end()});
  s.value = value;
  s.fresh = false;
}

void Registry::add(FamilyRef ref, LabelValues labels, double value) {
  const std::lock_guard lock(mutex_);
  series(*families_[ref.index], {labels.begin(), labels.end()}).value += value;
}

void Registry::pull(FamilyRef ref, LabelValues labels, std::function<double()> read) {
  const std::lock_guard lock(mutex_);
  series(*families_[ref.index], {labels.begin(), labels.end()}).read = std::move(read);
}

void Registry::replace(FamilyRef ref, std::vector<Row> rows) {
  const std::lock_guard lock(mutex_);
  Family& family = *families_[ref.index];
  family.series.clear();
  const std::vector<std::string> other = family.other();
  for (Row& row : rows) {
    Series& s = series(family, std::move(row.labels));
    const auto found = family.series.find(other);
    const bool shared = found != family.series.end() && &found->second == &s;
    put(family.options.overflow, s.value, s.fresh, row.value, shared);
  }
}

std::uint64_t Registry::sum(std::uint32_t slot) const {
  std::uint64_t total = 0;
  for (const auto& shard : shards_) total += shard->read(slot);
  return total;
}

std::uint64_t Registry::value(CounterId id) const {
  const std::lock_guard lock(mutex_);
  return sum(id.slot);
}

std::int64_t Registry::value(GaugeId id) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::int64_t>(sum(id.slot));
}

// One pass over the registry in prometheus-cpp's terms.
class Registry::Exposition final : public prometheus::Collectable {
 public:
  explicit Exposition(const Registry& registry) : registry_(registry) {}

  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> out;
    for (std::size_t i = 0;; ++i) {
      const std::lock_guard lock(registry_.mutex_);
      if (i == registry_.families_.size()) break;
      const Family& family = *registry_.families_[i];
      if (!family.series.empty()) out.push_back(family_of(family));
    }
    return out;
  }

 private:
  [[nodiscard]] prometheus::MetricFamily family_of(const Family& family) const {
    prometheus::MetricFamily out;
    out.name = family.options.name;
    out.help = family.options.help;
    switch (family.kind) {
      case Kind::counter:
        out.type = prometheus::MetricType::Counter;
        break;
      case Kind::gauge:
        out.type = prometheus::MetricType::Gauge;
        break;
      case Kind::histogram:
        out.type = prometheus::MetricType::Histogram;
        break;
    }
    out.metric.reserve(family.series.size());
    for (const auto& [labels, series] : family.series) {
      prometheus::ClientMetric& metric = out.metric.emplace_back();
      for (std::size_t i = 0; i < labels.size(); ++i)
        metric.label.push_back({family.options.labels[i], labels[i]});
      if (family.kind == Kind::histogram)
        fill(metric.histogram, *family.options.buckets, series.slot);
      else if (family.kind == Kind::counter)
        metric.counter.value = number(family, series);
      else
        metric.gauge.value = number(family, series);
    }
    return out;
  }

  [[nodiscard]] double number(const Family& family, const Series& series) const {
    if (series.read) return series.read();
    if (series.slot == 0) return series.value;
    const std::uint64_t n = registry_.sum(series.slot);
    return family.options.scale * (family.kind == Kind::gauge
                                       ? static_cast<double>(static_cast<std::int64_t>(n))
                                       : static_cast<double>(n));
  }

  void fill(prometheus::ClientMetric::Histogram& out, const Buckets& buckets, std::uint32_t slot) const {
    if (slot == 0) return;
    std::uint64_t below = 0;
    for (std::uint32_t i = 0; i < buckets.count; ++i) {
      below += registry_.sum(slot + i);
      out.bucket.push_back({below, static_cast<double>(buckets.bounds_ns[i]) / 1e9});
    }
    // The serializer adds "+Inf" from the count.
    out.sample_count = below + registry_.sum(slot + buckets.count);
    out.sample_sum = static_cast<double>(registry_.sum(slot + buckets.count + 1)) / 1e9;
  }

  const Registry& registry_;
};

std::string Registry::text() const {
  const prometheus::TextSerializer serializer;
  return serializer.Serialize(Exposition(*this).Collect());
}

}  // namespace sallyport::obs
