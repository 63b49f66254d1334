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
    if (schema_command->parsed()) return schema();
    if (version_command->parsed()) return version();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sallyport: %s\n", error.what());
    return kFailed;
  }
  return kUsage;
}

}  // namespace sallyport::cli
