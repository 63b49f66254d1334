#include "sallyport/net/connector.hpp"

#include <cerrno>
#include <utility>

#include <boost/asio/error.hpp>

namespace sallyport::net {

using boost::system::error_code;

struct Connector::Done {
  Anchor<Connector>::Ref connector;
  Loop* loop;
  std::uint64_t attempt;
  void operator()(const error_code& ec) {
    const Loop::Turn turn(*loop);
    if (Connector* self = connector.get()) self->done(attempt, ec.value());
  }
};

Connector::Connector(Loop& loop, const TcpOptions& options)
    : loop_(loop), options_(options), socket_(loop.executor()), anchor_(*this) {}

Connector::~Connector() {
  cancel();
}

void Connector::connect(const Endpoint& to, base::Milliseconds deadline, Handler& handler) {
  cancel();
  handler_ = &handler;
  const auto target = to_asio(to);
  error_code ec;
  socket_.open(target.protocol(), ec);
  if (ec) return fail_later(ec.value());
  apply(options_, socket_.native_handle());
  loop_.timers().arm(deadline_, deadline, loop_.now());
  socket_.async_connect(target, Done{anchor_.ref(), &loop_, attempt_});
}

void Connector::cancel() noexcept {
  ++attempt_;
  handler_ = nullptr;
  deadline_.cancel();
  Wake::unlink();
  error_code ignored;
  socket_.close(ignored);
}

void Connector::done(std::uint64_t attempt, int error_number) {
  if (handler_ == nullptr || attempt != attempt_) return;
  if (error_number != 0) return fail(error_number, base::code_of_connect_errno(error_number));
  TcpSocket socket = std::move(socket_);
  Handler* handler = handler_;
  cancel();
  const Endpoint local = local_endpoint(socket.native_handle());
  handler->on_connected(std::move(socket), local);
}

void Connector::on_deadline() {
  fail(ETIMEDOUT, base::ErrorCode::connect_timeout);
}

void Connector::fail_later(int error_number) {
  early_error_ = error_number;
  loop_.wake(*this);
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
