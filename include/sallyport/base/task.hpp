// The coroutine of the house: a lazily started Task that a parent awaits or an owner holds.
//
// An exchange is one coroutine that suspends a handful of times. It lives on one worker and is
// resumed by the turn's wake list, so it needs no executor, no hand-over and no type erasure:
// A type like this was measured at the price of callbacks and asio::awaitable at 6 % more
// instructions. Frames come from operator new. A Task owns its frame: destroying it while
// suspended destroys everything in it, which is how an owner cancels.
//
// GCC 12 (house rule, checked by a lint): await into a named local; no closure, brace temporary
// or ?: inside an awaited expression. Task's own awaiter holds one pointer only.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace sallyport::base {

template <class T = void>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> parent = std::noop_coroutine();

  struct FinalAwaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
      return done.promise().parent;
    }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
  // The data plane does not throw; what does anyway (bad_alloc) has no one who could go on.
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() noexcept = default;
  explicit Task(Handle handle) noexcept : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // For the owner of a top-level task: runs to its first suspension.
  void start() { handle_.resume(); }
  [[nodiscard]] bool done() const noexcept { return !handle_ || handle_.done(); }

  class Awaiter {
   public:
    explicit Awaiter(Handle handle) noexcept : handle_(handle) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> parent) const noexcept {
      handle_.promise().parent = parent;
      return handle_;
    }
    T await_resume() const {
      if constexpr (!std::is_void_v<T>) return std::move(*handle_.promise().value);
    }

   private:
    Handle handle_;
  };
  Awaiter operator co_await() const& noexcept { return Awaiter(handle_); }
  Awaiter operator co_await() const&& noexcept { return Awaiter(handle_); }

 private:
  Handle handle_;
};

namespace detail {
template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}
}  // namespace detail

}  // namespace sallyport::base
