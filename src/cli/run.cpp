// `sallyport run`: the server, and the admin endpoint beside it.
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <utility>

#include <boost/json.hpp>

#include "sallyport/admin/server.hpp"
#include "sallyport/base/memory.hpp"
#include "sallyport/runtime/server.hpp"

#include "commands.hpp"
#include "version.hpp"

namespace sallyport::cli {

namespace {

admin::Status admin_status(const runtime::ServerStatus& from) {
  admin::Status to;
  to.version = kVersion;
  to.started = from.started;
  to.generation = from.generation;
  to.workers = from.workers;
  to.ready = from.ready;
  to.draining = from.draining;
  to.last_reload = {from.last_reload_successful, from.last_reload_message, from.last_reload_at};
  to.health = from.health;
  for (const auto& listener : from.listeners) {
    to.listeners.push_back({listener.name, listener.tls ? "https" : "http", {listener.address}});
  }
  return to;
}

std::unique_ptr<admin::Server> start_admin(const config::Admin& where, const runtime::Server& server) {
  admin::Sources sources;
  sources.metrics = [&server] { return server.metrics_text(); };
  sources.ready = [&server] { return server.ready(); };
  sources.status_json = [&server] {
    return admin::status_json(admin_status(server.status()), base::WallClock::now());
  };
  const std::string address =
      where.unix_path.empty() ? config::to_string(where.address) : "unix:" + where.unix_path.string();
  return std::make_unique<admin::Server>(address, std::move(sources));
}

// The server hears signals while it runs. One that comes before waits for it; one that comes
// behind, such as an impatient second SIGTERM, must not turn a clean end into a kill. Threads
// inherit what is held when they are made.
void hold_signals(bool hold) {
  sigset_t ours;
  sigemptyset(&ours);
  for (const int number : {SIGHUP, SIGTERM, SIGINT, SIGUSR1}) sigaddset(&ours, number);
  pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &ours, nullptr);
}

// Whole or not at all: readers wait for the file to appear.
void write_ports(const std::filesystem::path& file, const runtime::Server& server,
                 const admin::Server* admin) {
  boost::json::object ports;
  boost::json::object listeners;
  for (const auto& listener : server.status().listeners) listeners[listener.name] = listener.port;
  ports["listeners"] = std::move(listeners);
  if (admin != nullptr) ports["admin"] = admin->address();
  const std::filesystem::path part = file.string() + ".part";
  {
    std::ofstream out(part);
    out << boost::json::serialize(ports) << '\n';
    if (!out.flush())
      throw std::runtime_error(part.string() + ": cannot write: is the folder there and writable?");
  }
  std::filesystem::rename(part, file);
}

config::Loaded load_first(const std::filesystem::path& file) {
  const base::Apart apart(base::pages_of(1));
  return config::load_and_validate(file);
}

}  // namespace

int run(const RunArguments& arguments) {
  hold_signals(true);
  config::Loaded loaded = load_first(arguments.config);
  if (report(loaded.problems)) return kFailed;
  const std::optional<config::Admin> admin_config = loaded.model.admin;
  try {
    runtime::Server server(std::move(loaded.model), {arguments.config, kVersion, kCommit});
    server.start();
    std::unique_ptr<admin::Server> admin;
    if (admin_config) admin = start_admin(*admin_config, server);
    if (!arguments.ports_file.empty()) write_ports(arguments.ports_file, server, admin.get());
    hold_signals(false);
    server.run();
    hold_signals(true);
    admin.reset();
  } catch (const runtime::StartError& error) {
    std::fputs(error.what(), stderr);
    return kFailed;
  }
  return kOk;
}

}  // namespace sallyport::cli
