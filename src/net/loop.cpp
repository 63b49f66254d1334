#include "sallyport/net/loop.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace sallyport::net {

namespace {
// Passes over the work lists before the turn ends and the rest waits for the next round: objects that keep
// waking each other must not starve the sockets.
constexpr int kRoundsPerTurn = 64;
// Write blocks kept; most are needed for one turn only.
constexpr std::size_t kSpareBlocks = 4;
}  // namespace

Loop::Waker::Waker(Poller& poller) : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  const int error_number = fd_ < 0 ? errno : poller.watch(fd_, EPOLLIN, *this);
  if (error_number == 0) return;
  if (fd_ >= 0) ::close(fd_);
  throw std::system_error(error_number, std::generic_category(), "eventfd");
}

Loop::Waker::~Waker() {
  ::close(fd_);
}

// One write wakes for all that comes until the loop looks.
void Loop::Waker::wake() noexcept {
  if (woken_.exchange(true)) return;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(fd_, &one, sizeof one));
}

void Loop::Waker::on_ready(std::uint32_t) {
  std::uint64_t wakes = 0;
  static_cast<void>(!::read(fd_, &wakes, sizeof wakes));
  // Before anything is looked for: who comes later wakes anew.
  woken_ = false;
  woke_ = true;
}

Loop::Loop(base::Milliseconds resolution)
    : waker_(poller_),
      now_(base::Clock::now()),
      wall_now_(base::WallClock::now()),
      resolution_(resolution),
      next_tick_(now_ + resolution),
      scratch_(std::make_unique_for_overwrite<char[]>(kScratch)),
      read_buffer_(std::make_unique_for_overwrite<char[]>(kReadBuffer)) {
  spare_blocks_.reserve(kSpareBlocks);
}

Loop::~Loop() {
  // What was posted and not run may use the loop as it goes.
  std::exchange(posted_, {}).clear();
  // The dead may hold sockets, and may hand in more dead.
  while (!dead_.empty()) std::exchange(dead_, {}).clear();
}

void Loop::run() {
  next_tick_ = base::Clock::now() + resolution_;
  while (!stopped_.exchange(false)) run_once(base::Milliseconds::max());
}

void Loop::stop() {
  stopped_ = true;
  waker_.wake();
}

bool Loop::run_once(base::Milliseconds most) {
  base::Milliseconds wait{0};
  if (!has_work()) {
    const base::Duration to_tick = std::max(next_tick_ - base::Clock::now(), base::Duration(0));
    wait = std::min(most, std::chrono::ceil<base::Milliseconds>(to_tick));
  }
  const bool worked = poller_.dispatch(wait);
  if (waker_.woke()) run_posted();
  if (base::Clock::now() >= next_tick_) tick();
  if (std::exchange(drain_wanted_, false) || !late_.empty()) {
    const Turn turn(*this);
    flushes_.splice_back(late_);
  }
  return worked;
}

void Loop::tick() {
  const Turn turn(*this);
  const base::Instant now = base::Clock::now();
  lag_ = std::max<base::Duration>(lag_, now - next_tick_);
  next_tick_ = now + resolution_;
  timers_.advance(now_);
  flushes_.splice_back(by_tick_);
}

void Loop::enqueue(std::unique_ptr<Call> call) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(call));
  }
  waker_.wake();
}

void Loop::run_posted() {
  std::vector<std::unique_ptr<Call>> calls;
  {
    const std::lock_guard lock(posted_mutex_);
    calls.swap(posted_);
  }
  for (std::unique_ptr<Call>& call : calls) {
    const Turn turn(*this);
    const std::unique_ptr<Call> now = std::move(call);
    (*now)();
  }
}

void Loop::reap(std::unique_ptr<Reapable> dead) {
  dead_.push_back(std::move(dead));
  if (depth_ == 0) drain_wanted_ = true;
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
  if (!wakes_.empty() || !flushes_.empty() || !dead_.empty()) drain_wanted_ = true;
}

}  // namespace sallyport::net
