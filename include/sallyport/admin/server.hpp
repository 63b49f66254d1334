// The admin endpoint: /metrics, /healthz, /readyz and /status over plain HTTP/1.1.
//
// Owned by the server; has its own thread and io_context, so that a slow scraper never meets a
// worker. It listens on loopback or a unix socket only, knows no data-plane type, and calls the
// Sources on its own thread: they must be thread-safe and outlive it. A client is given
// kHeadLimit bytes of head, no body and kDeadline a request; kConnections may be open at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/obs/health_minutes.hpp"

namespace sallyport::admin {

// What /status says, as plain values.
struct Status {
  struct Listener {
    std::string name;
    std::string protocol;
    std::vector<std::string> addresses;  // as bound: "[::]:8443"
  };
  struct Reload {
    bool successful = true;
    std::string message;  // why not
    base::WallTime at{};
  };
  std::string version;
  base::WallTime started{};
  std::uint64_t generation = 0;
  std::uint32_t workers = 0;
  bool ready = false;
  bool draining = false;
  Reload last_reload;
  std::vector<Listener> listeners;
  obs::HealthReport health;
};
// The JSON document of /status. Pure.
[[nodiscard]] std::string status_json(const Status& status, base::WallTime now);

struct Sources {
  std::function<std::string()> metrics;      // Prometheus text
  std::function<bool()> ready;               // /readyz: 200 or 503
  std::function<std::string()> status_json;  // /status
};

struct Limits {
  std::size_t head_bytes = 8 * 1024;    // a scraper sends some 300 bytes
  base::Milliseconds deadline{10'000};  // for reading a request, and for taking its response
  std::size_t connections = 64;         // the next one is closed at once
};

class Server {
 public:
  // `address`: "127.0.0.1:9901", "[::1]:0", or "unix:/run/sallyport/admin.sock". Binds and starts
  // serving. Throws std::system_error: not loopback, in use, no permission. A unix socket that
  // nobody listens on is replaced; its mode is 0660.
  Server(const std::string& address, Sources sources, Limits limits = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();  // closes everything; removes the unix socket

  // With the port that was given: "127.0.0.1:43121".
  [[nodiscard]] const std::string& address() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::admin
