// sallyport-demo: an origin to look at and to test against.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>

#include "json.hpp"
#include "server.hpp"

namespace {

using namespace sallyport::demo;

std::string describe(const Server& server) {
  std::vector<json::Member> members;
  for (const auto& [kind, port] : server.ports()) members.emplace_back(kind, std::to_string(port));
  return json::object(members);
}

// Whole or not at all, so that whoever waits for the file can read it as soon as it is there.
void write_whole(const std::string& path, const std::string& text) {
  const std::string part = path + ".part";
  std::ofstream(part) << text << '\n';
  std::filesystem::rename(part, path);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::string ports_file;
  CLI::App app("An origin for demonstration and tests.");
  app.footer(kDescription);
  app.add_option("--h1", options.h1, "listen for HTTP/1.1 on ADDRESS:PORT (port 0: any)");
  app.add_option("--h2", options.h2, "listen for HTTP/2: prior knowledge, or ALPN with --cert");
  app.add_option("--auto", options.automatic, "listen for both over TLS, by ALPN");
  auto* certificate =
      app.add_option("--cert", options.certificate, "certificate chain (PEM): all ports speak TLS");
  auto* key = app.add_option("--key", options.key, "its key");
  certificate->needs(key);
  key->needs(certificate);
  app.add_option("--client-ca", options.client_ca, "ask clients for a certificate of this CA")
      ->needs(certificate);
  app.add_option("--h2-max-streams", options.max_streams, "concurrent streams a connection");
  app.add_option("--ports-file", ports_file, "write the ports there as JSON, once listening");
  CLI11_PARSE(app, argc, argv);

  // Blocked before the first thread is made: the signals arrive through a descriptor.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  try {
    Server server(options);
    const std::string ports = describe(server);
    std::cout << "sallyport-demo listens on " << ports << std::endl;
    if (!ports_file.empty()) write_whole(ports_file, ports);
    server.run();
  } catch (const std::exception& error) {
    std::cerr << "sallyport-demo: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
