// How much memory the process may hold and how much it holds.
//
// The bounds a stream and a connection are kept by those who buffer; this is the sum's bound,
// which stands above the product of the parts when all of them are used at once. What counts is
// resident memory, since that is what the kernel ends processes for. Control thread only.
#pragma once

#include <cstdint>
#include <filesystem>

#include "sallyport/base/pressure.hpp"

namespace sallyport::runtime {

// Bytes that the process may use: the smallest of its control group's limits (v1 and v2, and
// those of the groups around it) and the machine's memory. 0: unknown. `root` is for tests.
[[nodiscard]] std::uint64_t available_memory(const std::filesystem::path& root = "/");

// Resident memory of this process, in bytes; 0: unknown.
[[nodiscard]] std::uint64_t resident_memory();

// What `limits.memory: auto` takes of available_memory(). The rest is for what the kernel holds
// for the process and counts to its group: socket buffers, the page cache of its logs.
inline constexpr std::uint32_t kAutoPercent = 80;

// Turns amounts into levels. A level is left kReturn points below where it begins, so that what
// it sheds does not come and go with every request.
class PressureGauge {
 public:
  // 0 = no limit.
  void limit(std::uint64_t bytes) noexcept { limit_ = bytes; }
  [[nodiscard]] base::Pressure level() const noexcept { return level_; }
  // The level at this amount. 0, an amount that could not be read (no file handle is left, say),
  // changes nothing: a shortage of one thing must not end the care for another.
  base::Pressure update(std::uint64_t resident) noexcept;
  // What update() would say.
  [[nodiscard]] base::Pressure at(std::uint64_t resident) const noexcept;

  // In percent of the limit, by level from no_connections on. Between two steps there is room for
  // what connections already admitted may add while the level below sheds.
  static constexpr std::uint32_t kBegin[] = {85, 90, 95, 98};
  static constexpr std::uint32_t kReturn = 5;

 private:
  std::uint64_t limit_ = 0;
  base::Pressure level_ = base::Pressure::none;
};

}  // namespace sallyport::runtime
