// Looks at the process's memory ten times a second, near the limit fifty times, and tells the workers what to
// shed.
//
// Owned by the Server, on the control thread. While a level holds, all threads give back to the
// kernel what the allocator keeps for reuse, once a second: only then can resident memory fall, and
// the level end. After a reload they do so once: the configuration that was there and what reading
// the new one took may be more than all else.
#pragma once

#include <atomic>
#include <functional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "sallyport/base/clock.hpp"

#include "memory.hpp"

namespace sallyport::runtime {

class MemoryWatch {
 public:
  // Told when the level changes, and once a second while idle connections are to be closed.
  using OnPressure = std::function<void(base::Pressure level, std::uint64_t resident)>;

  // Told when memory is to be given back: the other threads' heaps are theirs to trim.
  using OnTrim = std::function<void()>;

  MemoryWatch(boost::asio::io_context& io, OnPressure on_pressure, OnTrim on_trim);

  // Bytes; 0 = no limit. The first call starts it.
  void limit(std::uint64_t bytes);
  // The workers get the time of two looks to let go of the old configuration.
  void reloaded() noexcept { looks_to_trim_ = 2; }
  // Any thread.
  [[nodiscard]] std::uint64_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }

 private:
  void wait();
  void look();

  OnPressure on_pressure_;
  OnTrim on_trim_;
  PressureGauge gauge_;
  std::atomic<std::uint64_t> limit_{0};
  boost::asio::steady_timer timer_;
  base::Instant trimmed_{};
  int looks_to_trim_ = 0;  // after a reload; 0 = none is due
  bool started_ = false;
  bool near_ = false;  // the limit
};

}  // namespace sallyport::runtime
