#include "sallyport/net/socket_io.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <utility>

namespace sallyport::net {

namespace {
// Output that outgrows this goes into a block that the loop lends until it is sent.
constexpr std::size_t kOwnOut = 16 * 1024;
// Reads that a socket may deliver in one turn, before others get theirs. What came in one turn leaves in few
// sends.
constexpr int kReadsPerTurn = 8;
// Urgent data too: a read ends in front of it, which looks like an empty socket.
constexpr std::uint32_t kInput = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP;

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

SocketIo::SocketIo(Loop& loop, TcpSocket socket, base::Fault side)
    : loop_(loop), socket_(std::move(socket)), side_(side) {}

SocketIo::~SocketIo() {
  close();
}

void SocketIo::start(Handler& handler, std::span<const char> early) {
  handler_ = &handler;
  early_.assign(early.begin(), early.end());
  write_error_ = loop_.poller().watch(fd(), kInput, *this);
  watched_ = write_error_ == 0;
  if (!watched_ || !early_.empty()) loop_.wake(*this);
}

TcpSocket SocketIo::release() noexcept {
  Wake::unlink();
  Flush::unlink();
  if (std::exchange(watched_, false)) loop_.poller().unwatch(fd(), *this);
  handler_ = nullptr;
  return std::move(socket_);
}

void SocketIo::on_wake() {
  if (!is_open()) return;
  if (!watched_) return fail(write_error_);
  if (early_.empty() || paused_) return;
  std::vector<char> early = std::exchange(early_, {});
  const base::Lifetime::Watch watch(lifetime_);
  handler_->on_read(early);
  if (!watch.gone()) read();
}

void SocketIo::on_ready(std::uint32_t events) {
  const Loop::Turn turn(loop_);
  if ((events & kInput) != 0) readable_ = true;
  if ((events & kInput & ~EPOLLIN) != 0) peer_gone_ = true;
  if (write_waiting_ && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
    write_waiting_ = false;
    const base::Lifetime::Watch watch(lifetime_);
    on_flush();
    if (watch.gone()) return;
  }
  read();
}

bool SocketIo::may_read() const noexcept {
  return is_open() && handler_ != nullptr && !paused_ && !ended_ && early_.empty();
}

void SocketIo::read() {
  const std::span<char> into = loop_.read_buffer();
  for (int reads = 0; readable_ && may_read(); ++reads) {
    if (reads == kReadsPerTurn) return loop_.again(*this);
    const ssize_t n = ::recv(fd(), into.data(), into.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      readable_ = false;
      return;
    }
    if (n < 0) return fail(errno);
    if (n == 0) return end_of_input();
    const auto size = static_cast<std::size_t>(n);
    if (size < into.size() && !peer_gone_) readable_ = false;
    idle_ = false;
    const base::Lifetime::Watch watch(lifetime_);
    handler_->on_read(into.first(size));
    if (watch.gone()) return;
  }
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
  } else if (readable_ && is_open()) {
    loop_.again(*this);
  }
}

void SocketIo::idle() noexcept {
  if (!is_open()) return;
  idle_ = true;
  give_up_buffers();
}

void SocketIo::give_up_buffers() noexcept {
  if (out_.empty()) out_.release();
}

void SocketIo::schedule() noexcept {
  if (is_open()) loop_.flush(*this);
}

void SocketIo::hold() noexcept {
  if (is_open() && !out_.empty()) loop_.flush_by_tick(*this);
}

void SocketIo::append(std::span<const char> bytes) {
  if (bytes.empty()) return;
  const std::span<char> room = prepare(bytes.size());
  if (room.empty()) return;
  std::memcpy(room.data(), bytes.data(), bytes.size());
  commit(bytes.size());
}

std::span<char> SocketIo::prepare(std::size_t n) {
  if (!is_open() || write_error_ != 0) return {};
  idle_ = false;
  const std::size_t wanted = out_.size() + n;
  if (wanted > kOwnOut && out_.capacity() < wanted && out_.capacity() < Loop::kWriteBlock) {
    base::Buffer block = loop_.lend_write_block();
    block.append(out_.data());
    out_ = std::move(block);
  }
  return out_.prepare(n);
}

void SocketIo::commit(std::size_t n) noexcept {
  out_.commit(n);
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
    n = send_both(fd(), out_.data(), big);
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
  if (!std::exchange(watched_for_room_, true)) loop_.poller().rewatch(fd(), kInput | EPOLLOUT, *this);
}

void SocketIo::on_flush() {
  if (!is_open() || handler_ == nullptr) return;
  if (!write_waiting_ && write_error_ == 0) transmit({});
  if (idle_) give_up_buffers();
  settle();
}

// Tells the handler what became of the writes.
void SocketIo::settle() {
  if (sent_ != 0) {
    const base::Lifetime::Watch watch(lifetime_);
    handler_->on_sent(std::exchange(sent_, 0));
    if (watch.gone() || !is_open()) return;
  }
  // What the peer said before it reset (an early response, an alert) is read first; the read
  // that meets the reset tells it. Where nothing is read, it is told here.
  if (write_error_ != 0 && (paused_ || ended_)) return fail(write_error_);
  if (finishing_ && !finished_ && out_.empty() && write_error_ == 0) {
    finished_ = true;
    ::shutdown(fd(), SHUT_WR);
  }
}

void SocketIo::finish() {
  finishing_ = true;
  schedule();
}

void SocketIo::close(bool abortive) noexcept {
  Wake::unlink();
  Flush::unlink();
  Watched::unlink();
  if (!is_open()) return;
  if (abortive) {
    const linger now{1, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }
  socket_.close();
  out_.release();
  early_ = {};
}

base::Error SocketIo::hang_up() noexcept {
  if (!is_open() || !peer_gone_) return {};
  pollfd peer{fd(), POLLRDHUP, 0};
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
