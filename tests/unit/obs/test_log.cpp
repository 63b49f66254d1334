#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "sallyport/obs/log.hpp"

#include "catch.hpp"
#include "scratch_dir.hpp"

using namespace sallyport;
using namespace sallyport::obs;
using namespace sallyport::obs::test;
using namespace std::chrono_literals;

namespace {

LogOptions log_to(const std::string& path, LogOptions::Format format = LogOptions::Format::text) {
  LogOptions o;
  o.path = path;
  o.format = format;
  return o;
}

std::string json(const std::vector<Field>& fields) {
  return format_event(LogOptions::Format::json, base::WallTime(1700000000s + 5ms), Level::warn, "it_happened",
                      fields);
}

}  // namespace

TEST_CASE("an event in JSON has its time, level, name and typed fields") {
  const std::string owned = "text";
  CHECK(json({{"s", "x"},
              {"o", owned},
              {"i", -3},
              {"u", std::uint64_t{18446744073709551615U}},
              {"d", 0.25},
              {"b", true},
              {"code", base::ErrorCode::connect_refused},
              {"fault", base::Fault::upstream}}) ==
        R"({"time":"2023-11-14T22:13:20.005000Z","level":"warn","event":"it_happened","s":"x","o":"text",)"
        R"("i":-3,"u":18446744073709551615,"d":0.25,"b":true,"code":"connect_refused","fault":"upstream"})");
}

TEST_CASE("an event in text is one line of name=value") {
  CHECK(format_event(LogOptions::Format::text, base::WallTime(1700000000s), Level::info, "started",
                     {{"workers", 4}, {"path", "/a b"}}) ==
        R"(2023-11-14T22:13:20.000000Z info started workers=4 path="/a b")");
}

TEST_CASE("a value cannot forge an event, in either format") {
  const std::string evil = "a\n{\"level\":\"error\"}\x1b[0m\xff";
  CHECK(json({{"sni", evil}}).find(R"("sni":"a\n{\"level\":\"error\"}\u001b[0m\ufffd"})") !=
        std::string::npos);
  const std::string text = format_event(LogOptions::Format::text, {}, Level::info, "e", {{"sni", evil}});
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("numbers that JSON cannot say are null") {
  CHECK(json({{"d", std::numeric_limits<double>::infinity()}}).ends_with(R"("d":null})"));
}

TEST_CASE("events below the level are not written, and the level can be changed") {
  const ScratchDir dir;
  Log log(log_to(dir / "log"));
  log.debug("hidden");
  log.info("shown");
  CHECK_FALSE(log.enabled(Level::debug));
  log.set_level(Level::debug);
  log.debug("later");
  log.set_level(Level::off);
  log.error("never");
  const std::string text = contents(dir / "log");
  CHECK(text.find("hidden") == std::string::npos);
  CHECK(text.find(" info shown\n") != std::string::npos);
  CHECK(text.find(" debug later\n") != std::string::npos);
  CHECK(text.find("never") == std::string::npos);
}

TEST_CASE("braces in a value are text, not a format") {
  const ScratchDir dir;
  Log log(log_to(dir / "log"));
  log.info("e", {{"v", "{} %n {0}"}});
  CHECK(contents(dir / "log").find(R"(v="{} %n {0}")") != std::string::npos);
}

TEST_CASE("the event log is reopened under its name, and stays when that fails") {
  const ScratchDir dir;
  std::filesystem::create_directory(dir / "sub");
  Log log(log_to(dir / "sub/log"));
  log.info("one");
  std::filesystem::rename(dir / "sub/log", dir / "sub/log.1");
  CHECK(log.reopen());
  log.info("two");
  CHECK(contents(dir / "sub/log.1").find("two") == std::string::npos);
  CHECK(contents(dir / "sub/log").find("two") != std::string::npos);
  std::filesystem::rename(dir / "sub/log", dir / "sub/log.2");
  std::filesystem::create_directory(dir / "sub/log");  // no file can be opened there
  CHECK_FALSE(log.reopen());
  log.info("three");
  CHECK(contents(dir / "sub/log.2").find("three") != std::string::npos);
}

TEST_CASE("an event log that cannot be opened is an error at the start") {
  const ScratchDir dir;
  std::filesystem::create_directory(dir / "d");
  CHECK_THROWS_AS(Log(log_to(dir / "d")), std::system_error);
}

TEST_CASE("lines of many threads do not mix") {
  const ScratchDir dir;
  Log log(log_to(dir / "log"));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log] {
      for (int i = 0; i < 200; ++i) log.info("tick", {{"payload", std::string(100, 'p')}});
    });
  }
  for (auto& t : threads) t.join();
  std::istringstream in(contents(dir / "log"));
  int n = 0;
  for (std::string line; std::getline(in, line); ++n) {
    REQUIRE(line.find(" info tick payload=\"") != std::string::npos);
    REQUIRE(line.size() == 27 + 20 + 100 + 1);
  }
  CHECK(n == 800);
}

TEST_CASE("a rate limit lets a burst through, then one an interval, and says what it held back") {
  RateLimit limit(3, 1s);
  const base::Instant start(1000s);
  for (int i = 0; i < 3; ++i) CHECK(limit.admit(start).pass);
  CHECK_FALSE(limit.admit(start).pass);
  CHECK_FALSE(limit.admit(start + 999ms).pass);
  const auto next = limit.admit(start + 1s);
  CHECK(next.pass);
  CHECK(next.held_back == 2);
  CHECK_FALSE(limit.admit(start + 1s).pass);
  CHECK(limit.admit(start + 2s).held_back == 1);
}

TEST_CASE("a rate limit that rested has its burst again, and no more") {
  RateLimit limit(2, 1s);
  base::Instant now(1000s);
  for (int i = 0; i < 2; ++i) CHECK(limit.admit(now).pass);
  now += 1h;
  for (int i = 0; i < 2; ++i) CHECK(limit.admit(now).pass);
  CHECK_FALSE(limit.admit(now).pass);
}

TEST_CASE("an event that passes after others were held back tells how many") {
  const ScratchDir dir;
  Log log(log_to(dir / "log", LogOptions::Format::json));
  RateLimit limit(1, 1s);
  const base::Instant now(1000s);
  for (int i = 0; i < 5; ++i) log.event(limit, now, Level::warn, "handshake_failed", {{"reason", "timeout"}});
  log.event(limit, now + 1s, Level::warn, "handshake_failed", {{"reason", "timeout"}});
  const std::string text = contents(dir / "log");
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK(text.find(R"("reason":"timeout","held_back":4})") != std::string::npos);
}
