// Time for the data path: a monotonic instant in nanoseconds, read once a loop turn by
// whoever owns the loop and handed down; tests inject their own.
#pragma once

#include <chrono>
#include <cstdint>

namespace sallyport::base {

using Clock = std::chrono::steady_clock;
using Instant = Clock::time_point;
using Duration = std::chrono::nanoseconds;
using Milliseconds = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;
using WallClock = std::chrono::system_clock;
using WallTime = WallClock::time_point;

}  // namespace sallyport::base
