#include "sallyport/cli/cli.hpp"

#include <cstdio>
#include <exception>
#include <string>

#include <CLI/CLI.hpp>

#include "commands.hpp"

namespace sallyport::cli {

bool report(const std::vector<config::Problem>& problems) {
  for (const config::Problem& problem : problems) {
    std::fprintf(stderr, "%s\n", config::to_string(problem).c_str());
  }
  return config::has_errors(problems);
}

namespace {

void add_time(CLI::App& command, std::optional<base::WallTime>& at) {
  command.add_option_function<std::string>(
      "--at",
      [&at](const std::string& text) {
        at = parse_time(text);
        if (!at) throw CLI::ValidationError("--at", "expected 2026-01-31, 2026-01-31T12:00:00Z or @SECONDS");
      },
      "at this time (UTC) instead of now");
}

CLI::App* add_chain(CLI::App& app, ChainArguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "chain", "what would be sent of these certificate files, each way to a root, and why others fail");
  command->add_option("FILE", arguments.files, "certificates in PEM form, in any order")->required();
  command->add_option("--roots", arguments.roots,
                      "PEM file of the roots that clients have; the system's if left out");
  command->add_option("--intermediates", arguments.intermediates,
                      "PEM file of intermediates, from which missing ones are added");
  command->add_option("--name", arguments.name, "a host name or address that the certificate must be for");
  add_time(*command, arguments.at);
  command->add_flag("--json", arguments.as_json, "as JSON");
  return command;
}

CLI::App* add_doctor(CLI::App& app, DoctorArguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "doctor",
      "what Cloudflare in front of this configuration would meet, line by line; exit code 0, 1 if something "
      "fails, 3 if there are warnings alone");
  command->add_option("-c,--config", arguments.config, "the configuration file")->required();
  command->add_option(
      "--roots", arguments.roots,
      "PEM file of the roots that Cloudflare trusts, such as a Custom Origin Trust Store; the "
      "system's if left out");
  add_time(*command, arguments.at);
  command->add_flag("--json", arguments.as_json, "as JSON");
  CLI::Option* live =
      command->add_flag("--live", arguments.live,
                        "also connect to the gateway that runs, as Cloudflare would, and tell what happened");
  command->add_option("--connect", arguments.connect, "it is at ADDRESS:PORT; the listener's own if left out")
      ->needs(live);
  command->add_option("--host", arguments.host, "ask for this name alone; one of each host if left out")
      ->needs(live);
  CLI::Option* certificate =
      command->add_option("--client-cert", arguments.client_certificate,
                          "PEM file of the certificate that Cloudflare shows (Authenticated Origin Pulls)");
  CLI::Option* key = command->add_option("--client-key", arguments.client_key, "PEM file of its key");
  certificate->needs(live)->needs(key);
  key->needs(certificate);
  return command;
}

std::vector<tls::ProbeKind> kinds_of(const std::vector<std::string>& names) {
  std::vector<tls::ProbeKind> kinds;
  for (const std::string& name : names) {
    const std::optional<tls::ProbeKind> kind = tls::find_probe_kind(name);
    if (!kind) {
      std::string known;
      for (const tls::ProbeKindText& one : tls::probe_kinds())
        known += (known.empty() ? "" : ", ") + std::string(one.name);
      throw CLI::ValidationError(
          "--as", std::string("no client is called ").append(name).append("; there are ").append(known));
    }
    kinds.push_back(*kind);
  }
  return kinds;
}

CLI::App* add_probe(CLI::App& app, ProbeArguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "probe",
      "connect to any TLS server as clients of several kinds, and say what fails, why, and what to change");
  command
      ->add_option("SERVER", arguments.target, "HOST:PORT; the port is 443 if left out, [::1]:443 for IPv6")
      ->required();
  command->add_option_function<std::string>(
      "--sni", [&arguments](const std::string& name) { arguments.sni = name; },
      "the name to ask for, and that the certificate must hold; HOST if left out, \"\" for none");
  command->add_option("--connect", arguments.connect,
                      "ADDRESS or ADDRESS:PORT to connect to instead of HOST");
  command
      ->add_option_function<double>(
          "--timeout",
          [&arguments](double seconds) {
            arguments.timeout = base::Milliseconds(static_cast<std::int64_t>(seconds * 1000));
          },
          "seconds for each connection; 5 if left out")
      ->check(CLI::Range(0.1, 600.0));
  command
      ->add_option_function<std::vector<std::string>>(
          "--as", [&arguments](const std::vector<std::string>& names) { arguments.kinds = kinds_of(names); },
          "only as clients of these kinds: tls13, cloudflare-13, …")
      ->delimiter(',');
  command->add_option("--roots", arguments.roots,
                      "PEM file of the roots that clients have; the system's if left out");
  command->add_option("--intermediates", arguments.intermediates,
                      "PEM file of intermediates, to name one that the server does not send");
  command->add_flag("!--no-http", arguments.http, "end behind the handshake, ask for nothing");
  command->add_flag("--json", arguments.as_json, "as JSON");
  return command;
}

CLI::App* add_policy(CLI::App& app, PolicyArguments& arguments) {
  CLI::App* command =
      app.add_subcommand("policy",
                         "what a named TLS profile, or a policy of a configuration, means; without a "
                         "name: which there are");
  command->add_option("NAME", arguments.name, "a profile, or a policy of the configuration");
  command->add_option("-c,--config", arguments.config, "look at this file's policies as well");
  command->add_flag("--json", arguments.as_json, "as JSON");
  return command;
}

CLI::App* add_explain(CLI::App& app, ExplainArguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "explain",
      "what log lines of failed handshakes, or a captured ClientHello, mean; with a configuration: "
      "what would happen under it, and why");
  command
      ->add_option("FILE", arguments.file,
                   "log lines, a hex dump, bytes, or a packet capture; - for standard input")
      ->required();
  command->add_option("-c,--config", arguments.config, "try it under this configuration");
  command->add_option_function<std::string>(
      "--sni", [&arguments](const std::string& name) { arguments.sni = name; },
      "as if it asked for this name; '' for none");
  command->add_option("--listener", arguments.listener, "as if it came to this listener");
  command->add_option("--client", arguments.client, "as if it came from this address");
  command->add_flag("--json", arguments.as_json, "as JSON");
  return command;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Sallyport, a TLS-terminating reverse-proxy gateway");
  app.require_subcommand(1);

  RunArguments run_arguments;
  CLI::App* run_command =
      app.add_subcommand("run", "serve until SIGTERM; SIGHUP reloads, SIGUSR1 reopens the logs");
  run_command->add_option("-c,--config", run_arguments.config, "the configuration file")->required();
  run_command->add_option("--ports-file", run_arguments.ports_file,
                          "write the bound addresses there as JSON, once connections are served");

  std::filesystem::path check_config;
  CLI::App* check_command =
      app.add_subcommand("check", "load everything as run would, bind nothing; exit code 0 or 1");
  check_command->add_option("-c,--config", check_config, "the configuration file")->required();

  ChainArguments chain_arguments;
  CLI::App* chain_command = add_chain(app, chain_arguments);

  DoctorArguments doctor_arguments;
  CLI::App* doctor_command = add_doctor(app, doctor_arguments);
  ProbeArguments probe_arguments;
  CLI::App* probe_command = add_probe(app, probe_arguments);

  PolicyArguments policy_arguments;
  CLI::App* policy_command = add_policy(app, policy_arguments);

  ExplainArguments explain_arguments;
  CLI::App* explain_command = add_explain(app, explain_arguments);

  CLI::App* schema_command =
      app.add_subcommand("schema", "print the configuration's JSON Schema, for editors");
  CLI::App* version_command = app.add_subcommand("version", "print the version and those of the libraries");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  try {
    if (run_command->parsed()) return run(run_arguments);
    if (check_command->parsed()) return check(check_config);
    if (chain_command->parsed()) return chain(chain_arguments);
    if (doctor_command->parsed()) return doctor(doctor_arguments);
    if (probe_command->parsed()) return probe(probe_arguments);
    if (policy_command->parsed()) return policy(policy_arguments);
    if (explain_command->parsed()) return explain(explain_arguments);
    if (schema_command->parsed()) return schema();
    if (version_command->parsed()) return version();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sallyport: %s\n", error.what());
    return kFailed;
  }
  return kUsage;
}

}  // namespace sallyport::cli
