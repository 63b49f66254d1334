#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "sallyport/net/listener.hpp"

namespace sallyport::net {

namespace {

enum class Sharing : std::uint8_t { probe, shared };

bool is_any_v6(const Endpoint& endpoint) {
  return !endpoint.address.is_v4() && endpoint.address == IpAddress::v6({});
}

// A system without IPv6 knows no such family, or no such address.
bool means_no_ipv6(int error_number) {
  return error_number == EAFNOSUPPORT || error_number == EADDRNOTAVAIL;
}

std::string remedy(const Endpoint& address, int error_number) {
  switch (error_number) {
    case EADDRINUSE:
      return "another program (or another Sallyport, or a listener of ours: [::] takes IPv4 too) listens "
             "there: "
             "stop it or choose another port; `ss "
             "-ltnp "
             "'sport = :" +
             std::to_string(address.port) + "'` names it";
    case EACCES:
      return "ports below 1024 need CAP_NET_BIND_SERVICE: grant it or choose a port from 1024 on";
    case EADDRNOTAVAIL:
      return "no interface of this machine has that address: correct it or bring the interface up first";
    case EAFNOSUPPORT:
      return "this system has no IPv6: use an IPv4 address";
    case EMFILE:
    case ENFILE:
      return "out of file descriptors: raise the limit (LimitNOFILE= in the unit, ulimit -n)";
    default:
      return "see the error's text";
  }
}

BindError bind_error(const Endpoint& address, int error_number) {
  return {error_number, "cannot listen on " + address.to_string() + ": " + std::strerror(error_number) +
                            "; " + remedy(address, error_number)};
}

void enable(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof(value));
}

// A bound descriptor, or -errno.
int bind_one(const Endpoint& address, Sharing sharing) {
  const auto target = to_asio(address);
  const int fd =
      ::socket(target.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return -errno;
  // Connections of an earlier process in TIME_WAIT are no reason to refuse; a listener is.
  enable(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (sharing == Sharing::shared) enable(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (is_any_v6(address)) enable(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (::bind(fd, target.data(), static_cast<socklen_t>(target.size())) == 0) return fd;
  const int error_number = errno;
  ::close(fd);
  return -error_number;
}

}  // namespace

ListenerSocket::~ListenerSocket() {
  if (fd_ >= 0) ::close(fd_);
}

boost::system::result<std::vector<ListenerSocket>, BindError> ListenerSocket::bind_set(
    const Endpoint& address, std::size_t count, int backlog, const TcpOptions& options) {
  Endpoint at = address;
  int probe = bind_one(at, Sharing::probe);
  if (probe < 0 && is_any_v6(at) && means_no_ipv6(-probe)) {
    at.address = IpAddress();
    probe = bind_one(at, Sharing::probe);
  }
  if (probe < 0) return bind_error(address, -probe);
  ::close(probe);

  std::vector<ListenerSocket> sockets;
  sockets.reserve(count);
  while (sockets.size() < count) {
    const int fd = bind_one(at, Sharing::shared);
    if (fd < 0) return bind_error(address, -fd);
    sockets.emplace_back(fd);
    apply(options, fd);
    at.port = sockets.front().local().port;
  }
  for (const ListenerSocket& socket : sockets) {
    if (::listen(socket.fd(), backlog) != 0) return bind_error(address, errno);
  }
  return sockets;
}

}  // namespace sallyport::net
