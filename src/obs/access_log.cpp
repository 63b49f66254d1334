#include "sallyport/obs/access_log.hpp"

#include <condition_variable>
#include <deque>
#include <fcntl.h>
#include <mutex>
#include <optional>
#include <poll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include "line_sink.hpp"

namespace sallyport::obs {

namespace {

// What wakes the writer: counts nothing, only ends its wait.
class Doorbell {
 public:
  Doorbell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;
  ~Doorbell() { ::close(fd_); }

  void ring() noexcept { eventfd_write(fd_, 1); }
  void wait(base::Milliseconds at_most) noexcept {
    pollfd ready{fd_, POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(at_most.count()));
    eventfd_t rung = 0;
    eventfd_read(fd_, &rung);
  }

 private:
  const int fd_;
};

}  // namespace

struct AccessLog::State {
  explicit State(AccessLogOptions o) : options(std::move(o)), sink(LineSink::open(options.path)) {}

  void run();
  void drain();
  void write(std::vector<iovec>& pieces);
  void change_sink();
  [[nodiscard]] bool out_of_time();
  void fail(int error) const {
    if (options.on_error) options.on_error(error);
  }

  AccessLogOptions options;  // path: under the mutex
  Doorbell doorbell;

  std::mutex mutex;
  std::condition_variable flushed;
  std::deque<AccessRing> rings;  // only added to
  bool stop = false;
  base::Instant stop_deadline{};
  bool reopen = false;
  std::optional<LineSink> next_sink;  // from redirect()
  std::uint64_t flush_wanted = 0;
  std::uint64_t flush_done = 0;

  // The writer's own.
  LineSink sink;
  std::atomic<std::uint64_t> failed{0};
  std::thread writer;
};

// While the process runs, a sink that stalls is waited for: the rings fill, and the workers drop.
bool AccessLog::State::out_of_time() {
  const std::lock_guard lock(mutex);
  return stop && base::Clock::now() >= stop_deadline;
}

void AccessLog::State::write(std::vector<iovec>& pieces) {
  const LineSink::Outcome outcome = sink.write(pieces, [this] { return out_of_time(); });
  if (outcome.error == 0) return;
  failed.fetch_add(outcome.lines_lost, std::memory_order_relaxed);
  fail(outcome.error);
}

// Everything that is in the rings now, from their own memory, in one write.
void AccessLog::State::drain() {
  std::vector<AccessRing*> all;
  {
    const std::lock_guard lock(mutex);
    for (AccessRing& ring : rings) all.push_back(&ring);
  }
  std::vector<iovec> pieces;
  for (AccessRing* ring : all) {
    const AccessRing::Readable readable = ring->readable();
    for (const std::span<const char> piece : {readable.first, readable.second}) {
      if (!piece.empty()) pieces.push_back({const_cast<char*>(piece.data()), piece.size()});
    }
  }
  if (!pieces.empty() && sink.is_open()) write(pieces);
  for (AccessRing* ring : all) ring->release();
}

void AccessLog::State::change_sink() {
  std::unique_lock lock(mutex);
  const bool anew = std::exchange(reopen, false);
  std::optional<LineSink> next = std::exchange(next_sink, std::nullopt);
  const std::string path = options.path;
  lock.unlock();
  if (next) {
    sink = std::move(*next);
  } else if (anew) {
    try {
      sink = LineSink::open(path);
    } catch (const std::system_error& e) {
      fail(e.code().value());
    }
  }
}

void AccessLog::State::run() {
  for (;;) {
    std::unique_lock lock(mutex);
    const bool last = stop;
    const std::uint64_t wanted = flush_wanted;
    lock.unlock();

    drain();
    change_sink();

    lock.lock();
    flush_done = wanted;
    flushed.notify_all();
    lock.unlock();
    if (last) return;
    // Also after a busy pass: what gathers meanwhile leaves in one write.
    doorbell.wait(kPoll);
  }
}

AccessLog::AccessLog(AccessLogOptions options) : state_(std::make_unique<State>(std::move(options))) {
  state_->writer = std::thread([state = state_.get()] { state->run(); });
}

AccessLog::~AccessLog() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
    state_->stop_deadline = base::Clock::now() + state_->options.drain;
  }
  state_->doorbell.ring();
  state_->writer.join();
}

AccessRing& AccessLog::new_ring() {
  const std::lock_guard lock(state_->mutex);
  AccessRing& ring = state_->rings.emplace_back(state_->options.ring_bytes,
                                                [state = state_.get()] { state->doorbell.ring(); });
  ring.enable(state_->options.path != "off");
  return ring;
}

void AccessLog::reopen() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->reopen = true;
  }
  state_->doorbell.ring();
}

void AccessLog::redirect(const std::string& path) {
  LineSink next = LineSink::open(path);
  {
    const std::lock_guard lock(state_->mutex);
    state_->options.path = path;
    state_->next_sink = std::move(next);
    for (AccessRing& ring : state_->rings) ring.enable(path != "off");
  }
  state_->doorbell.ring();
}

void AccessLog::flush() {
  std::unique_lock lock(state_->mutex);
  const std::uint64_t wanted = ++state_->flush_wanted;
  state_->doorbell.ring();
  state_->flushed.wait(lock, [this, wanted] { return state_->flush_done >= wanted; });
}

std::uint64_t AccessLog::dropped_full() const {
  const std::lock_guard lock(state_->mutex);
  std::uint64_t n = 0;
  for (const AccessRing& ring : state_->rings) n += ring.dropped();
  return n;
}

std::uint64_t AccessLog::dropped_failed() const {
  return state_->failed.load(std::memory_order_relaxed);
}

}  // namespace sallyport::obs
