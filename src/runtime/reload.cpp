// The Server's reload: everything read again and built aside, then swapped whole, or the old one stays.
#include <system_error>
#include <utility>

#include "sallyport/base/memory.hpp"

#include "server_state.hpp"
#include "settings.hpp"

namespace sallyport::runtime {

namespace {

std::string_view word_of(obs::ReloadTrigger trigger) {
  return trigger == obs::ReloadTrigger::watch ? "watch" : "sighup";
}

std::string first_error(const std::vector<config::Problem>& problems) {
  for (const config::Problem& problem : problems) {
    if (problem.severity == config::Problem::Severity::error) return config::to_string(problem);
  }
  return {};
}

}  // namespace

void Server::State::reload(obs::ReloadTrigger trigger) {
  if (draining_) return;
  const base::ReturnAtOnce at_once;
  notifier_.reloading();
  Attempt attempt = try_reload();
  if (attempt.good()) {
    take(std::move(attempt), trigger);
  } else {
    reject(attempt.problems, trigger);
    files_watch_.tried(attempt.seen);
  }
}

// Files have changed. What does not fit together may be half of a change; `last`: it is not.
bool Server::State::reload_changed(bool last) {
  if (draining_) return true;
  const base::ReturnAtOnce at_once;
  Attempt attempt = try_reload();
  if (attempt.good()) {
    notifier_.reloading();
    take(std::move(attempt), obs::ReloadTrigger::watch);
    return true;
  }
  if (last) {
    notifier_.reloading();
    reject(attempt.problems, obs::ReloadTrigger::watch);
  } else {
    log_.info("reload_waits", {{"problem", first_error(attempt.problems)},
                               {"hint", "half of a change, perhaps: it is tried again when more has come"}});
  }
  files_watch_.tried(attempt.seen);
  return false;
}

void Server::State::on_watch_limited(int error) {
  log_.warn("watch_polls", {{"error", std::generic_category().message(error)},
                            {"poll_ms", snapshot_->model.watch.poll.count()},
                            {"hint",
                             "the kernel tells of no more files: raise fs.inotify.max_user_watches and "
                             "max_user_instances; until then changes are found by looking"}});
}

// Everything up to the point of no return; one that fails leaves no trace.
Server::State::Attempt Server::State::try_reload() {
  const base::Apart apart(base::pages_of(snapshot_->generation + 1));
  Attempt attempt;
  attempt.begun = base::Clock::now();
  // Before anything is read: what changes from here on is a change.
  attempt.seen = files_watch_.marker().look(files_of({}, options_.config_file), {});
  config::Loaded loaded = config::load_and_validate(options_.config_file);
  const base::Instant parsed = base::Clock::now();
  metrics_.reload_phase(obs::ReloadPhase::parse, parsed - attempt.begun);
  attempt.problems = std::move(loaded.problems);
  if (config::has_errors(attempt.problems)) return attempt;
  attempt.needs_restart = what_needs_restart(loaded.model);
  if (loaded.model.watch.enabled) {
    attempt.seen.merge(
        files_watch_.marker().look(files_of(loaded.model, options_.config_file), files_watch_.marks()));
  }
  attempt.built = builder_.build(std::move(loaded.model), base::WallClock::now());
  const auto add = [&attempt](const std::vector<config::Problem>& more) {
    attempt.problems.insert(attempt.problems.end(), more.begin(), more.end());
  };
  add(attempt.built.problems);
  if (attempt.built.snapshot == nullptr) return attempt;
  const config::Model& model = attempt.built.snapshot->model;
  attempt.binding = bind(model);
  add(attempt.binding.problems);
  if (!attempt.good()) return attempt;
  metrics_.reload_phase(obs::ReloadPhase::load, base::Clock::now() - parsed);
  try {
    access_log_.redirect(target_text(model.access_log.path));
  } catch (const std::exception& failed) {
    add({{config::Problem::Severity::error, model.access_log.origin, failed.what()}});
  }
  return attempt;
}

void Server::State::take(Attempt attempt, obs::ReloadTrigger trigger) {
  const base::Instant ready_to_swap = base::Clock::now();
  log_.set_level(log_options(attempt.built.snapshot->model.log).level);
  for (const config::Problem& problem : attempt.problems) {
    log_.warn("config", {{"problem", config::to_string(problem)}});
  }
  adopt(std::move(attempt.built), std::move(attempt.binding));
  files_watch_.watch(snapshot_->model.watch, std::move(attempt.seen));
  memory_.reloaded();
  metrics_.reload_phase(obs::ReloadPhase::swap, base::Clock::now() - ready_to_swap);
  const base::WallTime now = base::WallClock::now();
  const std::string& restart = attempt.needs_restart;
  metrics_.reloaded(trigger, restart.empty() ? obs::ReloadResult::ok : obs::ReloadResult::partial, now);
  if (!restart.empty()) log_.warn("reload_needs_restart", {{"what", restart}});
  const base::Duration took = base::Clock::now() - attempt.begun;
  log_.info("reloaded", {{"generation", snapshot_->generation},
                         {"trigger", word_of(trigger)},
                         {"duration_ms", std::chrono::duration<double, std::milli>(took).count()}});
  {
    const std::lock_guard lock(status_mutex_);
    status_.last_reload_successful = true;
    status_.last_reload_message = restart.empty() ? "" : "needs a restart: " + restart;
    status_.last_reload_at = now;
  }
  notifier_.status("generation " + std::to_string(snapshot_->generation));
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

void Server::State::reject(const std::vector<config::Problem>& problems, obs::ReloadTrigger trigger) {
  const std::string first = first_error(problems);
  for (const config::Problem& problem : problems) {
    if (problem.severity != config::Problem::Severity::error) continue;
    log_.error("reload_rejected", {{"problem", config::to_string(problem)},
                                   {"effect", "the configuration of before goes on serving"}});
  }
  const base::WallTime now = base::WallClock::now();
  metrics_.reloaded(trigger, obs::ReloadResult::rejected, now);
  {
    const std::lock_guard lock(status_mutex_);
    status_.last_reload_successful = false;
    status_.last_reload_message = first;
    status_.last_reload_at = now;
  }
  notifier_.status("reload rejected: " + first);
  notifier_.ready();
}

}  // namespace sallyport::runtime
