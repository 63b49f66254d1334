#include "sallyport/net/socket_io.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

namespace sallyport::net {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {
// Output that outgrows this goes into a block that the loop lends until it is sent.
constexpr std::size_t kOwnOut = 16 * 1024;

ssize_t send_both(int fd, std::span<const char> first, std::span<const char> second) {
  constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
  if (first.empty()) return ::send(fd, second.data(), second.size(), kFlags);
  if (second.empty()) return ::send(fd, first.data(), first.size(), kFlags);
  // iovec has no const form; sendmsg only reads.
  std::array<iovec, 2> parts{iovec{const_cast<char*>(first.data()), first.size()},
                             iovec{const_cast<char*>(second.data()), second.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return ::sendmsg(fd, &message, kFlags);
}
}  // namespace

// The handlers. Their objects may be gone when they run; the loop is not.
struct SocketIo::ReadDone {
  Ref io;
  Loop* loop;
  Lent buffer;
  void operator()(const error_code& ec, std::size_t n) {
    const Loop::Turn turn(*loop);
    if (SocketIo* self = io.get()) {
      self->read_done(ec, n, std::move(buffer));
    } else {
      loop->give_back(std::move(buffer));
    }
  }
};

struct SocketIo::Readable {
  Ref io;
  Loop* loop;
  void operator()(const error_code&) {
    const Loop::Turn turn(*loop);
    if (SocketIo* self = io.get()) self->readable();
  }
};

struct SocketIo::Writable {
  Ref io;
  Loop* loop;
  void operator()(const error_code&) {
    const Loop::Turn turn(*loop);
    if (SocketIo* self = io.get()) self->writable();
  }
};

SocketIo::SocketIo(Loop& loop, TcpSocket socket, base::Fault side)
    : loop_(loop), socket_(std::move(socket)), anchor_(*this), side_(side) {
  // Asio would do so at the first operation; the direct sends do not rely on it.
  error_code ignored;
  if (socket_.is_open()) socket_.native_non_blocking(true, ignored);
}

SocketIo::~SocketIo() {
  close();
}

void SocketIo::start(Handler& handler, std::span<const char> early) {
  handler_ = &handler;
  early_.assign(early.begin(), early.end());
  if (early_.empty()) {
    read_on(nullptr);
  } else {
    loop_.wake(*this);
  }
}

TcpSocket SocketIo::release() noexcept {
  Wake::unlink();
  Flush::unlink();
  handler_ = nullptr;
  return std::move(socket_);
}

void SocketIo::on_wake() {
  if (!is_open() || early_.empty() || paused_) return;
  std::vector<char> early = std::exchange(early_, {});
  const Ref self = anchor_.ref();
  handler_->on_read(early);
  if (self.get() != nullptr) read_on(nullptr);
}

bool SocketIo::may_read() const noexcept {
  return is_open() && handler_ != nullptr && !paused_ && !ended_ && early_.empty() &&
         reading_ == Reading::none;
}

// Puts the next read, or the wait for readiness, into flight; `buffer` is one still held, if any.
void SocketIo::read_on(Lent buffer) {
  if (!may_read() || idle_) loop_.give_back(std::move(buffer));
  if (!may_read()) return;
  if (idle_) {
    give_up_buffers();
    reading_ = Reading::readiness;
    socket_.async_wait(TcpSocket::wait_read, Readable{anchor_.ref(), &loop_});
    return;
  }
  if (buffer == nullptr) buffer = loop_.lend_read_buffer();
  reading_ = Reading::bytes;
  const auto into = asio::buffer(buffer.get(), Loop::kReadBuffer);
  socket_.async_read_some(into, ReadDone{anchor_.ref(), &loop_, std::move(buffer)});
}

void SocketIo::read_done(const error_code& ec, std::size_t n, Lent buffer) {
  reading_ = Reading::none;
  const Ref self = anchor_.ref();
  Loop& loop = loop_;
  if (n != 0 && is_open()) {
    idle_ = false;
    handler_->on_read({buffer.get(), n});
  } else if (ec && ec != asio::error::operation_aborted && is_open()) {
    loop.give_back(std::move(buffer));
    if (ec != asio::error::eof) return fail(ec.value());
    return end_of_input();
  }
  if (self.get() == nullptr) return loop.give_back(std::move(buffer));
  // Cancelled means that idle() wanted the buffer; a read goes on as the flags say by now.
  read_on(std::move(buffer));
}

void SocketIo::readable() {
  reading_ = Reading::none;
  if (!is_open()) return;
  idle_ = false;
  read_on(nullptr);
}

void SocketIo::end_of_input() {
  ended_ = true;
  // A send failed before: this end is the peer's reset, seen after its last bytes.
  if (write_error_ != 0) return fail(write_error_);
  handler_->on_read_end();
}

void SocketIo::pause() noexcept {
  paused_ = true;
  if (write_error_ != 0) schedule();
}

void SocketIo::resume() noexcept {
  if (!std::exchange(paused_, false)) return;
  if (!early_.empty()) {
    loop_.wake(*this);
  } else {
    read_on(nullptr);
  }
}

void SocketIo::idle() noexcept {
  if (!is_open()) return;
  idle_ = true;
  give_up_buffers();
  // Cancelling takes the wait for writability with it; with one, writable() comes back here.
  if (reading_ != Reading::bytes || write_waiting_) return;
  error_code ignored;
  socket_.cancel(ignored);
}

void SocketIo::give_up_buffers() noexcept {
  if (out_.empty()) out_.release();
}

void SocketIo::schedule() noexcept {
  if (is_open()) loop_.flush(*this);
}

void SocketIo::append(std::span<const char> bytes) {
  if (!is_open() || write_error_ != 0) return;
  idle_ = false;
  const std::size_t wanted = out_.size() + bytes.size();
  if (wanted > kOwnOut && out_.capacity() < wanted && out_.capacity() < Loop::kWriteBlock) {
    base::Buffer block = loop_.lend_write_block();
    block.append(out_.data());
    out_ = std::move(block);
  }
  out_.append(bytes);
  schedule();
}

void SocketIo::write_gather(std::span<const char> big) {
  if (!is_open() || write_error_ != 0) return;
  idle_ = false;
  if (write_waiting_) {
    out_.append(big);
    return;
  }
  transmit(big);
  schedule();  // which tells what was sent
}

// One send as a rule. Taken in part or not at all, the rest waits until the kernel has room.
void SocketIo::transmit(std::span<const char> big) {
  const std::size_t wanted = out_.size() + big.size();
  if (wanted == 0) return;
  ssize_t n = 0;
  do {
    n = send_both(socket_.native_handle(), out_.data(), big);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno != EAGAIN) {
    write_error_ = errno;
    out_.release();
    return;
  }
  const std::size_t taken = n < 0 ? 0 : static_cast<std::size_t>(n);
  const std::size_t of_queued = std::min(taken, out_.size());
  out_.consume(of_queued);
  out_.append(big.subspan(taken - of_queued));
  sent_ += taken;
  if (taken < wanted) {
    wait_writable();
  } else if (out_.capacity() > 2 * kOwnOut) {
    loop_.give_back(std::exchange(out_, {}));
  }
}

void SocketIo::wait_writable() {
  write_waiting_ = true;
  socket_.async_wait(TcpSocket::wait_write, Writable{anchor_.ref(), &loop_});
}

void SocketIo::writable() {
  write_waiting_ = false;
  if (!is_open()) return;
  const Ref self = anchor_.ref();
  on_flush();
  if (self.get() != nullptr && idle_) idle();
}

void SocketIo::on_flush() {
  if (!is_open() || handler_ == nullptr) return;
  if (!write_waiting_ && write_error_ == 0) transmit({});
  settle();
}

// Tells the handler what became of the writes.
void SocketIo::settle() {
  if (sent_ != 0) {
    const Ref self = anchor_.ref();
    handler_->on_sent(std::exchange(sent_, 0));
    if (self.get() == nullptr || !is_open()) return;
  }
  // What the peer said before it reset (an early response, an alert) is read first; the read
  // that meets the reset tells it. Where nothing is read, it is told here.
  if (write_error_ != 0 && (paused_ || ended_)) return fail(write_error_);
  if (finishing_ && !finished_ && out_.empty() && write_error_ == 0) {
    finished_ = true;
    error_code ignored;
    socket_.shutdown(TcpSocket::shutdown_send, ignored);
  }
}

void SocketIo::finish() {
  finishing_ = true;
  schedule();
}

void SocketIo::close(bool abortive) noexcept {
  Wake::unlink();
  Flush::unlink();
  if (!is_open()) return;
  if (abortive) {
    const linger now{1, 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }
  error_code ignored;
  socket_.close(ignored);
  out_.release();
  early_ = {};
}

// Asked for now and then by who is paused, not waited for: Asio does not register for EPOLLRDHUP, and
// waiting for readability would report the unread bytes at once, again and again.
base::Error SocketIo::hang_up() noexcept {
  if (!is_open()) return {};
  pollfd peer{socket_.native_handle(), POLLRDHUP, 0};
  if (::poll(&peer, 1, 0) <= 0) return {};
  const bool gone = (peer.revents & (POLLERR | POLLHUP)) != 0;
  return {gone ? base::ErrorCode::reset : base::ErrorCode::closed, side_};
}

void SocketIo::fail(int error_number) {
  const int told = write_error_ != 0 ? write_error_ : error_number;
  Handler* handler = handler_;
  close();
  handler->on_failed({base::code_of_io_errno(told), side_, false, false, told});
}

}  // namespace sallyport::net
