#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

#include "sallyport/obs/access_log.hpp"

#include "catch.hpp"
#include "scratch_dir.hpp"

using namespace sallyport;
using namespace sallyport::obs;
using namespace sallyport::obs::test;
using namespace std::chrono_literals;

namespace {

AccessLogOptions access_log_to(const std::string& path) {
  AccessLogOptions o;
  o.path = path;
  return o;
}

AccessRecord numbered(std::uint64_t id) {
  AccessRecord r;
  r.connection_id = id;
  return r;
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

bool mentions(const std::string& text, std::uint64_t id) {
  return text.find("\"connection\":" + std::to_string(id) + ",") != std::string::npos;
}

}  // namespace

TEST_CASE("what was written is in the file after a flush, from all workers") {
  const ScratchDir dir;
  AccessLog log(access_log_to(dir / "log"));
  AccessRing& one = log.new_ring();
  AccessRing& two = log.new_ring();
  REQUIRE(one.write(numbered(1)));
  REQUIRE(two.write(numbered(2)));
  log.flush();
  const std::string text = contents(dir / "log");
  CHECK(lines(text) == 2);
  CHECK(mentions(text, 1));
  CHECK(mentions(text, 2));
  CHECK(log.dropped_full() == 0);
  CHECK(log.dropped_failed() == 0);
}

TEST_CASE("the file is for its owner and group only, and is appended to") {
  const ScratchDir dir;
  for (int i = 0; i < 2; ++i) {
    AccessLog log(access_log_to(dir / "log"));
    REQUIRE(log.new_ring().write(numbered(static_cast<std::uint64_t>(i))));
  }
  CHECK(lines(contents(dir / "log")) == 2);
  struct stat status {};
  REQUIRE(stat((dir / "log").c_str(), &status) == 0);
  CHECK((status.st_mode & 07) == 0);
}

TEST_CASE("the end drains everything, from workers that wrote at full speed") {
  const ScratchDir dir;
  constexpr std::uint64_t kRecords = 20'000;
  constexpr int kWorkers = 3;
  std::uint64_t dropped = 0;
  {
    AccessLog log(access_log_to(dir / "log"));
    std::vector<std::thread> workers;
    std::atomic<std::uint64_t> refused{0};
    for (int w = 0; w < kWorkers; ++w) {
      workers.emplace_back([&refused, ring = &log.new_ring()] {
        for (std::uint64_t i = 0; i < kRecords; ++i) {
          if (!ring->write(numbered(i))) refused.fetch_add(1);
        }
      });
    }
    for (auto& w : workers) w.join();
    dropped = log.dropped_full();
    CHECK(dropped == refused.load());
  }
  CHECK(lines(contents(dir / "log")) + dropped == kWorkers * kRecords);
}

TEST_CASE("a reopened log goes to the new file, and the old one keeps what it had") {
  const ScratchDir dir;
  AccessLog log(access_log_to(dir / "log"));
  AccessRing& ring = log.new_ring();
  REQUIRE(ring.write(numbered(1)));
  log.flush();
  std::filesystem::rename(dir / "log", dir / "log.1");
  REQUIRE(ring.write(numbered(2)));
  log.reopen();
  log.flush();
  REQUIRE(ring.write(numbered(3)));
  log.flush();
  const std::string before = contents(dir / "log.1");
  const std::string after = contents(dir / "log");
  CHECK(mentions(before, 1));
  CHECK(lines(before) + lines(after) == 3);
  CHECK(mentions(after, 3));
}

TEST_CASE("a reopen that fails leaves the old file in use and says why") {
  const ScratchDir dir;
  std::filesystem::create_directory(dir / "sub");
  std::atomic<int> error{0};
  AccessLogOptions options = access_log_to(dir / "sub/log");
  options.on_error = [&error](int e) { error = e; };
  AccessLog log(options);
  AccessRing& ring = log.new_ring();
  std::filesystem::rename(dir / "sub", dir / "moved");
  log.reopen();
  log.flush();
  CHECK(error == ENOENT);
  REQUIRE(ring.write(numbered(5)));
  log.flush();
  CHECK(mentions(contents(dir / "moved/log"), 5));
}

TEST_CASE("a log whose file cannot be opened is an error at the start") {
  const ScratchDir dir;
  CHECK_THROWS_AS(AccessLog(access_log_to(dir / "no/such/dir")), std::system_error);
  AccessLog log(access_log_to(dir / "log"));
  CHECK_THROWS_AS(log.redirect(dir / "no/such/dir"), std::system_error);
  REQUIRE(log.new_ring().write(numbered(1)));
  log.flush();
  CHECK(lines(contents(dir / "log")) == 1);
}

TEST_CASE("a reload moves the log, turns it off and on again") {
  const ScratchDir dir;
  AccessLog log(access_log_to("off"));
  AccessRing& ring = log.new_ring();
  REQUIRE(ring.write(numbered(1)));
  log.redirect(dir / "a");
  log.flush();
  REQUIRE(ring.write(numbered(2)));
  log.redirect(dir / "b");
  log.flush();
  REQUIRE(ring.write(numbered(3)));
  log.flush();
  log.redirect("off");
  log.flush();
  REQUIRE(ring.write(numbered(4)));
  log.flush();
  CHECK(lines(contents(dir / "a")) == 1);
  CHECK(mentions(contents(dir / "a"), 2));
  CHECK(lines(contents(dir / "b")) == 1);
  CHECK(mentions(contents(dir / "b"), 3));
  CHECK(log.dropped_full() == 0);
}

TEST_CASE("a full disk costs lines, which are counted, and never a request") {
  std::atomic<int> error{0};
  AccessLogOptions options = access_log_to("/dev/full");
  options.on_error = [&error](int e) { error = e; };
  AccessLog log(options);
  AccessRing& ring = log.new_ring();
  for (std::uint64_t i = 0; i < 10; ++i) REQUIRE(ring.write(numbered(i)));
  log.flush();
  CHECK(error == ENOSPC);
  CHECK(log.dropped_failed() == 10);
  REQUIRE(ring.write(numbered(11)));
}

TEST_CASE("a reader that stalls fills the ring, holds up no worker, and the end only so long") {
  const ScratchDir dir;
  const std::string fifo = dir / "fifo";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  const int reader = open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  std::uint64_t written = 0, lost = 0;
  std::string received;
  std::atomic<int> error{0};
  {
    AccessLogOptions options = access_log_to(fifo);
    options.ring_bytes = 256 * 1024;
    options.drain = 1ms;
    options.on_error = [&error](int e) { error = e; };
    AccessLog log(options);
    AccessRing& ring = log.new_ring();
    while (log.dropped_full() == 0) written += ring.write(numbered(written)) ? 1 : 0;
    // Some is in the pipe, the rest in the ring, and nobody reads any more.
    pollfd filled{reader, POLLIN, 0};
    REQUIRE(poll(&filled, 1, -1) == 1);
    lost = log.dropped_full();
  }
  CHECK(error == ECANCELED);
  CHECK(lost >= 1);
  for (std::string some(65536, '\0');;) {
    const ssize_t n = read(reader, some.data(), some.size());
    if (n <= 0) break;
    received.append(some, 0, static_cast<std::size_t>(n));
  }
  close(reader);
  CHECK(mentions(received, 0));
  CHECK(lines(received) < written);
}

TEST_CASE("a named pipe that nobody reads is an error, not a wait") {
  const ScratchDir dir;
  REQUIRE(mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK_THROWS_AS(AccessLog(access_log_to(dir / "fifo")), std::system_error);
}
