#include "sallyport/net/listener.hpp"

#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace sallyport::net {

namespace {

// accept(2): errors of the connection itself, which is off the queue with them.
bool lost_by_peer(int error_number) {
  switch (error_number) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EPERM:
      return true;
    default:
      return false;
  }
}

bool is_readable(int fd) {
  pollfd wanted{fd, POLLIN, 0};
  return ::poll(&wanted, 1, 0) == 1;
}

base::ErrorCode code_of_accept_errno(int error_number) {
  const base::ErrorCode code = base::code_of_connect_errno(error_number);
  return code == base::ErrorCode::overloaded ? code : base::ErrorCode::internal;
}

}  // namespace

Listener::Listener(Loop& loop, ListenerSocket socket, Handler& handler)
    : loop_(loop), handler_(handler), socket_(socket.release()), local_(local_endpoint(socket_.fd())) {
  // An adopted descriptor may be a blocking one.
  if (is_open()) ::fcntl(socket_.fd(), F_SETFL, ::fcntl(socket_.fd(), F_GETFL) | O_NONBLOCK);
}

Listener::~Listener() {
  close();
}

void Listener::close() noexcept {
  Wake::unlink();
  Watched::unlink();
  retry_.cancel();
  socket_.close();
}

void Listener::start() {
  const Loop::Turn turn(loop_);
  watch();
}

void Listener::watch() {
  const int error_number = loop_.poller().watch(socket_.fd(), EPOLLIN, *this);
  watched_ = error_number == 0;
  if (!watched_) rest(error_number);
}

void Listener::pause() noexcept {
  paused_ = true;
}

void Listener::resume() noexcept {
  if (std::exchange(paused_, false) && acceptable_ && is_open()) loop_.again(*this);
}

void Listener::drain() {
  if (draining_ || !is_open()) return;
  draining_ = true;
  // A flood must not keep the socket open: no more than can have been queued.
  drain_left_ = ListenerSocket::kBacklog;
  retry_.cancel();
  loop_.wake(*this);
}

void Listener::on_ready(std::uint32_t events) {
  const Loop::Turn turn(loop_);
  if (events != 0) acceptable_ = true;
  if (acceptable_ && !draining_ && !retry_.armed()) accept_batch();
}

void Listener::on_wake() {
  accept_batch();
}

void Listener::on_retry() {
  if (!watched_ && !draining_) return watch();
  accept_batch();
}

void Listener::accept_batch() {
  const base::Lifetime::Watch watch(lifetime_);
  for (std::size_t n = 0; n < kBatch && may_accept(); ++n) {
    if (draining_ && drain_left_-- == 0) return drained();
    TcpSocket socket;
    Endpoint peer;
    const int error_number = accept_one(socket, peer);
    if (error_number == EAGAIN) {
      acceptable_ = false;
      if (draining_) drained();
      return;
    }
    if (error_number == 0) {
      const Endpoint local = local_endpoint(socket.fd());
      handler_.on_accept(std::move(socket), peer, local);
    } else if (lost_by_peer(error_number)) {
      handler_.on_accept_error(base::client_error(base::ErrorCode::reset, error_number));
    } else if (draining_ && !is_readable(socket_.fd())) {
      // Out of descriptors, accept() fails before it looks at the queue.
      return drained();
    } else {
      return rest(error_number);
    }
    if (watch.gone()) return;
  }
  if (!may_accept()) return;
  if (draining_) {
    loop_.wake(*this);
  } else {
    loop_.again(*this);
  }
}

// The connection stays queued, so the socket stays readable: without a rest this would spin.
void Listener::rest(int error_number) {
  loop_.timers().arm(retry_, kBackOff, loop_.now());
  handler_.on_accept_error(base::gateway_error(code_of_accept_errno(error_number), error_number));
}

void Listener::drained() {
  close();
  handler_.on_drained();
}

// 0 or the errno.
int Listener::accept_one(TcpSocket& socket, Endpoint& peer) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  int fd = -1;
  do {
    fd = ::accept4(socket_.fd(), address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return errno;
  peer = Endpoint::from(address);
  socket = TcpSocket(fd);
  return 0;
}

}  // namespace sallyport::net
