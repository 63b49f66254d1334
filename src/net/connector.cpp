#include "sallyport/net/connector.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <utility>

namespace sallyport::net {

Connector::Connector(Loop& loop, const TcpOptions& options) : loop_(loop), options_(options) {}

Connector::~Connector() {
  cancel();
}

void Connector::connect(const Endpoint& to, base::Milliseconds deadline, Handler& handler) {
  cancel();
  handler_ = &handler;
  early_error_ = begin(to);
  if (early_error_ != 0) return loop_.wake(*this);
  loop_.timers().arm(deadline_, deadline, loop_.now());
}

int Connector::begin(const Endpoint& to) {
  const auto target = to_asio(to);
  socket_ = TcpSocket(
      ::socket(target.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!socket_.is_open()) return errno;
  apply(options_, socket_.fd());
  const int result = ::connect(socket_.fd(), target.data(), static_cast<socklen_t>(target.size()));
  // Interrupted, it goes on in the background like any other.
  if (result != 0 && errno != EINPROGRESS && errno != EINTR) return errno;
  return loop_.poller().watch(socket_.fd(), EPOLLOUT, *this);
}

void Connector::cancel() noexcept {
  handler_ = nullptr;
  deadline_.cancel();
  Wake::unlink();
  Watched::unlink();
  socket_.close();
}

void Connector::on_ready(std::uint32_t) {
  const Loop::Turn turn(loop_);
  int error_number = 0;
  socklen_t size = sizeof(error_number);
  if (::getsockopt(socket_.fd(), SOL_SOCKET, SO_ERROR, &error_number, &size) != 0) error_number = errno;
  if (error_number != 0) return fail(error_number, base::code_of_connect_errno(error_number));
  loop_.poller().unwatch(socket_.fd(), *this);
  TcpSocket socket = std::move(socket_);
  Handler* handler = handler_;
  cancel();
  const Endpoint local = local_endpoint(socket.fd());
  handler->on_connected(std::move(socket), local);
}

void Connector::on_deadline() {
  fail(ETIMEDOUT, base::ErrorCode::connect_timeout);
}

void Connector::on_wake() {
  fail(early_error_, base::code_of_connect_errno(early_error_));
}

void Connector::fail(int error_number, base::ErrorCode code) {
  Handler* handler = handler_;
  cancel();
  // Out of descriptors or memory is nobody's fault but ours.
  const base::Fault fault =
      code == base::ErrorCode::overloaded ? base::Fault::gateway : base::Fault::upstream;
  handler->on_connect_failed({code, fault, /*unsent=*/true, false, error_number});
}

}  // namespace sallyport::net
