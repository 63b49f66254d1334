// The command line's exit codes: 0 done, 1 failed, 2 wrong usage.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sallyport/cli/cli.hpp"

#include "catch.hpp"

namespace {

int call(std::vector<std::string> words) {
  words.insert(words.begin(), "sallyport");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return sallyport::cli::main(static_cast<int>(argv.size()), argv.data());
}

}  // namespace

TEST_CASE("a command is needed, and known options only") {
  CHECK(call({}) == 2);
  CHECK(call({"serve"}) == 2);
  CHECK(call({"check"}) == 2);
  CHECK(call({"check", "-c", "x", "--force"}) == 2);
  CHECK(call({"--help"}) == 0);
  CHECK(call({"version"}) == 0);
  CHECK(call({"schema"}) == 0);
}

TEST_CASE("check fails on a file that is not there, and on one that is wrong") {
  const auto file = std::filesystem::temp_directory_path() / "sallyport-cli-test.yaml";
  std::filesystem::remove(file);
  CHECK(call({"check", "-c", file.string()}) == 1);
  std::ofstream(file) << "version: 1\nlistners: []\n";
  CHECK(call({"check", "-c", file.string()}) == 1);
  std::ofstream(file)
      << "version: 1\nlisteners:\n  - { name: http, protocol: http, address: '127.0.0.1:0' }\n"
         "hosts:\n  - names: [a.example]\n    routes:\n      - reply: { status: 200, body: hi }\n";
  CHECK(call({"check", "-c", file.string()}) == 0);
  std::filesystem::remove(file);
}
