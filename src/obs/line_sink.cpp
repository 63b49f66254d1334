#include "line_sink.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace sallyport::obs {

namespace {

constexpr int kStallCheckMilliseconds = 50;
constexpr mode_t kFileMode = 0640;  // lines hold addresses and targets: not for everybody

std::size_t count_lines(std::span<const iovec> pieces) noexcept {
  std::size_t n = 0;
  for (const iovec& piece : pieces) {
    const char* const begin = static_cast<const char*>(piece.iov_base);
    n += static_cast<std::size_t>(std::count(begin, begin + piece.iov_len, '\n'));
  }
  return n;
}

// Moves the pieces along by n bytes; returns the last of those bytes.
char advance(std::span<iovec>& pieces, std::size_t n) noexcept {
  char last = '\n';
  while (n > 0) {
    iovec& piece = pieces.front();
    const std::size_t step = std::min(n, piece.iov_len);
    char* const base = static_cast<char*>(piece.iov_base);
    if (step > 0) last = base[step - 1];
    piece.iov_base = base + step;
    piece.iov_len -= step;
    n -= step;
    if (piece.iov_len == 0) pieces = pieces.subspan(1);
  }
  return last;
}

}  // namespace

LineSink LineSink::open(const std::string& path) {
  if (path == "off") return {};
  if (path == "stdout") return {STDOUT_FILENO, false};
  // O_NONBLOCK: a named pipe without a reader is an error, not a wait.
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, kFileMode);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "cannot open access log " + path);
  return {fd, true};
}

LineSink::LineSink(int fd, bool owned) : fd_(fd), owned_(owned) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return;
  if (S_ISSOCK(status.st_mode))
    type_ = Type::socket;
  else if (!S_ISREG(status.st_mode))
    type_ = Type::stream;
}

LineSink::LineSink(LineSink&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), owned_(other.owned_), type_(other.type_), torn_(other.torn_) {}

LineSink& LineSink::operator=(LineSink&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(owned_, other.owned_);
  std::swap(type_, other.type_);
  std::swap(torn_, other.torn_);
  return *this;
}

LineSink::~LineSink() {
  if (owned_ && fd_ >= 0) ::close(fd_);
}

ssize_t LineSink::write_some(std::span<iovec> pieces) const noexcept {
  const std::size_t count = std::min<std::size_t>(pieces.size(), IOV_MAX);
  if (type_ == Type::regular) return ::writev(fd_, pieces.data(), static_cast<int>(count));
  if (type_ == Type::socket) {
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    return ::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  // Standard output may be blocking and shared with others, so its flags are left alone. A pipe
  // that is writable has room for PIPE_BUF (pipe(7)).
  pollfd ready{fd_, POLLOUT, 0};
  if (::poll(&ready, 1, 0) <= 0) {
    errno = EAGAIN;
    return -1;
  }
  return ::write(fd_, pieces.front().iov_base, std::min<std::size_t>(pieces.front().iov_len, PIPE_BUF));
}

LineSink::Outcome LineSink::write(std::span<iovec> pieces, const std::function<bool()>& give_up) noexcept {
  char newline = '\n';
  iovec mend{&newline, 1};
  std::span<iovec> first = torn_ ? std::span<iovec>(&mend, 1) : std::span<iovec>();
  for (std::span<iovec>* part : {&first, &pieces}) {
    while (!part->empty()) {
      if (part->front().iov_len == 0) {
        *part = part->subspan(1);
        continue;
      }
      const ssize_t n = write_some(*part);
      if (n >= 0) {
        torn_ = advance(*part, static_cast<std::size_t>(n)) != '\n';
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (give_up()) return {ECANCELED, count_lines(pieces)};
        pollfd ready{fd_, POLLOUT, 0};
        ::poll(&ready, 1, kStallCheckMilliseconds);
      } else if (errno != EINTR) {
        const int error = errno;
        return {error, count_lines(pieces)};
      }
    }
  }
  return {};
}

}  // namespace sallyport::obs
