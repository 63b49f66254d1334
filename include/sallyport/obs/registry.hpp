// All metric families and their series, process-wide; sums the workers' shards at a scrape.
//
// Owned by Metrics (by the server), made before the workers and dying after them. Registering
// takes a lock, is done while a configuration is built (or once at a series' first use) and is
// idempotent: the same label values give the same id, so counters survive reloads and never go
// backwards. Label values are closed sets from configuration or code, never a client's text.
// A family has at most `cap` series; what comes later is counted under label values "_other"
// and in sallyport_metrics_overflow_total, so no configuration can make a scrape unbounded.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/obs/shard.hpp"

namespace sallyport::obs {

inline constexpr std::size_t kSeriesCap = 2000;
inline constexpr std::string_view kOther = "_other";

enum class Kind : std::uint8_t { counter, gauge, histogram };

// What the series beyond a family's cap say when their values are set, not counted.
enum class Overflow : std::uint8_t { sum, minimum };

using LabelValues = std::initializer_list<std::string_view>;

struct FamilyOptions {
  std::string name;  // as exposed
  std::string help;
  std::vector<std::string> labels;
  const Buckets* buckets = &kNoBuckets;  // histograms
  std::size_t cap = kSeriesCap;
  Overflow overflow = Overflow::sum;
  double scale = 1;  // counters and gauges: what one unit of a slot is in the exposed unit
};

class Registry {
 public:
  struct FamilyRef {
    std::uint32_t index = 0;
  };
  // One row of a table of values: label values in the family's order, and the number.
  struct Row {
    std::vector<std::string> labels;
    double value = 0;
  };

  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // A shard for one more writing thread. Lives as long as the registry.
  [[nodiscard]] Shard& new_shard();

  [[nodiscard]] FamilyRef add_family(Kind kind, FamilyOptions options);

  // Thread-safe; the same label values give the same id. The number of values is the family's.
  [[nodiscard]] CounterId counter(FamilyRef family, LabelValues labels);
  [[nodiscard]] GaugeId gauge(FamilyRef family, LabelValues labels);
  [[nodiscard]] HistogramId histogram(FamilyRef family, LabelValues labels);

  // Series that are set or asked for rather than counted in shards. Thread-safe.
  void set(FamilyRef family, LabelValues labels, double value);
  void add(FamilyRef family, LabelValues labels, double value);
  // `read` is called at each scrape, on the scraping thread and under the registry's lock, until
  // the registry dies; it must not call the registry.
  void pull(FamilyRef family, LabelValues labels, std::function<double()> read);
  // Replaces all set() series of the family: what is not in `rows` is no longer exposed (a
  // certificate that was replaced must not go on to alarm).
  void replace(FamilyRef family, std::vector<Row> rows);

  // The Prometheus text format 0.0.4. Any thread; holds the lock for one family at a time.
  [[nodiscard]] std::string text() const;

  // For tests and the status page: the sum over all shards.
  [[nodiscard]] std::uint64_t value(CounterId id) const;
  [[nodiscard]] std::int64_t value(GaugeId id) const;

 private:
  struct Family;
  struct Series;
  class Exposition;

  Series& series(Family& family, std::vector<std::string> labels);
  [[nodiscard]] std::uint32_t slot(FamilyRef family, LabelValues labels, std::uint32_t slots);
  [[nodiscard]] const Buckets* buckets(FamilyRef family) const;
  std::uint32_t allocate(std::uint32_t slots);
  [[nodiscard]] std::uint64_t sum(std::uint32_t slot) const;

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Family>> families_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::uint32_t next_slot_;
  FamilyRef overflow_;
};

}  // namespace sallyport::obs
