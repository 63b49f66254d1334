#include "sallyport/net/poller.hpp"

#include <array>
#include <cerrno>
#include <system_error>
#include <unistd.h>

namespace sallyport::net {

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

void Poller::dispatch() noexcept {
  dispatching_ = true;
  base::IntrusiveList<Watched, ReadyTag> ready;
  ready.splice_back(again_);
  std::array<epoll_event, kBatch> events;  // NOLINT: filled up to n
  const int n = ::epoll_wait(fd_, events.data(), kBatch, 0);
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    auto* const who = static_cast<Watched*>(event.data.ptr);
    who->events_untold |= event.events;
    ready.push_back(who);
  }
  // By a list of theirs: whoever dies before its turn comes takes itself off.
  while (Watched* who = ready.pop_front()) who->on_ready(std::exchange(who->events_untold, 0));
  dispatching_ = false;
}

}  // namespace sallyport::net
