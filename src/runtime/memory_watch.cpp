#include "memory_watch.hpp"

#include <utility>

#include "sallyport/base/memory.hpp"

namespace sallyport::runtime {

namespace {
// Between two looks memory can grow by what the network brings: 25 MB in 20 ms at 10 Gbit/s. Far
// from the limit less often will do.
constexpr base::Milliseconds kInterval{100};
constexpr base::Milliseconds kIntervalNear{20};
constexpr std::uint64_t kNearPercent = 50;
constexpr base::Milliseconds kTrimInterval{1000};
}  // namespace

MemoryWatch::MemoryWatch(boost::asio::io_context& io, OnPressure on_pressure, OnTrim on_trim)
    : on_pressure_(std::move(on_pressure)), on_trim_(std::move(on_trim)), timer_(io) {}

void MemoryWatch::limit(std::uint64_t bytes) {
  gauge_.limit(bytes);
  limit_.store(bytes, std::memory_order_relaxed);
  if (!std::exchange(started_, true)) wait();
}

void MemoryWatch::wait() {
  timer_.expires_after(near_ ? kIntervalNear : kInterval);
  timer_.async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;
    look();
    wait();
  });
}

void MemoryWatch::look() {
  const base::Pressure before = gauge_.level();
  std::uint64_t resident = resident_memory();
  const base::Instant now = base::Clock::now();
  const bool pressed = before != base::Pressure::none || gauge_.at(resident) != base::Pressure::none;
  const bool after_reload = looks_to_trim_ > 0 && --looks_to_trim_ == 0;
  const bool trim = after_reload || (pressed && now - trimmed_ >= kTrimInterval);
  if (trim) {
    trimmed_ = now;
    on_trim_();
    base::return_free_memory();
    resident = resident_memory();
  }
  near_ = limit() != 0 && resident * 100 / limit() >= kNearPercent;
  const base::Pressure level = gauge_.update(resident);
  if (level != before || (level == base::Pressure::no_idle && trim)) on_pressure_(level, resident);
}

}  // namespace sallyport::runtime
