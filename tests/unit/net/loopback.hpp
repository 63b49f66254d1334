// What the tests of net/ share: real sockets over loopback (the port is always 0) and a loop
// that runs until something holds. No sleeps: the bound below is for a test that would hang.
#pragma once

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "sallyport/net/listener.hpp"
#include "sallyport/net/loop.hpp"
#include "sallyport/net/tcp.hpp"

namespace sallyport::net::test {

template <class Predicate>
[[nodiscard]] bool run_until(Loop& loop, Predicate holds) {
  const auto give_up = base::Clock::now() + std::chrono::seconds(30);
  while (!holds()) {
    if (base::Clock::now() > give_up) return false;
    loop.run_once(base::Milliseconds(100));
  }
  return true;
}

// Runs what is ready now, and nothing that would have to be waited for.
inline void run_ready(Loop& loop) {
  while (loop.run_once(base::Milliseconds(0))) {
  }
}

// Timers that would be due after `ahead`, without waiting for it.
inline void advance(Loop& loop, base::Milliseconds ahead) {
  const Loop::Turn turn(loop);
  loop.timers().advance(loop.now() + ahead);
}

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { close(); }
  void close() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

inline Descriptor raw_socket(bool v6 = false) {
  return Descriptor(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// 0 or the errno.
inline int raw_connect(const Descriptor& socket, const Endpoint& to) {
  const auto target = to_asio(to);
  return ::connect(socket.get(), target.data(), static_cast<socklen_t>(target.size())) == 0 ? 0 : errno;
}

inline void set_non_blocking(const Descriptor& socket) {
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
}

inline void reset_on_close(Descriptor& socket) {
  const linger now{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  socket.close();
}

inline void send_text(const Descriptor& socket, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Until FIN or an error; what came so far.
inline std::string receive_all(const Descriptor& socket, int* error_number = nullptr) {
  std::string text;
  std::vector<char> chunk(64 * 1024);
  for (;;) {
    const ssize_t n = ::recv(socket.get(), chunk.data(), chunk.size(), 0);
    if (n <= 0) {
      if (error_number != nullptr) *error_number = n < 0 ? errno : 0;
      return text;
    }
    text.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

inline int socket_option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  ::getsockopt(fd, level, name, &value, &size);
  return value;
}

inline std::size_t readable_bytes(int fd) {
  int n = 0;
  ::ioctl(fd, FIONREAD, &n);
  return static_cast<std::size_t>(n);
}

// Until the peer's RST has arrived; reads nothing, so that the next send is what meets it.
[[nodiscard]] inline bool await_reset(int fd) {
  pollfd watched{fd, 0, 0};
  return ::poll(&watched, 1, 30'000) == 1 && (watched.revents & POLLERR) != 0;
}

// Exactly n bytes, waiting for them.
inline std::string receive(const Descriptor& socket, std::size_t n) {
  std::string text(n, '\0');
  const ssize_t got = ::recv(socket.get(), text.data(), n, MSG_WAITALL);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

// Until n connections wait in a listening socket's queue (the kernel tells its length there).
[[nodiscard]] inline bool await_queued(int listening, std::size_t n) {
  const auto give_up = base::Clock::now() + std::chrono::seconds(30);
  tcp_info info{};
  do {
    socklen_t size = sizeof(info);
    ::getsockopt(listening, IPPROTO_TCP, TCP_INFO, &info, &size);
    if (base::Clock::now() > give_up) return false;
  } while (info.tcpi_unacked < n);
  return true;
}

inline std::vector<ListenerSocket> listen_on(const Endpoint& at, std::size_t count = 1,
                                             int backlog = ListenerSocket::kBacklog) {
  auto sockets = ListenerSocket::bind_set(at, count, backlog);
  return sockets ? std::move(*sockets) : std::vector<ListenerSocket>{};
}

inline Endpoint loopback() {
  return {IpAddress::v4({127, 0, 0, 1}), 0};
}

// A connected pair: ours for a loop, the peer's as a plain blocking descriptor.
struct Pair {
  Pair() : peer(raw_socket()) {
    const auto listening = listen_on(loopback());
    raw_connect(peer, listening.at(0).local());
    ours = TcpSocket(::accept4(listening.at(0).fd(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  TcpSocket ours;
  Descriptor peer;
};

// Bytes whose value tells their place, so that loss, repetition and reordering all show.
inline char pattern(std::size_t at) {
  return static_cast<char>((at * 2654435761U) >> 13);
}

inline std::string patterned(std::size_t from, std::size_t n) {
  std::string text(n, '\0');
  for (std::size_t i = 0; i < n; ++i) text[i] = pattern(from + i);
  return text;
}

}  // namespace sallyport::net::test
