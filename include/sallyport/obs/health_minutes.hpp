// Scores of handshakes, 0-100, by host and minute: what the status page tells of them.
//
// Owned by the server, outlives the workers. They count into a host's bins, one relaxed addition a
// handshake; the control thread ends the minute; any thread may ask for a report. Hosts come with
// the labels that metrics have (at most kHostLabelLimit at a time), and go at the end of a minute
// in which nobody held or counted for them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/base/clock.hpp"

namespace sallyport::obs {

inline constexpr std::size_t kScores = 101;
using ScoreBins = std::array<std::uint32_t, kScores>;

// The score that so many percent of the handshakes did not exceed: the smallest one at which the
// count reaches that share (nearest rank). All 0 without a handshake.
struct ScoreQuantiles {
  std::uint64_t handshakes = 0;
  unsigned p5 = 0, p50 = 0, p95 = 0;
};
[[nodiscard]] ScoreQuantiles quantiles(const ScoreBins& bins) noexcept;

struct HealthReport {
  struct Minutes {
    ScoreQuantiles last;     // the last whole minute
    ScoreQuantiles running;  // the one since `minute_began`
  };
  struct Host {
    std::string name;
    Minutes minutes;
  };
  base::WallTime minute_began{};
  Minutes all;
  std::vector<Host> hosts;  // those with a handshake in either, by name
};

class HealthMinutes {
 public:
  class Host {
   public:
    void add(unsigned score) noexcept {
      counts_[score < kScores ? score : kScores - 1].fetch_add(1, std::memory_order_relaxed);
    }

   private:
    friend class HealthMinutes;
    [[nodiscard]] ScoreBins counted() const noexcept;  // since the host was first seen
    std::array<std::atomic<std::uint32_t>, kScores> counts_{};
    ScoreBins at_minute_{};  // counted() when the running minute began
    ScoreBins last_{};       // in the minute before it
  };

  explicit HealthMinutes(base::WallTime now) : began_(now) {}
  HealthMinutes(const HealthMinutes&) = delete;
  HealthMinutes& operator=(const HealthMinutes&) = delete;

  // Any thread; takes a lock. The same label gives the same object as long as somebody holds it.
  [[nodiscard]] std::shared_ptr<Host> host(std::string_view label);
  // The running minute is over.
  void end_minute(base::WallTime now);
  [[nodiscard]] HealthReport report() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Host>, std::less<>> hosts_;
  base::WallTime began_;
};

}  // namespace sallyport::obs
