// How a coroutine on a worker waits for what callbacks tell: one waiter, a flag, and the turn's
// wake list between them.
//
//   while (!response_ && !error_) co_await changed_.wait();
//
// raise() never resumes the waiter from within the raiser: it is resumed later in the same turn
// (or, outside of one, when the next turn ends, so raise from within a turn). One thread. The
// signal outlives the coroutine that waits on it, or dies with it (both held by one owner).
#pragma once

#include <coroutine>
#include <utility>

#include "sallyport/net/loop.hpp"

namespace sallyport::net {

class Signal final : private Wake {
 public:
  explicit Signal(Loop& loop) noexcept : loop_(loop) {}

  void raise() noexcept {
    raised_ = true;
    if (waiter_) loop_.wake(*this);
  }

  class Awaiter {
   public:
    explicit Awaiter(Signal* signal) noexcept : signal_(signal) {}
    [[nodiscard]] bool await_ready() const noexcept { return signal_->raised_; }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept { signal_->waiter_ = waiter; }
    void await_resume() const noexcept { signal_->raised_ = false; }

   private:
    Signal* signal_;
  };
  // Returns at once if raised since the last wait. One coroutine at a time.
  [[nodiscard]] Awaiter wait() noexcept { return Awaiter(this); }

 private:
  void on_wake() override {
    if (waiter_) std::exchange(waiter_, {}).resume();
  }

  Loop& loop_;
  std::coroutine_handle<> waiter_;
  bool raised_ = false;
};

}  // namespace sallyport::net
