#include "sallyport/net/notify.hpp"

#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "catch.hpp"
#include "loopback.hpp"

namespace {

using namespace sallyport;
using net::ServiceNotifier;
using net::test::Descriptor;

// The service manager's end, at an address in sd_notify's notation.
struct Manager {
  explicit Manager(const std::string& address) : socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    address.copy(at.sun_path, sizeof(at.sun_path) - 1);
    const bool abstract = address[0] == '@';
    if (abstract) at.sun_path[0] = '\0';
    const auto size =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size() + (abstract ? 0 : 1));
    bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), size) == 0;
  }
  std::string next() const {
    std::string text(4096, '\0');
    const ssize_t n = ::recv(socket.get(), text.data(), text.size(), MSG_DONTWAIT);
    text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return text;
  }
  Descriptor socket;
  bool bound = false;
};

struct Environment {
  Environment(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Environment() { ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

struct Directory {
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "sallyport-notify-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("the service manager is told each state in its own words") {
  const Directory directory;
  const std::string address = GENERATE(true, false) ? (directory.path / "notify").string()
                                                    : "@sallyport-notify-test-" + std::to_string(::getpid());
  const Manager manager(address);
  REQUIRE(manager.bound);
  const ServiceNotifier notifier(address);
  CHECK(notifier.ready());
  CHECK(manager.next() == "READY=1");
  CHECK(notifier.stopping());
  CHECK(manager.next() == "STOPPING=1");
  CHECK(notifier.status("serving 3 hosts\nREADY=1"));
  CHECK(manager.next() == "STATUS=serving 3 hosts READY=1");
  CHECK(notifier.watchdog());
  CHECK(manager.next() == "WATCHDOG=1");

  timespec before{};
  ::clock_gettime(CLOCK_MONOTONIC, &before);
  CHECK(notifier.reloading());
  const std::string message = manager.next();
  const std::string start = "RELOADING=1\nMONOTONIC_USEC=";
  REQUIRE(message.substr(0, start.size()) == start);
  const long long micros = std::stoll(message.substr(start.size()));
  const long long from = before.tv_sec * 1'000'000LL + before.tv_nsec / 1000;
  CHECK(micros >= from);
  CHECK(micros < from + 60'000'000LL);
}

TEST_CASE("without a manager nothing is sent and nothing fails loudly") {
  ::unsetenv("NOTIFY_SOCKET");
  CHECK_FALSE(ServiceNotifier::from_environment().enabled());
  CHECK_FALSE(ServiceNotifier::from_environment().ready());
  for (const std::string& bad : {std::string(), std::string("relative"), std::string("/"),
                                 std::string("vsock:2:1"), '/' + std::string(200, 'x')}) {
    CHECK_FALSE(ServiceNotifier(bad).enabled());
  }
  const Directory directory;
  CHECK_FALSE(ServiceNotifier((directory.path / "nobody").string()).ready());
}

TEST_CASE("the environment names the socket and the watchdog's interval, if it is meant for us") {
  const std::string address = "@sallyport-notify-env-" + std::to_string(::getpid());
  const Manager manager(address);
  REQUIRE(manager.bound);
  const Environment socket("NOTIFY_SOCKET", address);
  CHECK(ServiceNotifier::from_environment().ready());
  CHECK(manager.next() == "READY=1");
  CHECK_FALSE(ServiceNotifier::from_environment().watchdog_interval());

  const Environment interval("WATCHDOG_USEC", "30000000");
  CHECK(ServiceNotifier::from_environment().watchdog_interval() == std::chrono::microseconds(30'000'000));
  {
    const Environment ours("WATCHDOG_PID", std::to_string(::getpid()));
    CHECK(ServiceNotifier::from_environment().watchdog_interval());
  }
  const Environment other("WATCHDOG_PID", "1");
  CHECK_FALSE(ServiceNotifier::from_environment().watchdog_interval());
}
