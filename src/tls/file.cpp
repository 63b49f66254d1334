#include "file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/base/scope_guard.hpp"

namespace sallyport::tls {

namespace {

std::string why_errno(int error) {
  std::string why = std::string("cannot be read: ") + std::strerror(error);
  if (error == EACCES) why += " (let the gateway's user read it, and search every folder above it)";
  return why;
}

}  // namespace

std::optional<std::string> read_file(const std::string& path, std::string& why, std::size_t most) {
  // O_NONBLOCK: a fifo in the place of a file must not stop a reload.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    why = why_errno(errno);
    return std::nullopt;
  }
  const base::ScopeGuard close_file([fd] { ::close(fd); });
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    why = S_ISDIR(info.st_mode) ? "is a directory, not a PEM file" : "is not a regular file";
    return std::nullopt;
  }
  std::string bytes;
  char block[16 * 1024];
  while (true) {
    const ssize_t n = ::read(fd, block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      why = why_errno(errno);
      return std::nullopt;
    }
    if (n == 0) return bytes;
    bytes.append(block, static_cast<std::size_t>(n));
    if (bytes.size() > most) {
      why = "is larger than " + std::to_string(most >> 20) + " MiB: it cannot be the right file";
      return std::nullopt;
    }
  }
}

}  // namespace sallyport::tls
