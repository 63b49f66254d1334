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
    if (schema_command->parsed()) return schema();
    if (version_command->parsed()) return version();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sallyport: %s\n", error.what());
    return kFailed;
  }
  return kUsage;
}

}  // namespace sallyport::cli
