// The gateway as a whole: start order, signals, reload, drain, stop order.
//
// Owned by main(), which is the control thread: run() turns its loop. SIGHUP reloads, SIGUSR1
// reopens the logs, SIGTERM and SIGINT drain (a second one cuts short). A reload is built aside
// from the whole file and every certificate; any error anywhere leaves all as it was, with one
// log line that says what and where, the metric, and status(). Construction and start() throw
// StartError; run() does not throw.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/config/load.hpp"
#include "sallyport/obs/health_minutes.hpp"

namespace sallyport::tls {
class ContextStore;
}

namespace sallyport::runtime {

// Start failed; what() is for the operator: what, where, what to do.
class StartError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct ServerOptions {
  std::filesystem::path config_file;
  std::string version;
  std::string commit;
};

struct ServerStatus {
  struct Listener {
    std::string name;
    bool tls = false;
    std::string address;  // as bound
    std::uint16_t port = 0;
  };
  base::WallTime started{};
  std::uint64_t generation = 0;
  std::uint32_t workers = 0;
  bool ready = false;
  bool draining = false;
  bool last_reload_successful = true;
  std::string last_reload_message;
  base::WallTime last_reload_at{};
  std::vector<Listener> listeners;
  obs::HealthReport health;
};

class Server {
 public:
  // `model` has passed load() and validate().
  Server(config::Model model, ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Builds, binds, starts the workers: from here on connections are served.
  void start();
  // Tells the service manager, then runs until the drain is over.
  void run();

  // Any thread.
  [[nodiscard]] std::string metrics_text() const;
  [[nodiscard]] bool ready() const noexcept;
  [[nodiscard]] ServerStatus status() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

// What run and a reload would find wrong or worth a word as of a given time, without binding or serving, and
// what it came to: for `check` and whoever else examines a configuration.
struct DryBuild {
  std::vector<config::Problem> problems;
  std::vector<std::string> remarks;              // what is so, and no problem; a line each
  std::shared_ptr<const config::Model> model;    // hosts have their names; nullptr if a problem is an error
  std::shared_ptr<const tls::ContextStore> tls;  // nullptr without an https listener, too
};
[[nodiscard]] DryBuild dry_build(config::Model model, base::WallTime now);

}  // namespace sallyport::runtime
