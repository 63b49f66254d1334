// The command line's exit codes: 0 done, 1 failed, 2 wrong usage.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sallyport/cli/cli.hpp"

#include "catch.hpp"
#include "commands.hpp"

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

TEST_CASE("chain tells wrong usage from files that cannot be read") {
  CHECK(call({"chain"}) == 2);
  CHECK(call({"chain", "x.pem", "--at", "soon"}) == 2);
  CHECK(call({"chain", "/nowhere/x.pem"}) == 1);
  CHECK(call({"chain", "--help"}) == 0);
}

TEST_CASE("a time is a date, a time of UTC or seconds") {
  using sallyport::cli::parse_time;
  const auto seconds = [](const std::string& text) {
    const auto time = parse_time(text);
    return time ? sallyport::base::WallClock::to_time_t(*time) : -1;
  };
  CHECK(seconds("2027-01-31") == 1801353600);
  CHECK(seconds("2027-01-31T12:00:01Z") == 1801353600 + 43201);
  CHECK(seconds("@0") == 0);
  CHECK(seconds("@1801353600") == 1801353600);
  for (const char* bad : {"", "@", "@-1", "@1x", "@253402300800", "@99999999999999999999", "2027-13-01",
                          "2027-02-31", "2027-01-31 12:00", "2027-01-31T12:00:01", "2027-01-31x", "now"}) {
    INFO(bad);
    CHECK_FALSE(parse_time(bad).has_value());
  }
}
