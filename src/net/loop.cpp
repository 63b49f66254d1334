#include "sallyport/net/loop.hpp"

#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

namespace sallyport::net {

namespace {
// Passes over the work lists before the turn ends and the rest is posted: objects that keep
// waking each other must not starve the sockets.
constexpr int kRoundsPerTurn = 64;
// Write blocks kept; most are needed for one turn only.
constexpr std::size_t kSpareBlocks = 4;
}  // namespace

struct Loop::Tick {
  using WaitableTimer =
      boost::asio::basic_waitable_timer<base::Clock, boost::asio::wait_traits<base::Clock>, Executor>;

  Tick(Loop& owner, base::Milliseconds period) : loop(owner), resolution(period), timer(owner.io_) {}

  void arm() {
    timer.expires_after(resolution);
    timer.async_wait([this](const boost::system::error_code& ec) {
      if (ec) return;
      {
        const Turn turn(loop);
        loop.timers_.advance(loop.now_);
      }
      arm();
    });
  }

  Loop& loop;
  base::Milliseconds resolution;
  WaitableTimer timer;
};

// One thread runs the loop and uses its sockets, so those need no lock; others may post to it.
Loop::Loop(base::Milliseconds resolution)
    : now_(base::Clock::now()),
      wall_now_(base::WallClock::now()),
      scratch_(std::make_unique_for_overwrite<char[]>(kScratch)),
      read_buffer_(std::make_unique_for_overwrite<char[]>(kReadBuffer)),
      io_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO),
      readiness_(io_, poller_.fd()),
      tick_(std::make_unique<Tick>(*this, resolution)) {
  spare_blocks_.reserve(kSpareBlocks);
  await_ready();
}

Loop::~Loop() {
  readiness_.release();
  // The dead may hold sockets, and may hand in more dead.
  while (!dead_.empty()) std::exchange(dead_, {}).clear();
}

void Loop::run() {
  const auto work = boost::asio::make_work_guard(io_);
  tick_->arm();
  io_.run();
  tick_->timer.cancel();
  io_.restart();
}

void Loop::stop() {
  io_.stop();
}

void Loop::reap(std::unique_ptr<Reapable> dead) {
  dead_.push_back(std::move(dead));
  if (depth_ == 0) drain_soon();
}

void Loop::flush_late(Flush& f) noexcept {
  late_.push_back(&f);
  if (poller_.dispatching() || std::exchange(late_posted_, true)) return;
  boost::asio::post(io_, [this] {
    late_posted_ = false;
    const Turn turn(*this);
    flushes_.splice_back(late_);
  });
}

// Asio looks at the poller as at one descriptor, asked for anew each time: what dispatch() left ready is
// told again.
void Loop::await_ready() {
  readiness_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                        [this](const boost::system::error_code& ec) {
                          if (ec) return;
                          dispatch();
                          await_ready();
                        });
}

void Loop::dispatch() noexcept {
  poller_.dispatch();
  if (!late_.empty()) {
    const Turn turn(*this);
    flushes_.splice_back(late_);
  }
  if (poller_.wants_dispatch()) dispatch_soon();
}

void Loop::dispatch_soon() noexcept {
  if (std::exchange(dispatch_posted_, true)) return;
  boost::asio::post(io_, [this] {
    dispatch_posted_ = false;
    dispatch();
  });
}

base::Buffer Loop::lend_write_block() {
  base::Buffer block;
  if (!spare_blocks_.empty()) {
    block = std::move(spare_blocks_.back());
    spare_blocks_.pop_back();
  } else {
    static_cast<void>(block.prepare(kWriteBlock));
  }
  return block;
}

// One that grew beyond its size is not worth keeping.
void Loop::give_back(base::Buffer&& block) noexcept {
  block.clear();
  const bool usual = block.capacity() >= kWriteBlock && block.capacity() < 2 * kWriteBlock;
  if (usual && spare_blocks_.size() < kSpareBlocks) {
    spare_blocks_.push_back(std::move(block));
  } else {
    block.release();
  }
}

void Loop::begin_turn() noexcept {
  now_ = base::Clock::now() + skipped_;
  wall_now_ = base::WallClock::now();
}

Loop::Turn::Turn(Loop& loop) noexcept : loop_(loop) {
  if (loop_.depth_++ == 0) loop_.begin_turn();
}

Loop::Turn::~Turn() {
  // Work is done while the depth is still 1, so that turns opened by it join this one.
  if (loop_.depth_ == 1) loop_.drain();
  --loop_.depth_;
}

void Loop::drain() noexcept {
  for (int round = 0; round < kRoundsPerTurn; ++round) {
    if (!wakes_.empty()) {
      base::IntrusiveList<Wake, WakeTag> batch;
      batch.splice_back(wakes_);
      while (Wake* wake = batch.pop_front()) wake->on_wake();
    } else if (!flushes_.empty()) {
      base::IntrusiveList<Flush, FlushTag> batch;
      batch.splice_back(flushes_);
      while (Flush* flush = batch.pop_front()) flush->on_flush();
    } else if (!dead_.empty()) {
      // Kept for its memory; they may hand in more dead.
      buried_.swap(dead_);
      buried_.clear();
    } else {
      return;
    }
  }
  if (!wakes_.empty() || !flushes_.empty() || !dead_.empty()) drain_soon();
}

void Loop::drain_soon() noexcept {
  if (std::exchange(drain_posted_, true)) return;
  boost::asio::post(io_, [this] {
    drain_posted_ = false;
    const Turn turn(*this);
  });
}

}  // namespace sallyport::net
