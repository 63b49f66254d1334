// Readiness of the sockets of one loop: an epoll set, edge-triggered.
//
// Asio receives again behind every read to learn that there is nothing, and asks epoll anew for each
// wait; here a descriptor is registered once, and whoever owns it remembers whether it is drained.
//
// Owned by its Loop, used on that loop's thread only. A Watched may die at any time, also within its
// own on_ready(): it leaves the set when its descriptor is closed (which must have no duplicate).
// epoll(7), "Edge-triggered and level-triggered".
#pragma once

#include <cstdint>
#include <sys/epoll.h>
#include <utility>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/intrusive_list.hpp"

namespace sallyport::net {

struct ReadyTag;

// Who is told of its descriptor's events; never from within another call into the poller than dispatch().
class Watched : public base::ListHook<ReadyTag> {
 public:
  // What epoll said since the last call (EPOLLIN, ...); 0 for one that asked for it by again().
  virtual void on_ready(std::uint32_t events) = 0;

  std::uint32_t events_untold = 0;  // the poller's

 protected:
  ~Watched() = default;
};

class Poller {
 public:
  // Throws std::system_error when the process is out of descriptors.
  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // From here on `who` is told of the edges of `events`, and at once of what is so already. 0 or the errno:
  // ENOSPC at the limit fs.epoll.max_user_watches, ENOMEM.
  [[nodiscard]] int watch(int fd, std::uint32_t events, Watched& who) noexcept;
  // Other events for a watched descriptor; tells at once of those that hold.
  void rewatch(int fd, std::uint32_t events, Watched& who) noexcept;
  // For a descriptor that goes into other hands; closing one does the same.
  void unwatch(int fd, Watched& who) noexcept;

  // Waits up to `most` for one to be ready, but not if somebody asked for the call before; then calls those
  // that are ready, each once, and those that asked. At most kBatch descriptors; the others are still ready
  // afterwards. Whether anybody was called.
  bool dispatch(base::Milliseconds most) noexcept;
  static constexpr int kBatch = 128;

  // To be called by the next dispatch(), whatever its descriptor says.
  void again(Watched& who) noexcept { again_.push_back(&who); }
  [[nodiscard]] bool wants_dispatch() const noexcept { return !again_.empty(); }

 private:
  int fd_;
  base::IntrusiveList<Watched, ReadyTag> again_;
};

}  // namespace sallyport::net
