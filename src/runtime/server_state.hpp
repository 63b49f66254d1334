// The inside of Server: everything is the control thread's, but for what is marked.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "sallyport/net/notify.hpp"
#include "sallyport/obs/access_log.hpp"
#include "sallyport/obs/health_minutes.hpp"
#include "sallyport/obs/log.hpp"
#include "sallyport/obs/metrics.hpp"
#include "sallyport/obs/staple_metrics.hpp"
#include "sallyport/runtime/builder.hpp"
#include "sallyport/runtime/server.hpp"
#include "sallyport/upstream/resolver.hpp"

#include "address_refresh.hpp"
#include "budgets.hpp"
#include "file_watch.hpp"
#include "http_responder.hpp"
#include "memory_watch.hpp"
#include "stapler.hpp"
#include "worker.hpp"

namespace sallyport::runtime {

class Server::State {
 public:
  State(config::Model model, ServerOptions options);
  ~State();

  void start();
  void run();

  [[nodiscard]] std::string metrics_text() const { return metrics_.text(); }
  [[nodiscard]] bool ready() const noexcept { return ready_.load(std::memory_order_relaxed); }
  [[nodiscard]] ServerStatus status() const;

 private:
  // Which sockets a set of listeners needs, and those that had to be made for it.
  struct Binding {
    std::vector<ListenerSetup> setups;                // by listener
    std::vector<std::vector<NewSocket>> new_sockets;  // by worker
    std::map<std::string, net::Endpoint> bound;       // all keys that are in use
    std::vector<config::Problem> problems;
  };
  [[nodiscard]] Binding bind(const config::Model& model);
  void adopt(Built built, Binding binding);

  void wait_for_signal();
  void on_signal(int number);
  // A reload up to the point of no return.
  struct Attempt {
    base::Instant begun{};
    Built built;
    Binding binding;
    std::vector<config::Problem> problems;  // of every stage
    FileMarks seen;                         // what it read, as far as it came
    std::string needs_restart;
    [[nodiscard]] bool good() const noexcept {
      return built.snapshot != nullptr && !config::has_errors(problems);
    }
  };
  void reload(obs::ReloadTrigger trigger);
  [[nodiscard]] Attempt try_reload();
  void take(Attempt attempt, obs::ReloadTrigger trigger);
  [[nodiscard]] bool reload_changed(bool last);
  void on_watch_limited(int error);
  [[nodiscard]] std::string what_needs_restart(const config::Model& fresh) const;
  void reject(const std::vector<config::Problem>& problems, obs::ReloadTrigger trigger);
  void start_stapling();
  void on_staple(const StapleEvent& event);
  void reopen_logs();
  void begin_drain();
  void worker_drained();
  void stop_workers();
  void every_minute();
  void feed_watchdog();
  void adopt_addresses(const proxy::AddressSets& sets, const std::string& name);
  void publish_address_set(const std::string& name);
  void apply_process_limits(const config::Model& model);
  void on_pressure(base::Pressure level, std::uint64_t resident);

  Budgets budgets_;
  ServerOptions options_;
  config::Model first_model_;
  obs::Metrics metrics_;
  obs::Log log_;
  obs::AccessLog access_log_;
  obs::HealthMinutes health_{base::WallClock::now()};
  std::atomic<std::uint64_t> connection_ids_{0};
  Builder builder_;
  std::map<std::string, std::shared_ptr<Budget>> listener_budgets_;
  std::map<std::string, net::Endpoint> bound_;  // by socket key
  proxy::SnapshotPtr snapshot_;
  std::vector<std::unique_ptr<Worker>> workers_;
  net::ServiceNotifier notifier_;

  boost::asio::io_context io_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer minute_;
  boost::asio::steady_timer watchdog_;
  boost::asio::steady_timer drain_deadline_;
  MemoryWatch memory_;
  AddressRefresh address_refresh_;
  obs::RateLimit pressure_events_{10, base::Seconds(1)};
  upstream::SystemLookup lookup_;
  std::optional<upstream::Resolver> resolver_;
  obs::StapleMetrics staple_metrics_;
  obs::RateLimit staple_events_{20, base::Seconds(1)};
  obs::RateLimit staple_failures_{20, base::Seconds(1)};
  HttpResponder responder_;
  std::optional<Stapler> stapler_;
  FileWatch files_watch_;
  std::size_t undrained_ = 0;
  std::uint64_t files_ = 0;             // open files that the process may have
  std::uint32_t connections_told_ = 0;  // that no more are taken than the files allow
  bool draining_ = false;
  std::atomic<bool> ready_{false};
  mutable std::mutex status_mutex_;  // guards status_, and the list of workers_ while /metrics reads it
  ServerStatus status_;
};

}  // namespace sallyport::runtime
