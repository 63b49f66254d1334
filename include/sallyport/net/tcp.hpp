// The TCP socket type of the data path (typed on the loop's executor, which is what makes Asio
// cheap here) and the socket options that every connection gets. Values and free functions.
#pragma once

#include <cstdint>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "sallyport/base/clock.hpp"
#include "sallyport/net/address.hpp"
#include "sallyport/net/loop.hpp"

namespace sallyport::net {

using TcpSocket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;

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
