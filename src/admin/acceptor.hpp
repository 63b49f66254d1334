// The admin endpoint's listening socket: loopback TCP or a unix socket, behind one type.
//
// Owned by admin::Server, used on its thread. Made at start, so it throws std::system_error.
#pragma once

#include <string>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

namespace sallyport::admin {

using Protocol = boost::asio::generic::stream_protocol;
using Executor = boost::asio::io_context::executor_type;

class Acceptor {
 public:
  using Socket = boost::asio::basic_socket_acceptor<Protocol, Executor>;

  Acceptor(boost::asio::io_context& io, const std::string& address);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();  // removes the unix socket, if the one at its path is still ours

  [[nodiscard]] Socket& socket() noexcept { return socket_; }
  // As bound.
  [[nodiscard]] const std::string& address() const noexcept { return address_; }

 private:
  void listen_tcp(const std::string& address);
  void listen_unix(const std::string& path);

  Socket socket_;
  std::string address_;
  std::string path_;  // of the unix socket
  unsigned long long device_ = 0, inode_ = 0;
};

}  // namespace sallyport::admin
