#include "sallyport/net/poller.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <unistd.h>

namespace sallyport::net {

namespace {
constexpr std::int64_t kMostWait = 60'000;  // milliseconds; whoever waits longer asks again
}  // namespace

Poller::Poller() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Poller::~Poller() {
  ::close(fd_);
}

int Poller::watch(int fd, std::uint32_t events, Watched& who) noexcept {
  epoll_event wanted{events | EPOLLET, {.ptr = &who}};
  return ::epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &wanted) == 0 ? 0 : errno;
}

void Poller::rewatch(int fd, std::uint32_t events, Watched& who) noexcept {
  epoll_event wanted{events | EPOLLET, {.ptr = &who}};
  ::epoll_ctl(fd_, EPOLL_CTL_MOD, fd, &wanted);
}

void Poller::unwatch(int fd, Watched& who) noexcept {
  static_cast<base::ListHook<ReadyTag>&>(who).unlink();
  ::epoll_ctl(fd_, EPOLL_CTL_DEL, fd, nullptr);
}

bool Poller::dispatch(base::Milliseconds most) noexcept {
  base::IntrusiveList<Watched, ReadyTag> ready;
  ready.splice_back(again_);
  std::array<epoll_event, kBatch> events;  // NOLINT: filled up to n
  const int patience = ready.empty() ? static_cast<int>(std::min<std::int64_t>(most.count(), kMostWait)) : 0;
  const int n = ::epoll_wait(fd_, events.data(), kBatch, patience);
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    auto* const who = static_cast<Watched*>(event.data.ptr);
    who->events_untold |= event.events;
    ready.push_back(who);
  }
  // By a list of theirs: whoever dies before its turn comes takes itself off.
  const bool any = !ready.empty();
  while (Watched* who = ready.pop_front()) who->on_ready(std::exchange(who->events_untold, 0));
  return any;
}

}  // namespace sallyport::net
