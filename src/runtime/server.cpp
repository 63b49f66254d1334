#include "sallyport/runtime/server.hpp"

#include <csignal>
#include <random>
#include <thread>
#include <utility>

#include "sallyport/http2/budgets.hpp"
#include "sallyport/http2/version.hpp"
#include "sallyport/proxy/cf_risk.hpp"
#include "sallyport/proxy/reply_table.hpp"
#include "sallyport/tls/verdict.hpp"
#include "sallyport/tls/version.hpp"

#include "file_limit.hpp"
#include "server_state.hpp"

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

std::string target_text(const config::LogTarget& target) {
  switch (target.kind) {
    case config::LogTarget::Kind::off:
      return "off";
    case config::LogTarget::Kind::standard_output:
      return "stdout";
    case config::LogTarget::Kind::standard_error:
      return "stderr";
    case config::LogTarget::Kind::file:
      break;
  }
  return target.file.string();
}

obs::Level level_of(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::debug:
      return obs::Level::debug;
    case config::LogLevel::info:
      return obs::Level::info;
    case config::LogLevel::warn:
      return obs::Level::warn;
    case config::LogLevel::error:
      break;
  }
  return obs::Level::error;
}

obs::LogOptions log_options(const config::Log& from) {
  obs::LogOptions options;
  options.path = target_text(from.path);
  options.format =
      from.format == config::LogFormat::json ? obs::LogOptions::Format::json : obs::LogOptions::Format::text;
  options.level = from.path.kind == config::LogTarget::Kind::off ? obs::Level::off : level_of(from.level);
  return options;
}

obs::AccessLogOptions access_options(const config::AccessLog& from, obs::Log& log) {
  obs::AccessLogOptions options;
  options.path = target_text(from.path);
  options.ring_bytes = from.ring;
  options.on_error = [&log](int error) {
    log.error("access_log_failed", {{"error", std::generic_category().message(error)}});
  };
  return options;
}

obs::HistogramBuckets buckets_of(const config::Metrics& from) {
  return {obs::Buckets::of_seconds(from.buckets.handshake), obs::Buckets::of_seconds(from.buckets.request),
          obs::Buckets::of_seconds(from.buckets.reload)};
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

std::uint32_t worker_count(const config::Model& model) {
  if (model.workers != 0) return model.workers;
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

std::vector<config::Problem> check_build(config::Model model) {
  return dry_build(std::move(model), base::WallClock::now()).problems;
}

DryBuild dry_build(config::Model model, base::WallTime now) {
  obs::Metrics metrics(vocabulary());
  Builder builder(metrics);
  Built built = builder.build(std::move(model), now);
  DryBuild dry;
  dry.problems = std::move(built.problems);
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
      memory_(io_, [this](base::Pressure level, std::uint64_t resident) { on_pressure(level, resident); }),
      address_refresh_(
          io_,
          [this](const proxy::AddressSets& sets, const std::string& name) { adopt_addresses(sets, name); },
          [this](const config::Problem& problem) {
            log_.warn("address_set", {{"problem", config::to_string(problem)}});
          }),
      lookup_(io_) {}

Server::State::~State() {
  stop_workers();
}

// ---- start ----

void Server::State::start() {
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
  metrics_.memory_pool("read_buffers", [this] {
    const std::lock_guard lock(status_mutex_);
    std::size_t bytes = 0;
    for (const auto& worker : workers_) bytes += worker->read_buffers();
    return static_cast<double>(bytes);
  });
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
  adopt(built.snapshot, std::move(binding));
  metrics_.reloaded(obs::ReloadTrigger::start, obs::ReloadResult::ok, base::WallClock::now());
  {
    const std::lock_guard lock(status_mutex_);
    status_.started = base::WallClock::now();
    status_.workers = count;
  }
  for (const auto& worker : workers_) worker->start();
  resolver_->drive(io_);
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
void Server::State::adopt(const proxy::SnapshotPtr& snapshot, Binding binding) {
  snapshot_ = snapshot;
  bound_ = std::move(binding.bound);
  const config::Model& model = snapshot->model;
  apply_process_limits(model);
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
      reload();
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

// ---- reload ----

void Server::State::reload() {
  if (draining_) return;
  notifier_.reloading();
  const base::Instant begun = base::Clock::now();
  config::Loaded loaded = config::load_and_validate(options_.config_file);
  const base::Instant parsed = base::Clock::now();
  metrics_.reload_phase(obs::ReloadPhase::parse, parsed - begun);
  if (config::has_errors(loaded.problems)) return reject(loaded.problems);
  const std::string restart = what_needs_restart(loaded.model);
  Built built = builder_.build(std::move(loaded.model), base::WallClock::now());
  if (built.snapshot == nullptr) return reject(built.problems);
  Binding binding = bind(built.snapshot->model);
  if (!binding.problems.empty()) return reject(binding.problems);
  const base::Instant ready_to_swap = base::Clock::now();
  metrics_.reload_phase(obs::ReloadPhase::load, ready_to_swap - parsed);
  const config::Model& model = built.snapshot->model;
  try {
    access_log_.redirect(target_text(model.access_log.path));
  } catch (const std::exception& failed) {
    return reject({{config::Problem::Severity::error, model.access_log.origin, failed.what()}});
  }
  log_.set_level(log_options(model.log).level);
  for (const auto& problems : {std::cref(loaded.problems), std::cref(built.problems)}) {
    for (const config::Problem& problem : problems.get()) {
      log_.warn("config", {{"problem", config::to_string(problem)}});
    }
  }
  adopt(built.snapshot, std::move(binding));
  metrics_.reload_phase(obs::ReloadPhase::swap, base::Clock::now() - ready_to_swap);
  const base::WallTime now = base::WallClock::now();
  metrics_.reloaded(obs::ReloadTrigger::sighup,
                    restart.empty() ? obs::ReloadResult::ok : obs::ReloadResult::partial, now);
  if (!restart.empty()) log_.warn("reload_needs_restart", {{"what", restart}});
  const double milliseconds = std::chrono::duration<double, std::milli>(base::Clock::now() - begun).count();
  log_.info("reloaded", {{"generation", built.snapshot->generation}, {"duration_ms", milliseconds}});
  {
    const std::lock_guard lock(status_mutex_);
    status_.last_reload_successful = true;
    status_.last_reload_message = restart.empty() ? "" : "needs a restart: " + restart;
    status_.last_reload_at = now;
  }
  notifier_.status("generation " + std::to_string(built.snapshot->generation));
  notifier_.ready();
}

// What the running process cannot change; it goes on as it was started.
std::string Server::State::what_needs_restart(const config::Model& fresh) const {
  const config::Model& now = snapshot_->model;
  std::string what;
  const auto note = [&what](const char* key, bool changed) {
    if (!changed) return;
    if (!what.empty()) what += ", ";
    what += key;
  };
  note("workers", worker_count(fresh) != workers_.size());
  note("admin", !(fresh.admin == now.admin));
  note("log.path", !(fresh.log.path == now.log.path) || fresh.log.format != now.log.format);
  note("access_log.ring", fresh.access_log.ring != now.access_log.ring);
  note("metrics.buckets", !(fresh.metrics == now.metrics));
  return what;
}

void Server::State::reject(const std::vector<config::Problem>& problems) {
  std::string first;
  for (const config::Problem& problem : problems) {
    if (problem.severity != config::Problem::Severity::error) continue;
    if (first.empty()) first = config::to_string(problem);
    log_.error("reload_rejected", {{"problem", config::to_string(problem)},
                                   {"effect", "the configuration of before goes on serving"}});
  }
  const base::WallTime now = base::WallClock::now();
  metrics_.reloaded(obs::ReloadTrigger::sighup, obs::ReloadResult::rejected, now);
  {
    const std::lock_guard lock(status_mutex_);
    status_.last_reload_successful = false;
    status_.last_reload_message = first;
    status_.last_reload_at = now;
  }
  notifier_.status("reload rejected: " + first);
  notifier_.ready();
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
