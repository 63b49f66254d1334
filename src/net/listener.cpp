#include "sallyport/net/listener.hpp"

#include <cerrno>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace sallyport::net {

using boost::asio::ip::tcp;
using boost::system::error_code;

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

struct Listener::Ready {
  Anchor<Listener>::Ref listener;
  Loop* loop;
  void operator()(const error_code&) {
    const Loop::Turn turn(*loop);
    if (Listener* self = listener.get()) self->ready();
  }
};

Listener::Listener(Loop& loop, ListenerSocket socket, Handler& handler)
    : loop_(loop), handler_(handler), acceptor_(loop.executor()), anchor_(*this), local_(socket.local()) {
  error_code ignored;
  acceptor_.assign(local_.address.is_v4() ? tcp::v4() : tcp::v6(), socket.release(), ignored);
  // An adopted descriptor may be a blocking one.
  acceptor_.native_non_blocking(true, ignored);
}

Listener::~Listener() {
  close();
}

void Listener::close() noexcept {
  Wake::unlink();
  retry_.cancel();
  error_code ignored;
  acceptor_.close(ignored);
}

void Listener::start() {
  started_ = true;
  wait();
}

void Listener::pause() noexcept {
  paused_ = true;
}

void Listener::resume() noexcept {
  if (std::exchange(paused_, false)) wait();
}

void Listener::drain() {
  if (draining_ || !is_open()) return;
  draining_ = true;
  // A flood must not keep the socket open: no more than can have been queued.
  drain_left_ = ListenerSocket::kBacklog;
  retry_.cancel();
  loop_.wake(*this);
}

void Listener::wait() {
  if (!started_ || !may_accept() || draining_ || waiting_ || retry_.armed()) return;
  waiting_ = true;
  acceptor_.async_wait(Acceptor::wait_read, Ready{anchor_.ref(), &loop_});
}

void Listener::ready() {
  waiting_ = false;
  if (!draining_) accept_batch();
}

void Listener::on_wake() {
  accept_batch();
}

void Listener::on_retry() {
  // Who waited may be gone.
  if (draining_) {
    accept_batch();
  } else {
    wait();
  }
}

void Listener::accept_batch() {
  const Anchor<Listener>::Ref self = anchor_.ref();
  for (std::size_t n = 0; n < kBatch && may_accept(); ++n) {
    if (draining_ && drain_left_-- == 0) return drained();
    TcpSocket socket(loop_.executor());
    Endpoint peer;
    const int error_number = accept_one(socket, peer);
    if (error_number == EAGAIN && draining_) return drained();
    if (error_number == EAGAIN) break;
    if (error_number == 0) {
      const Endpoint local = local_endpoint(socket.native_handle());
      handler_.on_accept(std::move(socket), peer, local);
    } else if (lost_by_peer(error_number)) {
      handler_.on_accept_error(base::client_error(base::ErrorCode::reset, error_number));
    } else if (draining_ && !is_readable(acceptor_.native_handle())) {
      // Out of descriptors, accept() fails before it looks at the queue.
      return drained();
    } else {
      // The connection stays queued, so the socket stays readable: without a rest this would spin.
      loop_.timers().arm(retry_, kBackOff, loop_.now());
      return handler_.on_accept_error(base::gateway_error(code_of_accept_errno(error_number), error_number));
    }
    if (self.get() == nullptr) return;
  }
  if (draining_ && is_open()) loop_.wake(*this);
  wait();
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
    fd = ::accept4(acceptor_.native_handle(), address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return errno;
  peer = Endpoint::from(address);
  error_code ec;
  socket.assign(address->sa_family == AF_INET ? tcp::v4() : tcp::v6(), fd, ec);
  if (!ec) return 0;
  ::close(fd);
  return ec.value();
}

}  // namespace sallyport::net
