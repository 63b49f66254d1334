#include "sallyport/net/timer_wheel.hpp"

#include <algorithm>
#include <chrono>

namespace sallyport::net {

namespace {
// A deadline beyond this is "never"; keeps now + duration from overflowing.
constexpr base::Milliseconds kLongest = std::chrono::hours(24 * 365);
// Configured timeouts are some dozens; what goes beyond them (remaining totals, jitter) leaves
// lists behind that are swept once empty.
constexpr std::size_t kListsKept = 64;
}  // namespace

void TimerWheel::arm(Timer& timer, base::Milliseconds after, base::Instant now) {
  after = std::clamp(after, base::Milliseconds(0), kLongest);
  // Within one turn the same is often asked for twice.
  if (timer.linked() && timer.deadline_ == now + after) return;
  // A dozen numbers side by side are found faster one by one than by halves.
  auto at =
      std::find_if(lists_.begin(), lists_.end(), [after](const Entry& e) { return e.duration == after; });
  if (at == lists_.end()) at = lists_.insert(at, Entry{after, std::make_unique<List>()});
  List& list = *at->timers;
  timer.unlink();
  timer.deadline_ = now + after;
  // The order of the list is the order of its deadlines, whatever `now` a caller brings.
  if (const Timer* last = list.back(); last != nullptr) {
    timer.deadline_ = std::max(timer.deadline_, last->deadline_);
  }
  list.push_back(&timer);
}

std::size_t TimerWheel::advance(base::Instant now) {
  // Collected first, fired second: what a callback arms waits for a later call, and a timer
  // that a callback cancels or destroys takes itself off this list.
  base::IntrusiveList<Timer, TimerTag> due;
  for (const Entry& entry : lists_) {
    List& list = *entry.timers;
    while (!list.empty() && list.front()->deadline_ <= now) due.push_back(list.front());
  }
  if (lists_.size() > kListsKept) {
    std::erase_if(lists_, [](const Entry& entry) { return entry.timers->empty(); });
  }
  std::size_t fired = 0;
  while (Timer* timer = due.pop_front()) {
    ++fired;
    timer->on_timer();
  }
  return fired;
}

std::size_t TimerWheel::armed() const noexcept {
  std::size_t n = 0;
  for (const Entry& entry : lists_) {
    for (Timer* t = entry.timers->front(); t != nullptr; t = entry.timers->next(t)) ++n;
  }
  return n;
}

}  // namespace sallyport::net
