// The commands, as main() calls them once the arguments are read. Each returns the exit code.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/config/load.hpp"
#include "sallyport/tls/probe.hpp"

namespace sallyport::cli {

inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kWarned = 3;  // doctor: warnings alone

struct RunArguments {
  std::filesystem::path config;
  std::filesystem::path ports_file;  // where to write which ports were bound; empty: nowhere
};

struct ChainArguments {
  std::vector<std::string> files;
  std::string roots;          // empty: the system's
  std::string intermediates;  // empty: none
  std::string name;           // that the leaf must hold; empty: any
  std::optional<base::WallTime> at;
  bool as_json = false;
};

struct DoctorArguments {
  std::filesystem::path config;
  std::string roots;  // that Cloudflare trusts; empty: the system's
  std::optional<base::WallTime> at;
  bool live = false;                           // also talk to the gateway that runs
  std::string connect;                         // there: ADDRESS:PORT; empty: the listener's address
  std::string host;                            // this name alone; empty: one of each host
  std::string client_certificate, client_key;  // PEM; empty: none
  bool as_json = false;
};

struct ProbeArguments {
  std::string target;              // HOST:PORT
  std::optional<std::string> sni;  // empty: the host, if it is a name; "": none is sent
  std::string connect;             // ADDRESS or ADDRESS:PORT instead of the host; may be empty
  base::Milliseconds timeout{5000};
  std::vector<tls::ProbeKind> kinds;  // empty: all
  std::string roots;                  // empty: the system's
  std::string intermediates;          // empty: none
  bool http = true;                   // a first word of it, behind the handshake
  bool as_json = false;
};

struct PolicyArguments {
  std::string name;              // of a profile, or of a policy of the file; empty: list them
  std::filesystem::path config;  // empty: profiles alone
  bool as_json = false;
};

struct ExplainArguments {
  std::string file;              // "-": standard input
  std::filesystem::path config;  // empty: the offer alone
  std::optional<std::string> sni;
  std::string listener, client;  // empty: as the input tells, or the first
  bool as_json = false;
};

// "2026-01-31", "2026-01-31T12:00:00Z" or "@" and seconds since 1970; nothing for anything else.
[[nodiscard]] std::optional<base::WallTime> parse_time(const std::string& text);

[[nodiscard]] int run(const RunArguments& arguments);
[[nodiscard]] int check(const std::filesystem::path& config);
[[nodiscard]] int chain(const ChainArguments& arguments);
[[nodiscard]] int doctor(const DoctorArguments& arguments);
// 0: nothing is wrong, 1: something is, 2: wrong usage, or the server cannot be connected to.
[[nodiscard]] int probe(const ProbeArguments& arguments);
[[nodiscard]] int policy(const PolicyArguments& arguments);
[[nodiscard]] int explain(const ExplainArguments& arguments);
[[nodiscard]] int schema();
[[nodiscard]] int version();

// Prints each problem to stderr; true if one is an error.
bool report(const std::vector<config::Problem>& problems);

}  // namespace sallyport::cli
