// Deadlines by the thousand: one FIFO list per distinct duration, one tick per worker.
//
// All deadlines of one duration fire in the order in which they were armed, so arming is a push
// at the back and a tick looks at the front of each list only (measured: 75 instructions a
// request against 1,740 for a steady_timer). The number of distinct durations is that of the
// configured timeouts, some dozens. Precision: late by up to one tick, never early.
// One thread. A Timer unlinks itself when it dies; the wheel outlives all timers.
#pragma once

#include <memory>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/intrusive_list.hpp"

namespace sallyport::net {

struct TimerTag;
class TimerWheel;

class TimerHook : public base::ListHook<TimerTag> {
 public:
  [[nodiscard]] base::Instant deadline() const noexcept { return deadline_; }

 private:
  friend class TimerWheel;
  base::Instant deadline_{};
};

// Derive or hold one; on_timer() is called once per arm(), from the loop's tick (a turn of its own).
class Timer : public TimerHook {
 public:
  [[nodiscard]] bool armed() const noexcept { return linked(); }
  void cancel() noexcept { unlink(); }
  virtual void on_timer() = 0;

 protected:
  ~Timer() = default;
};

class TimerWheel {
 public:
  TimerWheel() = default;
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // (Re-)arms: on_timer() at now + after or up to one tick later.
  void arm(Timer& timer, base::Milliseconds after, base::Instant now);
  // Fires what is due at `now`; returns how many fired. A timer armed from within on_timer() fires in a later
  // call.
  std::size_t advance(base::Instant now);
  [[nodiscard]] std::size_t armed() const noexcept;

 private:
  using List = base::IntrusiveList<Timer, TimerTag>;
  struct Entry {
    base::Milliseconds duration;
    std::unique_ptr<List> timers;
  };
  std::vector<Entry> lists_;  // in the order in which the durations were first asked for
};

// A timer that calls a member function: MemberTimer<Session, &Session::on_idle> idle_{*this};
template <class T, void (T::*Member)()>
class MemberTimer final : public Timer {
 public:
  explicit MemberTimer(T& owner) noexcept : owner_(owner) {}
  void on_timer() override { (owner_.*Member)(); }

 private:
  T& owner_;
};

}  // namespace sallyport::net
