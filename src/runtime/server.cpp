#include "sallyport/runtime/server.hpp"

#include <csignal>
#include <random>
#include <thread>
#include <utility>

#include "sallyport/base/memory.hpp"
#include "sallyport/http2/budgets.hpp"
#include "sallyport/http2/version.hpp"
#include "sallyport/proxy/cf_risk.hpp"
#include "sallyport/proxy/reply_table.hpp"
#include "sallyport/tls/verdict.hpp"
#include "sallyport/tls/version.hpp"

#include "file_limit.hpp"
#include "server_state.hpp"
#include "settings.hpp"

namespace sallyport::runtime {

namespace {

template <class E, std::size_t N>
std::array<std::string_view, N> words_of() {
  std::array<std::string_view, N> words;
  for (std::size_t i = 0; i < N; ++i) words[i] = to_string(static_cast<E>(i));
  return words;
}

obs::Vocabulary vocabulary() {
  static const auto kStageWords = words_of<tls::Stage, tls::kStages>();
  static const auto kReasonWords = words_of<tls::HandshakeReason, tls::kHandshakeReasons>();
  static const auto kFloodWords = words_of<http2::Flood, http2::kFloods>();
  static const auto kMethodWords = words_of<http::Method, 10>();
  obs::Vocabulary v;
  v.handshake_stages = kStageWords;
  v.handshake_reasons = kReasonWords;
  v.methods = kMethodWords;
  v.reply_reasons = proxy::reason_words();
  v.floods = kFloodWords;
  v.cf_risks = proxy::cf_risk_words();
  return v;
}

// Port 0 picks a port anew for every socket, so there the name tells sockets apart.
std::string socket_key(const config::Listener& listener) {
  const std::string address = config::to_string(listener.address);
  return listener.address.port == 0 ? listener.name + "@" + address : address;
}

std::uint64_t random_number() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

DryBuild dry_build(config::Model model, base::WallTime now) {
  obs::Metrics metrics(vocabulary());
  Builder builder(metrics);
  Built built = builder.build(std::move(model), now);
  DryBuild dry;
  dry.problems = std::move(built.problems);
  dry.remarks = std::move(built.remarks);
  if (built.snapshot != nullptr) {
    dry.model = std::make_shared<const config::Model>(built.snapshot->model);
    dry.tls = built.snapshot->tls;
  }
  return dry;
}

Server::Server(config::Model model, ServerOptions options)
    : state_(std::make_unique<State>(std::move(model), std::move(options))) {}
Server::~Server() = default;
void Server::start() {
  state_->start();
}
void Server::run() {
  state_->run();
}
std::string Server::metrics_text() const {
  return state_->metrics_text();
}
bool Server::ready() const noexcept {
  return state_->ready();
}
ServerStatus Server::status() const {
  return state_->status();
}

Server::State::State(config::Model model, ServerOptions options)
    : options_(std::move(options)),
      first_model_(std::move(model)),
      metrics_(vocabulary(), buckets_of(first_model_.metrics)),
      log_(log_options(first_model_.log)),
      access_log_(access_options(first_model_.access_log, log_)),
      builder_(metrics_),
      notifier_(net::ServiceNotifier::from_environment()),
      signals_(io_),
      minute_(io_),
      watchdog_(io_),
      drain_deadline_(io_),
      memory_(
          io_, [this](base::Pressure level, std::uint64_t resident) { on_pressure(level, resident); },
          [this] {
            for (const auto& worker : workers_) worker->post([](Worker&) { base::return_free_memory(); });
          }),
      address_refresh_(
          io_,
          [this](const proxy::AddressSets& sets, const std::string& name) { adopt_addresses(sets, name); },
          [this](const config::Problem& problem) {
            log_.warn("address_set", {{"problem", config::to_string(problem)}});
          }),
      lookup_(io_),
      staple_metrics_(metrics_.registry()),
      responder_(io_),
      files_watch_(
          io_, [this](bool last) { return reload_changed(last); },
          [this](int error) { on_watch_limited(error); }) {}

Server::State::~State() {
  stop_workers();
}

// ---- start ----

void Server::State::start() {
  const base::ReturnAtOnce at_once;
  std::signal(SIGPIPE, SIG_IGN);
  files_ = raise_file_limit();
  for (const int number : {SIGHUP, SIGTERM, SIGINT, SIGUSR1}) signals_.add(number);
  metrics_.build({options_.version, options_.commit, tls::library_version(), http2::library_version()});
  metrics_.generations_alive([this] { return static_cast<double>(builder_.alive()); });
  metrics_.addresses_untracked([this] { return static_cast<double>(budgets_.addresses.untracked()); });
  metrics_.memory_pool("resident", [] { return static_cast<double>(resident_memory()); });
  metrics_.memory_pool("limit", [this] { return static_cast<double>(memory_.limit()); });
  metrics_.memory_pressure(0);
  metrics_.access_log_dropped("full", [this] { return static_cast<double>(access_log_.dropped_full()); });
  metrics_.access_log_dropped("failed", [this] { return static_cast<double>(access_log_.dropped_failed()); });

  const std::uint32_t count = worker_count(first_model_);
  FileMarks seen;
  if (first_model_.watch.enabled)
    seen = files_watch_.marker().look(files_of(first_model_, options_.config_file), {});
  Built built = builder_.build(std::move(first_model_), base::WallClock::now());
  if (built.snapshot == nullptr) {
    std::string text;
    for (const config::Problem& problem : built.problems) text += config::to_string(problem) + "\n";
    throw StartError(text);
  }
  for (const config::Problem& problem : built.problems) {
    log_.warn("config", {{"problem", config::to_string(problem)}});
  }
  const Shared shared{log_, metrics_, access_log_, health_, budgets_, connection_ids_, random_number()};
  for (std::uint32_t i = 0; i < count; ++i) workers_.push_back(std::make_unique<Worker>(i, shared));
  // One a worker, whatever the number of connections.
  metrics_.memory_pool("read_buffers",
                       [count] { return static_cast<double>(count * net::Loop::kReadBuffer); });
  Binding binding = bind(built.snapshot->model);
  if (!binding.problems.empty()) {
    std::string text;
    for (const config::Problem& problem : binding.problems) text += config::to_string(problem) + "\n";
    throw StartError(text);
  }
  resolver_.emplace(
      lookup_,
      [this](const std::shared_ptr<const upstream::Resolution>& resolution) {
        for (const auto& worker : workers_) worker->post([resolution](Worker& w) { w.resolved(resolution); });
      },
      [this](std::string_view host, std::string_view error, std::size_t kept) {
        log_.warn("resolve_failed", {{"host", host}, {"error", error}, {"addresses_kept", kept}});
      });
  start_stapling();
  adopt(std::move(built), std::move(binding));
  metrics_.reloaded(obs::ReloadTrigger::start, obs::ReloadResult::ok, base::WallClock::now());
  {
    const std::lock_guard lock(status_mutex_);
    status_.started = base::WallClock::now();
    status_.workers = count;
  }
  for (const auto& worker : workers_) worker->start();
  resolver_->drive(io_);
  stapler_->drive(io_);
  files_watch_.watch(snapshot_->model.watch, std::move(seen));
  ready_.store(true, std::memory_order_relaxed);
}

Server::State::Binding Server::State::bind(const config::Model& model) {
  Binding binding;
  binding.new_sockets.resize(workers_.size());
  for (const config::Listener& listener : model.listeners) {
    const std::string key = socket_key(listener);
    auto& budget = listener_budgets_[listener.name];
    if (budget == nullptr) budget = std::make_shared<Budget>();
    binding.setups.push_back({key, budget});
    if (const auto known = bound_.find(key); known != bound_.end()) {
      binding.bound.insert(*known);
      continue;
    }
    const auto address = net::IpAddress::parse(listener.address.ip);
    const net::Endpoint endpoint{address.value_or(net::IpAddress{}), listener.address.port};
    net::TcpOptions options;
    options.keepalive_idle = std::chrono::duration_cast<base::Seconds>(listener.tcp_keepalive.idle);
    options.keepalive_interval = std::chrono::duration_cast<base::Seconds>(listener.tcp_keepalive.interval);
    options.keepalive_probes = static_cast<int>(listener.tcp_keepalive.count);
    auto sockets =
        net::ListenerSocket::bind_set(endpoint, workers_.size(), static_cast<int>(listener.backlog), options);
    if (sockets.has_error()) {
      binding.problems.push_back({config::Problem::Severity::error, listener.origin,
                                  "listener \"" + listener.name + "\": " + sockets.error().text});
      continue;
    }
    binding.bound[key] = sockets->front().local();
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      binding.new_sockets[i].push_back({key, std::move((*sockets)[i])});
    }
  }
  return binding;
}

// From here on this snapshot is served.
void Server::State::adopt(Built built, Binding binding) {
  const proxy::SnapshotPtr snapshot = std::move(built.snapshot);
  snapshot_ = snapshot;
  bound_ = std::move(binding.bound);
  const config::Model& model = snapshot->model;
  apply_process_limits(model);
  // Before the workers hear of it: a certificate's first handshake has its answer.
  stapler_->adopt(built.staples, model.tls.ocsp, base::Clock::now(), base::WallClock::now());
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->post([snapshot, setups = binding.setups, sockets = std::move(binding.new_sockets[i])](
                          Worker& worker) mutable { worker.apply(snapshot, setups, std::move(sockets)); });
  }
  resolver_->watch(snapshot->clusters, base::Clock::now());
  builder_.publish_certificates(*snapshot);
  for (const config::AddressSet& set : model.address_sets) publish_address_set(set.name);
  address_refresh_.watch(snapshot, builder_.address_sets());
  metrics_.generation(snapshot->generation);
  const std::lock_guard lock(status_mutex_);
  status_.generation = snapshot->generation;
  status_.listeners.clear();
  for (std::size_t i = 0; i < model.listeners.size(); ++i) {
    const net::Endpoint& at = bound_[binding.setups[i].key];
    const bool https = model.listeners[i].protocol == config::ListenerProtocol::https;
    status_.listeners.push_back({model.listeners[i].name, https, at.to_string(), at.port});
  }
}

// Files of address sets have changed between reloads.
void Server::State::adopt_addresses(const proxy::AddressSets& sets, const std::string& name) {
  for (const auto& worker : workers_) worker->post([sets](Worker& w) { w.use(sets); });
  publish_address_set(name);
}

void Server::State::publish_address_set(const std::string& name) {
  const AddressSetFiles::Facts facts = builder_.address_sets().facts(name);
  metrics_.address_set(name, facts.blocks, facts.loaded);
}

void Server::State::apply_process_limits(const config::Model& model) {
  const config::ProcessLimits& limits = model.process_limits;
  std::uint32_t connections = limits.connections;
  if (const auto most = connections_for(files_, workers_.size(), model.listeners.size());
      most < connections) {
    connections = most;
    if (std::exchange(connections_told_, most) != most)
      log_.info("connections_limited",
                {{"connections", connections},
                 {"limits.connections", limits.connections},
                 {"open_files", files_},
                 {"hint",
                  "each connection may need a handle for its upstream as well: raise the limit of open "
                  "files (LimitNOFILE, ulimit -n) or lower limits.connections"}});
  }
  budgets_.connections.limit(connections);
  budgets_.handshakes.limit(limits.handshakes);
  budgets_.addresses.ipv6_prefix(limits.ipv6_prefix);
  for (const config::Listener& listener : model.listeners) {
    listener_budgets_[listener.name]->limit(listener.max_connections);
  }
  std::uint64_t memory = limits.memory.value_or(available_memory() / 100 * kAutoPercent);
  // What there is could not be read, for want of a file handle perhaps: what was known holds.
  if (memory == 0 && !limits.memory) memory = memory_.limit();
  memory_.limit(memory);
}

ServerStatus Server::State::status() const {
  const std::lock_guard lock(status_mutex_);
  ServerStatus copy = status_;
  copy.ready = ready();
  copy.health = health_.report();
  return copy;
}

// ---- the control loop ----

void Server::State::run() {
  wait_for_signal();
  every_minute();
  feed_watchdog();
  log_.info("started",
            {{"version", options_.version}, {"workers", workers_.size()}, {"generation", std::uint64_t{1}}});
  notifier_.ready();
  io_.run();
  stop_workers();
  log_.info("stopped");
  log_.flush();
}

void Server::State::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& ec, int number) {
    if (ec) return;
    on_signal(number);
    wait_for_signal();
  });
}

void Server::State::on_signal(int number) {
  switch (number) {
    case SIGHUP:
      reload(obs::ReloadTrigger::sighup);
      break;
    case SIGUSR1:
      reopen_logs();
      break;
    default:
      begin_drain();
      break;
  }
}

void Server::State::reopen_logs() {
  access_log_.reopen();
  if (!log_.reopen()) log_.error("log_reopen_failed");
}

void Server::State::every_minute() {
  if (const auto& keys = builder_.ticket_keys();
      keys != nullptr && keys->rotate_if_due(base::WallClock::now())) {
    metrics_.ticket_keys_rotated();
  }
  minute_.expires_after(std::chrono::minutes(1));
  minute_.async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;
    health_.end_minute(base::WallClock::now());
    every_minute();
  });
}

void Server::State::feed_watchdog() {
  const auto interval = notifier_.watchdog_interval();
  if (!interval) return;
  notifier_.watchdog();
  watchdog_.expires_after(*interval / 2);
  watchdog_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) feed_watchdog();
  });
}

void Server::State::on_pressure(base::Pressure level, std::uint64_t resident) {
  metrics_.memory_pressure(static_cast<std::uint32_t>(level));
  const obs::Level importance = level == base::Pressure::none ? obs::Level::info : obs::Level::warn;
  log_.event(pressure_events_, base::Clock::now(), importance, "memory_pressure",
             {{"level", base::to_string(level)},
              {"resident_bytes", resident},
              {"limit_bytes", memory_.limit()},
              {"hint",
               "what is not served now is in sallyport_memory_shed_total; limits.memory says how much "
               "the gateway may hold"}});
  for (const auto& worker : workers_) worker->post([level](Worker& w) { w.pressure(level); });
}

// ---- the end ----

void Server::State::begin_drain() {
  ready_.store(false, std::memory_order_relaxed);
  if (draining_) {
    log_.warn("drain_cut_short");
    io_.stop();
    return;
  }
  draining_ = true;
  files_watch_.off();
  notifier_.stopping();
  const base::Milliseconds limit = snapshot_->model.drain;
  log_.info("draining", {{"deadline_ms", limit.count()}});
  {
    const std::lock_guard lock(status_mutex_);
    status_.draining = true;
  }
  undrained_ = workers_.size();
  for (const auto& worker : workers_) {
    worker->post(
        [this](Worker& w) { w.drain([this] { boost::asio::post(io_, [this] { worker_drained(); }); }); });
  }
  drain_deadline_.expires_after(limit);
  drain_deadline_.async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;
    log_.warn("drain_deadline", {{"workers_busy", undrained_}});
    io_.stop();
  });
}

void Server::State::worker_drained() {
  if (--undrained_ == 0) io_.stop();
}

void Server::State::stop_workers() {
  for (const auto& worker : workers_) worker->stop_and_join();
  std::vector<std::unique_ptr<Worker>> ended;
  {
    // /metrics may be asked meanwhile.
    const std::lock_guard lock(status_mutex_);
    ended.swap(workers_);
  }
}

}  // namespace sallyport::runtime
