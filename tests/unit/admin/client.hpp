// A raw HTTP client for the admin tests: bytes out, bytes in, over TCP or a unix socket. Blocking,
// with the test's time limit as its only deadline.
#pragma once

#include <arpa/inet.h>
#include <cstdlib>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace sallyport::admin::test {

class Client {
 public:
  // "127.0.0.1:port", "[::1]:port" or "unix:path".
  explicit Client(const std::string& address) {
    if (address.starts_with("unix:")) {
      sockaddr_un to{};
      to.sun_family = AF_UNIX;
      address.copy(to.sun_path, sizeof to.sun_path - 1, 5);
      connect(reinterpret_cast<const sockaddr*>(&to), sizeof to);
    } else if (address.starts_with("[")) {
      sockaddr_in6 to{};
      to.sin6_family = AF_INET6;
      to.sin6_addr = in6addr_loopback;
      to.sin6_port = htons(port_of(address));
      connect(reinterpret_cast<const sockaddr*>(&to), sizeof to);
    } else {
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      to.sin_port = htons(port_of(address));
      connect(reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  // One response, by its Content-Length; what came if the peer closed before.
  std::string response(bool has_body = true) {
    for (;;) {
      const std::size_t head = buffer_.find("\r\n\r\n");
      if (head != std::string::npos) {
        const std::size_t at = buffer_.find("Content-Length: ");
        const std::size_t body = has_body && at < head ? std::stoul(buffer_.substr(at + 16)) : 0;
        if (buffer_.size() >= head + 4 + body) {
          std::string one = buffer_.substr(0, head + 4 + body);
          buffer_.erase(0, one.size());
          return one;
        }
      }
      if (!more()) return std::exchange(buffer_, {});
    }
  }
  // Everything until the peer closes.
  std::string rest() {
    while (more()) {
    }
    return std::exchange(buffer_, {});
  }

 private:
  static std::uint16_t port_of(const std::string& address) {
    return static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
  }
  void connect(const sockaddr* to, socklen_t size) {
    fd_ = ::socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0 || ::connect(fd_, to, size) != 0) {
      ::close(fd_);
      throw std::runtime_error("connect");
    }
  }
  bool more() {
    char some[4096];
    const ssize_t n = ::recv(fd_, some, sizeof some, 0);
    if (n > 0) buffer_.append(some, static_cast<std::size_t>(n));
    return n > 0;
  }

  int fd_ = -1;
  std::string buffer_;
};

inline std::string get(const std::string& address, const std::string& path,
                       const std::string& method = "GET") {
  Client client(address);
  client.send(method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  return client.rest();
}

}  // namespace sallyport::admin::test
