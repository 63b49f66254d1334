// How long a peer may go on keeping us waiting: the one rule for a peer that stalls and for one
// that drips.
//
// A value, one a direction of a message; no timer of its own. It runs down while it is the peer's
// turn and only then: not while an origin is silent, not while we have no room to give. Each byte
// that moves gives 1 / rate of a second back, up to the stall timeout it began with. So nothing at
// all for that long ends it, and so does one byte every twenty seconds, whereas whoever keeps to
// the rate on average over that time, in whatever bursts, has all of it left. A rate of 0: any
// byte gives all of it back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sallyport/base/clock.hpp"

namespace sallyport::session {

class Patience {
 public:
  Patience() noexcept = default;
  Patience(base::Milliseconds most, std::uint32_t bytes_per_second) noexcept
      : most_(most), left_(most), rate_(bytes_per_second) {}

  // It is the peer's turn, from now on or still.
  void wait(base::Instant now) noexcept {
    if (waiting_) return;
    waiting_ = true;
    since_ = now;
  }
  // It is not.
  void rest(base::Instant now) noexcept {
    if (!waiting_) return;
    left_ = left(now);
    waiting_ = false;
  }
  void turn(bool theirs, base::Instant now) noexcept {
    if (theirs) {
      wait(now);
    } else {
      rest(now);
    }
  }
  void moved(std::size_t bytes, base::Instant now) noexcept {
    const bool all = rate_ == 0 || bytes >= whole();
    left_ = all ? most_ : std::min(most_, left(now) + worth(bytes));
    since_ = now;
  }
  void renew() noexcept {
    waiting_ = false;
    left_ = most_;
  }

  [[nodiscard]] bool waiting() const noexcept { return waiting_; }
  // Zero: it has run out.
  [[nodiscard]] base::Duration left(base::Instant now) const noexcept {
    return waiting_ ? std::max(base::Duration(0), left_ - (now - since_)) : left_;
  }
  // For a timer, whose wheel likes few different durations: what is left, rounded up to an eighth
  // of the whole.
  [[nodiscard]] base::Milliseconds deadline(base::Instant now) const noexcept {
    const base::Duration step = std::max(most_ / 8, base::Duration(base::Milliseconds(1)));
    return std::chrono::ceil<base::Milliseconds>(step * ((left(now) + step - base::Duration(1)) / step));
  }

 private:
  // Bytes that give everything back.
  [[nodiscard]] std::uint64_t whole() const noexcept {
    return static_cast<std::uint64_t>(std::chrono::ceil<base::Seconds>(most_).count()) * rate_;
  }
  [[nodiscard]] base::Duration worth(std::size_t bytes) const noexcept {
    return base::Duration(base::Seconds(1)) * static_cast<std::int64_t>(bytes) / rate_;
  }

  base::Duration most_{0};
  base::Duration left_{0};
  base::Instant since_{};
  std::uint32_t rate_ = 0;
  bool waiting_ = false;
};

}  // namespace sallyport::session
