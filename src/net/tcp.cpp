#include "sallyport/net/tcp.hpp"

#include <algorithm>
#include <array>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sallyport::net {

namespace {

void set(int fd, int level, int name, int value) noexcept {
  ::setsockopt(fd, level, name, &value, sizeof(value));
}

template <int (*Name)(int, sockaddr*, socklen_t*) noexcept>
Endpoint name_of(int fd) noexcept {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (Name(fd, address, &size) != 0) return {};
  return Endpoint::from(address);
}

}  // namespace

void TcpSocket::close() noexcept {
  if (is_open()) ::close(release());
}

// A connection without one of these still works, so failures (an odd kernel) are not errors.
void apply(const TcpOptions& options, int fd) noexcept {
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(options.keepalive_idle.count()));
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(options.keepalive_interval.count()));
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, options.keepalive_probes);
  if (options.not_sent_low_water != 0) {
    set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(options.not_sent_low_water));
  }
}

boost::asio::ip::tcp::endpoint to_asio(const Endpoint& endpoint) {
  namespace ip = boost::asio::ip;
  const auto& bytes = endpoint.address.bytes();
  if (!endpoint.address.is_v4()) return {ip::address_v6(bytes), endpoint.port};
  ip::address_v4::bytes_type four{};
  std::copy(bytes.begin() + 12, bytes.end(), four.begin());
  return {ip::address_v4(four), endpoint.port};
}

Endpoint local_endpoint(int fd) noexcept {
  return name_of<::getsockname>(fd);
}
Endpoint peer_endpoint(int fd) noexcept {
  return name_of<::getpeername>(fd);
}

}  // namespace sallyport::net
