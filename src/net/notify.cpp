#include "sallyport/net/notify.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace sallyport::net {

namespace {

std::optional<std::uint64_t> number_in(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  std::uint64_t number = 0;
  const char* end = value + std::strlen(value);
  const auto [rest, ec] = std::from_chars(value, end, number);
  if (ec != std::errc() || rest != end) return std::nullopt;
  return number;
}

// CLOCK_MONOTONIC by name, since that is what the protocol says.
std::string monotonic_microseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::to_string(std::uint64_t{1'000'000} * static_cast<std::uint64_t>(now.tv_sec) +
                        static_cast<std::uint64_t>(now.tv_nsec) / 1000);
}

}  // namespace

ServiceNotifier::ServiceNotifier(std::string_view address) {
  // An abstract name may fill sun_path; a path leaves room for its NUL. vsock is not for services like this.
  const bool usable = address.size() > 1 && (address.front() == '/' || address.front() == '@') &&
                      address.size() < sizeof(sockaddr_un::sun_path);
  if (usable) address_ = address;
}

ServiceNotifier ServiceNotifier::from_environment() {
  const char* address = std::getenv("NOTIFY_SOCKET");
  if (address == nullptr) return {};
  ServiceNotifier notifier{std::string_view(address)};
  const auto interval = number_in("WATCHDOG_USEC");
  const auto pid = number_in("WATCHDOG_PID");
  const bool for_us = !pid || *pid == static_cast<std::uint64_t>(::getpid());
  if (interval && *interval > 0 && for_us) notifier.watchdog_interval_ = std::chrono::microseconds(*interval);
  return notifier;
}

bool ServiceNotifier::ready() const {
  return send("READY=1");
}

bool ServiceNotifier::reloading() const {
  return send("RELOADING=1\nMONOTONIC_USEC=" + monotonic_microseconds());
}

bool ServiceNotifier::stopping() const {
  return send("STOPPING=1");
}

bool ServiceNotifier::status(std::string_view text) const {
  std::string message = "STATUS=";
  message += text;
  std::replace(message.begin(), message.end(), '\n', ' ');
  return send(message);
}

bool ServiceNotifier::watchdog() const {
  return send("WATCHDOG=1");
}

bool ServiceNotifier::send(std::string_view message) const {
  if (!enabled()) return false;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::copy(address_.begin(), address_.end(), to.sun_path);
  if (to.sun_path[0] == '@') to.sun_path[0] = '\0';
  // An abstract name is as long as the address says; a path ends with its NUL.
  const std::size_t name = address_.size() + (address_.front() == '@' ? 0 : 1);
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const ssize_t sent =
      ::sendto(fd, message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to),
               static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name));
  ::close(fd);
  return sent == static_cast<ssize_t>(message.size());
}

}  // namespace sallyport::net
