#include "sallyport/net/blocking_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace sallyport::net {

namespace {

using Status = BlockingSocket::Status;

Status status_of(int error) noexcept {
  switch (error) {
    case 0:
      return Status::ok;
    case ECONNREFUSED:
      return Status::refused;
    case ETIMEDOUT:
      return Status::timeout;
    case ECONNRESET:
    case EPIPE:
      return Status::reset;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:  // no address of that family here
    case EAFNOSUPPORT:
      return Status::unreachable;
    default:
      return Status::failed;
  }
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress native(const Endpoint& endpoint) noexcept {
  SocketAddress to;
  const auto& bytes = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, bytes.data() + 12, 4);
    std::memcpy(&to.storage, &v4, sizeof v4);
    to.size = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    std::memcpy(&v6.sin6_addr, bytes.data(), bytes.size());
    std::memcpy(&to.storage, &v6, sizeof v6);
    to.size = sizeof v6;
  }
  return to;
}

}  // namespace

BlockingSocket::~BlockingSocket() {
  close();
}

BlockingSocket::BlockingSocket(BlockingSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), reset_(other.reset_) {}

BlockingSocket& BlockingSocket::operator=(BlockingSocket&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    reset_ = other.reset_;
  }
  return *this;
}

void BlockingSocket::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool BlockingSocket::wait(short events, base::Instant deadline) const {
  for (;;) {
    const auto left =
        std::chrono::ceil<base::Milliseconds>(std::max(deadline - base::Clock::now(), base::Duration(0)));
    pollfd one{fd_, events, 0};
    constexpr std::int64_t kMost = std::numeric_limits<int>::max();
    const int ready = ::poll(&one, 1, static_cast<int>(std::min<std::int64_t>(left.count(), kMost)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

Status BlockingSocket::connect(const Endpoint& to, base::Instant deadline) {
  close();
  reset_ = false;
  const SocketAddress address = native(to);
  fd_ = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return status_of(errno);
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0)
    return Status::ok;
  int error = errno;
  if (error == EINPROGRESS) {
    if (!wait(POLLOUT, deadline)) return Status::timeout;
    socklen_t size = sizeof error;
    if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  }
  return status_of(error);
}

Status BlockingSocket::send(std::span<const char> bytes, base::Instant deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      if (!wait(POLLOUT, deadline)) return Status::timeout;
    } else if (errno != EINTR) {
      const Status status = status_of(errno);
      reset_ = status == Status::reset;
      return status;
    }
  }
  return Status::ok;
}

BlockingSocket::Received BlockingSocket::receive(std::span<char> into, base::Instant deadline) {
  for (;;) {
    const ssize_t n = ::recv(fd_, into.data(), into.size(), 0);
    if (n > 0) return {Status::ok, static_cast<std::size_t>(n)};
    if (n == 0) return {reset_ ? Status::reset : Status::eof, 0};
    if (errno == EAGAIN) {
      if (!wait(POLLIN, deadline)) return {Status::timeout, 0};
    } else if (errno != EINTR) {
      return {status_of(errno), 0};
    }
  }
}

bool BlockingSocket::wait_readable(base::Instant deadline) {
  return wait(POLLIN, deadline);
}

}  // namespace sallyport::net
