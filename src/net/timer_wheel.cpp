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
  const auto at = std::lower_bound(
      lists_.begin(), lists_.end(), after,
      [](const std::unique_ptr<List>& list, base::Milliseconds wanted) { return list->duration < wanted; });
  List* list = nullptr;
  if (at != lists_.end() && (*at)->duration == after) {
    list = at->get();
  } else {
    list = lists_.insert(at, std::unique_ptr<List>(new List{after, {}}))->get();
  }
  timer.unlink();
  timer.deadline_ = now + after;
  // The order of the list is the order of its deadlines, whatever `now` a caller brings.
  if (const Timer* last = list->timers.back(); last != nullptr) {
    timer.deadline_ = std::max(timer.deadline_, last->deadline_);
  }
  list->timers.push_back(&timer);
}

std::size_t TimerWheel::advance(base::Instant now) {
  // Collected first, fired second: what a callback arms waits for a later call, and a timer
  // that a callback cancels or destroys takes itself off this list.
  base::IntrusiveList<Timer, TimerTag> due;
  for (const auto& list : lists_) {
    while (!list->timers.empty() && list->timers.front()->deadline_ <= now) {
      due.push_back(list->timers.front());
    }
  }
  if (lists_.size() > kListsKept) {
    std::erase_if(lists_, [](const std::unique_ptr<List>& list) { return list->timers.empty(); });
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
  for (const auto& list : lists_) {
    for (Timer* t = list->timers.front(); t != nullptr; t = list->timers.next(t)) ++n;
  }
  return n;
}

}  // namespace sallyport::net
