// One worker's numbers: counters, gauges and histograms as flat arrays of 64-bit slots.
//
// Owned by the Registry, one per worker; written by that worker's thread only, read by whoever
// scrapes. An update is a relaxed load and store: no lock prefix, no cache line that another
// worker writes. Ids come from the Registry and never expire. The arrays grow in blocks whose
// addresses the registering thread publishes before it hands out an id, so the worker takes no
// lock. A default id points at scrap slots that nobody reads: writing through it is harmless.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "sallyport/base/clock.hpp"

namespace sallyport::obs {

struct CounterId {
  std::uint32_t slot = 0;
};
// A gauge is the sum of what all workers added and subtracted.
struct GaugeId {
  std::uint32_t slot = 0;
};

// A histogram's upper bounds, ascending; "+Inf" is implied. Lives as long as the process.
struct Buckets {
  static constexpr std::size_t kMax = 24;
  std::array<std::int64_t, kMax> bounds_ns{};
  std::uint32_t count = 0;

  // What exceeds kMax is left out.
  [[nodiscard]] static constexpr Buckets of_seconds(std::span<const double> bounds) {
    Buckets b;
    for (const double s : bounds) {
      if (b.count < kMax) b.bounds_ns[b.count++] = static_cast<std::int64_t>(s * 1e9 + 0.5);
    }
    return b;
  }
  [[nodiscard]] static constexpr Buckets of_seconds(std::initializer_list<double> bounds) {
    return of_seconds(std::span<const double>(bounds.begin(), bounds.size()));
  }
  // Slots that one series takes: a count per bucket, "+Inf", the sum.
  [[nodiscard]] constexpr std::uint32_t slots() const noexcept { return count + 2; }
};
inline constexpr Buckets kNoBuckets{};

// Slots: a count per bucket (not cumulative), one for +Inf, then the sum in nanoseconds.
struct HistogramId {
  std::uint32_t slot = 0;
  const Buckets* buckets = &kNoBuckets;
};

class Shard {
 public:
  static constexpr std::uint32_t kBlockSlots = 1024;
  static constexpr std::uint32_t kBlocks =
      512;  // half a million slots: over any set of series under the caps

  Shard() = default;
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard();

  void add(CounterId id, std::uint64_t n = 1) noexcept { bump(id.slot, n); }
  void add(GaugeId id, std::int64_t n) noexcept { bump(id.slot, static_cast<std::uint64_t>(n)); }
  void observe(const HistogramId& id, base::Duration value) noexcept {
    const std::int64_t ns = value.count() < 0 ? 0 : value.count();
    std::uint32_t i = 0;
    while (i < id.buckets->count && ns > id.buckets->bounds_ns[i]) ++i;
    bump(id.slot + i, 1);
    bump(id.slot + id.buckets->count + 1, static_cast<std::uint64_t>(ns));
  }

  // Any thread.
  [[nodiscard]] std::uint64_t read(std::uint32_t slot) const noexcept;

 private:
  friend class Registry;
  using Slot = std::atomic<std::uint64_t>;
  struct alignas(64) Block {
    std::array<Slot, kBlockSlots> slots{};
  };

  void bump(std::uint32_t slot, std::uint64_t n) noexcept {
    Slot& s = blocks_[slot / kBlockSlots].load(std::memory_order_acquire)->slots[slot % kBlockSlots];
    s.store(s.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  // Makes blocks [0, count) writable. Under the registry's lock.
  void grow(std::uint32_t count);

  std::array<std::atomic<Block*>, kBlocks> blocks_{};
};

}  // namespace sallyport::obs
