// The TCP socket of the data path: a descriptor and its owner, no more, since readiness comes from the
// loop's Poller. And the socket options that every connection gets. Values and free functions.
#pragma once

#include <cstdint>
#include <utility>

#include <boost/asio/ip/tcp.hpp>

#include "sallyport/base/clock.hpp"
#include "sallyport/net/address.hpp"

namespace sallyport::net {

// Owns the descriptor, if it has one. All reads and writes are non-blocking, whatever its flags say.
class TcpSocket {
 public:
  explicit TcpSocket(int fd = -1) noexcept : fd_(fd) {}
  TcpSocket(TcpSocket&& other) noexcept : fd_(other.release()) {}
  TcpSocket& operator=(TcpSocket&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = other.release();
    }
    return *this;
  }
  ~TcpSocket() { close(); }

  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void close() noexcept;

 private:
  int fd_;
};

struct TcpOptions {
  // Cloudflare probes every 30 s and gives up after two; a dead peer is found within 90 s.
  base::Seconds keepalive_idle{30};
  base::Seconds keepalive_interval{15};
  int keepalive_probes = 4;
  // How much unsent data the kernel takes before it reports "not writable": less bytes that
  // are beyond recall when an urgent frame comes, enough for one gathered send. 0: the kernel's own.
  std::uint32_t not_sent_low_water = 128 * 1024;
};

// TCP_NODELAY and the options above. On a listening socket: what it accepts inherits them.
void apply(const TcpOptions& options, int fd) noexcept;

[[nodiscard]] boost::asio::ip::tcp::endpoint to_asio(const Endpoint& endpoint);
[[nodiscard]] Endpoint local_endpoint(int fd) noexcept;
[[nodiscard]] Endpoint peer_endpoint(int fd) noexcept;

}  // namespace sallyport::net
