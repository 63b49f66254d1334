// `sallyport explain`: reads log lines of failed handshakes, or a captured ClientHello, and says what they
// mean; with a configuration also what would happen under it, and why.
#include "explain.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <utility>

#include "sallyport/config/spelling.hpp"
#include "sallyport/runtime/server.hpp"
#include "sallyport/tls/capture.hpp"

namespace sallyport::cli {

namespace {

constexpr std::size_t kMaxInput = tls::kMaxCaptureBytes;

bool read_all(std::istream& in, std::string& to) {
  char block[64 * 1024];
  while (in.read(block, sizeof block), in.gcount() > 0) {
    to.append(block, static_cast<std::size_t>(in.gcount()));
    if (to.size() > kMaxInput) return false;
  }
  return true;
}

bool read_input(const std::string& name, std::string& to) {
  if (name == "-") {
    if (read_all(std::cin, to)) return true;
  } else {
    std::ifstream file(name, std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s cannot be read\n", name.c_str());
      return false;
    }
    if (read_all(file, to)) return true;
  }
  std::fprintf(stderr, "%s: it is larger than 256 MiB: filter it first\n", name.c_str());
  return false;
}

// False, and said why, if it is not fit to be served from.
bool load_trial(const std::filesystem::path& file, Trial& trial) {
  config::Loaded loaded = config::load_and_validate(file);
  if (report(loaded.problems)) return false;
  trial.file = file.string();
  trial.model = loaded.model;
  runtime::DryBuild plan = runtime::dry_build(std::move(loaded.model), base::WallClock::now());
  if (config::has_errors(plan.problems)) {
    report(plan.problems);
    return false;
  }
  trial.store = std::move(plan.tls);
  if (trial.store != nullptr) return true;
  std::fprintf(stderr, "%s: no listener speaks TLS\n", file.c_str());
  return false;
}

bool check_arguments(const ExplainArguments& arguments, const Trial* trial) {
  if (!arguments.client.empty() && !net::IpAddress::parse(arguments.client)) {
    std::fprintf(stderr, "--client: %s is no address\n", config::in_quotes(arguments.client).c_str());
    return false;
  }
  if (trial == nullptr || trial->listener(arguments.listener, 0)) return true;
  std::vector<std::string_view> known;
  for (const config::Listener& listener : trial->model.listeners) {
    if (listener.protocol == config::ListenerProtocol::https) known.push_back(listener.name);
  }
  std::fprintf(stderr, "--listener: no https listener is named %s%s\n",
               config::in_quotes(arguments.listener).c_str(),
               config::did_you_mean(arguments.listener, known).c_str());
  return false;
}

}  // namespace

std::optional<std::uint32_t> Trial::listener(std::string_view name, std::uint16_t port) const {
  std::optional<std::uint32_t> first;
  for (std::uint32_t i = 0; i < model.listeners.size(); ++i) {
    const config::Listener& one = model.listeners[i];
    if (one.protocol != config::ListenerProtocol::https) continue;
    if (!name.empty() ? one.name == name : port != 0 && one.address.port == port) return i;
    if (!first && name.empty()) first = i;
  }
  return first;
}

std::string outcome_text(const tls::Rehearsal& rehearsal) {
  if (rehearsal.refused) {
    return "refused: " + std::string(to_string(rehearsal.verdict.reason)) + " (" +
           std::string(to_string(rehearsal.verdict.stage)) + ")";
  }
  std::string text =
      "answered with " + std::string(to_string(rehearsal.version)) + ", " + tls::suite_text(rehearsal.cipher);
  if (rehearsal.group != 0) text += ", " + tls::group_text(rehearsal.group);
  if (!rehearsal.alpn.empty()) text += ", " + rehearsal.alpn;
  return text;
}

int explain(const ExplainArguments& arguments) {
  Trial trial;
  const bool wanted = !arguments.config.empty();
  if (wanted && !load_trial(arguments.config, trial)) return kFailed;
  const Trial* const with = wanted ? &trial : nullptr;
  if (!check_arguments(arguments, with)) return kUsage;
  std::string input;
  if (!read_input(arguments.file, input)) return kFailed;
  return looks_like_log(input) ? explain_log(input, arguments, with)
                               : explain_capture(input, arguments, with);
}

}  // namespace sallyport::cli
