// The commands, as main() calls them once the arguments are read. Each returns the exit code.
#pragma once

#include <filesystem>
#include <vector>

#include "sallyport/config/load.hpp"

namespace sallyport::cli {

inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

struct RunArguments {
  std::filesystem::path config;
  std::filesystem::path ports_file;  // where to write which ports were bound; empty: nowhere
};

[[nodiscard]] int run(const RunArguments& arguments);
[[nodiscard]] int check(const std::filesystem::path& config);
[[nodiscard]] int schema();
[[nodiscard]] int version();

// Prints each problem to stderr; true if one is an error.
bool report(const std::vector<config::Problem>& problems);

}  // namespace sallyport::cli
