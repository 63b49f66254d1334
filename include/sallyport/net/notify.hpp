// Tells the service manager how we are: systemd's sd_notify protocol, one datagram a message to
// the socket that $NOTIFY_SOCKET names (a path, or "@name" in the abstract namespace).
//
// Owned by the server, used by the control thread only. Without the variable every call does
// nothing. Losing a message must not stop the gateway: calls return false and nothing else.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sallyport/base/clock.hpp"

namespace sallyport::net {

class ServiceNotifier {
 public:
  ServiceNotifier() = default;  // does nothing
  explicit ServiceNotifier(std::string_view address);
  // From $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID.
  [[nodiscard]] static ServiceNotifier from_environment();

  [[nodiscard]] bool enabled() const noexcept { return !address_.empty(); }
  bool ready() const;
  // With the monotonic time, which Type=notify-reload needs; follow it with ready().
  bool reloading() const;
  bool stopping() const;
  bool status(std::string_view text) const;  // one line; newlines become spaces
  bool watchdog() const;
  // How often watchdog() is expected; half of it is a good period.
  [[nodiscard]] std::optional<std::chrono::microseconds> watchdog_interval() const noexcept {
    return watchdog_interval_;
  }

 private:
  bool send(std::string_view message) const;

  std::string address_;
  std::optional<std::chrono::microseconds> watchdog_interval_;
};

}  // namespace sallyport::net
