// A worker's event loop, and what it lends to everything that lives on it: the readiness of its sockets,
// calls from other threads, the cached time, the timer wheel, the turn's work lists and the scratch buffers.
//
// One per worker thread; nothing here is thread-safe but post() and stop(). It outlives all
// sessions, streams and pools of its worker. It waits in epoll itself, not in an io_context: Asio in between
// costs two system calls for every event of a socket (tests/bench/README.md).
//
// A *turn* is the handling of one event: of a socket that is ready, a timer, a call that was posted. Every
// handler opens a Turn first; when the outermost Turn ends, the loop runs what the handler put off, in this
// order until nothing is left: wake-ups (coroutines, receivers), flushes (sessions with output to pump, once
// each), and at the very end the dead (Reapable objects are destroyed when no code of theirs is on the
// stack). So no object is called back from within a call into it, none dies while it runs, and one send
// carries everything that a turn produced.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "sallyport/base/buffer.hpp"
#include "sallyport/base/clock.hpp"
#include "sallyport/base/intrusive_list.hpp"
#include "sallyport/base/pressure.hpp"
#include "sallyport/net/poller.hpp"
#include "sallyport/net/timer_wheel.hpp"

namespace sallyport::net {

struct WakeTag;
struct FlushTag;

// Something to run later in this turn. Unlinks itself when it dies.
class Wake : public base::ListHook<WakeTag> {
 public:
  virtual void on_wake() = 0;

 protected:
  ~Wake() = default;
};

// Something with output to send at the end of this turn.
class Flush : public base::ListHook<FlushTag> {
 public:
  virtual void on_flush() = 0;

 protected:
  ~Flush() = default;
};

// Something that is given to the loop to be destroyed once the turn is over.
class Reapable {
 public:
  Reapable() = default;
  Reapable(const Reapable&) = delete;
  Reapable& operator=(const Reapable&) = delete;
  virtual ~Reapable() = default;
};

class Loop {
 public:
  // `resolution` is the timer wheel's tick.
  explicit Loop(base::Milliseconds resolution = base::Milliseconds(100));
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Any thread: f() runs on the loop, in a turn of its own. What is never run is destroyed with the loop.
  template <class F>
  void post(F f) {
    struct Made final : Call {
      explicit Made(F&& g) : run(std::move(g)) {}
      void operator()() override { run(); }
      F run;
    };
    enqueue(std::make_unique<Made>(std::move(f)));
  }
  [[nodiscard]] TimerWheel& timers() noexcept { return timers_; }
  // Sockets are watched here. What becomes ready at the same time is told in one go.
  [[nodiscard]] Poller& poller() noexcept { return poller_; }
  // See Poller::again(): behind all that is ready now, so that one busy socket does not starve others.
  void again(Watched& who) noexcept { poller_.again(who); }

  // The time at which the current turn began; read once a turn.
  [[nodiscard]] base::Instant now() const noexcept { return now_; }
  // For tests: so much time has passed, from here on. Fires what is due.
  void skip(base::Duration time) {
    skipped_ += time;
    now_ += time;
    timers_.advance(now_);
  }
  [[nodiscard]] base::WallTime wall_now() const noexcept { return wall_now_; }

  // Each is on its list at most once. Outside a turn they run in a turn of their own, in the loop's next
  // round.
  void wake(Wake& w) noexcept {
    wakes_.push_back(&w);
    if (depth_ == 0) drain_wanted_ = true;
  }
  void flush(Flush& f) noexcept {
    flushes_.push_back(&f);
    if (depth_ == 0) drain_wanted_ = true;
  }
  // The same once all that is ready now has had its turn: for output that grows with each of them
  // (the frames of many streams), so that it leaves in one send.
  void flush_late(Flush& f) noexcept { late_.push_back(&f); }
  // The same with the next tick at the latest: for output that nobody waits for, which leaves with what else
  // is flushed of the same object before.
  void flush_by_tick(Flush& f) noexcept { by_tick_.push_back(&f); }
  void reap(std::unique_ptr<Reapable> dead);

  // Plaintext scratch, shared by all connections of the worker: valid within one handler call,
  // and by only one user at a time.
  [[nodiscard]] std::span<char> scratch() noexcept { return {scratch_.get(), kScratch}; }
  static constexpr std::size_t kScratch = 64 * 1024;

  // What sockets are read into, one after the other: valid within one SocketIo::Handler::on_read().
  // Just under 32 KiB: what two HTTP/2 frames carry that fill a TLS record each, head included.
  [[nodiscard]] std::span<char> read_buffer() noexcept { return {read_buffer_.get(), kReadBuffer}; }
  static constexpr std::size_t kReadBuffer = 2 * (16 * 1024 - 9);

  // A large block for output that outgrows a connection's own: grown there step by step it would be
  // copied as often, and given back after each send it would grow each time anew.
  static constexpr std::size_t kWriteBlock = 256 * 1024;
  [[nodiscard]] base::Buffer lend_write_block();
  void give_back(base::Buffer&& block) noexcept;

  // How short of memory the process is; the worker says it.
  void pressure(base::Pressure level) noexcept { pressure_ = level; }
  [[nodiscard]] base::Pressure pressure() const noexcept { return pressure_; }
  // What a body in flight may hold at the moment where it may hold `full` otherwise. With less
  // memory there is one TLS record's worth, so that those already admitted stop to grow.
  [[nodiscard]] std::size_t body_window(std::size_t full) const noexcept {
    return pressure_ == base::Pressure::none || full < kTightWindow ? full : kTightWindow;
  }
  static constexpr std::size_t kTightWindow = 16 * 1024;

  // Opens a turn. Nested turns join the outer one.
  class Turn {
   public:
    explicit Turn(Loop& loop) noexcept;
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Loop& loop_;
  };

  // Runs until stop(), which may have come before. May be called from one thread only.
  void run();
  // Any thread.
  void stop();
  // One round: waits up to `most` for something to do, and does all that there is then. Whether a socket was
  // ready or another thread called. For loops that are driven by hand.
  bool run_once(base::Milliseconds most);

  // The worst that a tick was late since this was last asked: what timers, and so all others, waited for.
  [[nodiscard]] base::Duration take_lag() noexcept { return std::exchange(lag_, base::Duration(0)); }

 private:
  friend class Turn;
  struct Call {
    virtual ~Call() = default;
    virtual void operator()() = 0;
  };
  // What other threads wake the loop by: an eventfd in its own set.
  class Waker final : public Watched {
   public:
    explicit Waker(Poller& poller);
    ~Waker();
    Waker(const Waker&) = delete;
    Waker& operator=(const Waker&) = delete;
    void wake() noexcept;
    // Whether somebody did, since this was last asked.
    [[nodiscard]] bool woke() noexcept { return std::exchange(woke_, false); }

   private:
    void on_ready(std::uint32_t events) override;

    int fd_;
    bool woke_ = false;
    std::atomic<bool> woken_{false};
  };

  void enqueue(std::unique_ptr<Call> call);
  void run_posted();
  void tick();
  [[nodiscard]] bool has_work() const noexcept {
    return poller_.wants_dispatch() || !late_.empty() || drain_wanted_;
  }
  void drain() noexcept;
  void begin_turn() noexcept;

  Poller poller_;
  Waker waker_;
  TimerWheel timers_;
  base::Instant now_;
  base::Duration skipped_{0};
  base::WallTime wall_now_;
  std::uint32_t depth_ = 0;
  base::Pressure pressure_ = base::Pressure::none;
  bool drain_wanted_ = false;  // something was put off outside a turn, or beyond a turn's rounds
  std::atomic<bool> stopped_{false};
  base::Milliseconds resolution_;
  base::Instant next_tick_;
  base::Duration lag_{0};
  base::IntrusiveList<Wake, WakeTag> wakes_;
  base::IntrusiveList<Flush, FlushTag> flushes_;
  base::IntrusiveList<Flush, FlushTag> late_;
  base::IntrusiveList<Flush, FlushTag> by_tick_;
  std::vector<std::unique_ptr<Reapable>> dead_;
  std::vector<std::unique_ptr<Reapable>> buried_;  // being destroyed
  std::vector<base::Buffer> spare_blocks_;
  std::unique_ptr<char[]> scratch_;
  std::unique_ptr<char[]> read_buffer_;
  std::mutex posted_mutex_;
  std::vector<std::unique_ptr<Call>> posted_;
};

}  // namespace sallyport::net
