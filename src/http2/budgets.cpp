#include "sallyport/http2/budgets.hpp"

#include <algorithm>
#include <chrono>

namespace sallyport::http2 {

std::string_view to_string(Flood flood) noexcept {
  switch (flood) {
    case Flood::rapid_reset:
      return "rapid_reset";
    case Flood::provoked_reset:
      return "provoked_reset";
    case Flood::continuation:
      return "continuation";
    case Flood::settings:
      return "settings";
    case Flood::ping:
      return "ping";
    case Flood::priority:
      return "priority";
    case Flood::empty_frames:
      return "empty_frames";
    case Flood::window_update:
      return "window_update";
    case Flood::unknown_frames:
      break;
  }
  return "unknown_frames";
}

bool TokenBucket::take(base::Instant now) noexcept {
  if (tokens_ < budget_.burst) refill(now);
  if (tokens_ == 0) return false;
  // The first token out of a full bucket starts its clock: time before that earned nothing.
  if (tokens_ == budget_.burst) refilled_ = now;
  --tokens_;
  return true;
}

void TokenBucket::earn(std::uint32_t n) noexcept {
  tokens_ = std::max(tokens_, std::min(tokens_ + n, kMostEarned));
}

void TokenBucket::refill(base::Instant now) noexcept {
  if (budget_.per_second == 0 || now <= refilled_) return;
  const auto step = base::Duration(std::chrono::seconds(1)) / budget_.per_second;
  const auto steps = (now - refilled_) / step;
  const auto room = static_cast<std::int64_t>(budget_.burst - tokens_);
  if (steps >= room) {
    tokens_ = budget_.burst;
    refilled_ = now;
  } else {
    tokens_ += static_cast<std::uint32_t>(steps);
    refilled_ += step * steps;
  }
}

FloodGuard::FloodGuard(const Budgets& b) noexcept
    : buckets_{TokenBucket(b.rapid_reset),  TokenBucket(b.provoked_reset), TokenBucket({b.continuations, 0}),
               TokenBucket(b.settings),     TokenBucket(b.ping),           TokenBucket(b.priority),
               TokenBucket(b.empty_frames), TokenBucket(b.window_update),  TokenBucket(b.unknown_frames)},
      continuations_(b.continuations) {}

void FloodGuard::head_begins() noexcept {
  bucket(Flood::continuation) = TokenBucket({continuations_, 0});
}

}  // namespace sallyport::http2
