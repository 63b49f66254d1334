#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "sallyport/admin/server.hpp"

#include "catch.hpp"
#include "client.hpp"

using namespace sallyport;
using namespace sallyport::admin;
using namespace sallyport::admin::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* kAny = "127.0.0.1:0";

struct Gateway {
  std::atomic<bool> ready{true};
  [[nodiscard]] Sources sources() {
    Sources s;
    s.metrics = [] { return std::string("x_total 1\n"); };
    s.ready = [this] { return ready.load(); };
    s.status_json = [] { return std::string("{}\n"); };
    return s;
  }
};

bool is(const std::string& response, int status) {
  return response.starts_with("HTTP/1.1 " + std::to_string(status) + " ");
}

std::string body(const std::string& response) {
  const std::size_t at = response.find("\r\n\r\n");
  return at == std::string::npos ? "" : response.substr(at + 4);
}

class SocketDir {
 public:
  SocketDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sallyport-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = pattern;
  }
  SocketDir(const SocketDir&) = delete;
  SocketDir& operator=(const SocketDir&) = delete;
  ~SocketDir() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string socket() const { return path_ + "/admin.sock"; }

 private:
  std::string path_;
};

int error_of(const std::string& address) {
  Gateway gateway;
  try {
    const Server server(address, gateway.sources());
  } catch (const std::system_error& e) {
    return e.code().value();
  }
  return 0;
}

}  // namespace

TEST_CASE("each endpoint answers with its type and content") {
  Gateway gateway;
  const Server server(kAny, gateway.sources());
  const std::string metrics = get(server.address(), "/metrics");
  CHECK(is(metrics, 200));
  CHECK(metrics.find("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n") != std::string::npos);
  CHECK(body(metrics) == "x_total 1\n");
  const std::string status = get(server.address(), "/status?pretty");
  CHECK(is(status, 200));
  CHECK(status.find("Content-Type: application/json\r\n") != std::string::npos);
  CHECK(body(status) == "{}\n");
  CHECK(is(get(server.address(), "/healthz"), 200));
}

TEST_CASE("readiness turns to 503 when the gateway drains, health does not") {
  Gateway gateway;
  const Server server(kAny, gateway.sources());
  CHECK(is(get(server.address(), "/readyz"), 200));
  gateway.ready = false;
  CHECK(is(get(server.address(), "/readyz"), 503));
  CHECK(is(get(server.address(), "/healthz"), 200));
}

TEST_CASE("other paths are 404 and other methods 405") {
  Gateway gateway;
  const Server server(kAny, gateway.sources());
  CHECK(is(get(server.address(), "/"), 404));
  CHECK(is(get(server.address(), "/metrics/"), 404));
  CHECK(is(get(server.address(), "/../metrics"), 404));
  const std::string post = get(server.address(), "/metrics", "POST");
  CHECK(is(post, 405));
  CHECK(post.find("Allow: GET, HEAD\r\n") != std::string::npos);
  CHECK(is(get(server.address(), "/metrics", "DELETE"), 405));
}

TEST_CASE("HEAD says the length and sends no body") {
  Gateway gateway;
  const Server server(kAny, gateway.sources());
  Client client(server.address());
  client.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string head = client.response(false);
  CHECK(is(head, 200));
  CHECK(head.find("Content-Length: 10\r\n") != std::string::npos);
  // The connection is still in step: no body bytes stand before the next response.
  client.send("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  CHECK(client.rest().starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a connection is kept alive, also for pipelined requests, and in any segmentation") {
  Gateway gateway;
  const Server server(kAny, gateway.sources());
  Client client(server.address());
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  client.send(request + request);
  CHECK(is(client.response(), 200));
  CHECK(is(client.response(), 200));
  for (const char c : request) client.send(std::string_view(&c, 1));
  CHECK(body(client.response()) == "x_total 1\n");
}

TEST_CASE("a source that throws is a 500, and the next request is served") {
  Gateway gateway;
  Sources sources = gateway.sources();
  sources.status_json = []() -> std::string { throw std::runtime_error("x"); };
  const Server server(kAny, sources);
  CHECK(is(get(server.address(), "/status"), 500));
  CHECK(is(get(server.address(), "/healthz"), 200));
}

TEST_CASE("a head over the limit is 431, and its end is not waited for") {
  Gateway gateway;
  const Server server(kAny, gateway.sources());
  Client client(server.address());
  client.send("GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + std::string(9000, 'x'));
  CHECK(is(client.response(), 431));
}

TEST_CASE("a body is refused, and so is what is not HTTP") {
  Gateway gateway;
  const Server server(kAny, gateway.sources());
  Client body_sender(server.address());
  body_sender.send("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  CHECK(is(body_sender.rest(), 413));
  Client chunked(server.address());
  chunked.send("GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(is(chunked.rest(), 413));
  Client noise(server.address());
  noise.send("\x16\x03\x01 hello\r\n\r\n");
  CHECK(is(noise.rest(), 400));
}

TEST_CASE("a client that sends nothing, or half a head, is closed at the deadline") {
  Gateway gateway;
  Limits limits;
  limits.deadline = 30ms;
  const Server server(kAny, gateway.sources(), limits);
  Client silent(server.address());
  CHECK(silent.rest().empty());
  Client slow(server.address());
  slow.send("GET /metrics HTTP/1.1\r\nHo");
  CHECK(slow.rest().empty());
}

TEST_CASE("a client that does not read its response is closed at the deadline") {
  Gateway gateway;
  Limits limits;
  limits.deadline = 30ms;
  limits.connections = 1;
  Sources sources = gateway.sources();
  sources.metrics = [] { return std::string(32 * 1024 * 1024, 'm'); };  // more than any socket buffer takes
  const Server server(kAny, sources, limits);
  Client stuck(server.address());
  stuck.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  // Its place, the only one, becomes free without its help.
  while (!is(get(server.address(), "/healthz"), 200)) std::this_thread::yield();
  CHECK(stuck.rest().size() < 32U * 1024 * 1024);
}

TEST_CASE("connections over the cap are closed at once, and the others served") {
  Gateway gateway;
  Limits limits;
  limits.connections = 2;
  const Server server(kAny, gateway.sources(), limits);
  const std::string request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
  Client one(server.address());
  one.send(request);
  CHECK(is(one.response(), 200));
  Client two(server.address());
  two.send(request);
  CHECK(is(two.response(), 200));
  Client three(server.address());
  CHECK(three.rest().empty());
  one.send(request);
  CHECK(is(one.response(), 200));
}

TEST_CASE("many clients at once are all answered") {
  Gateway gateway;
  const Server server(kAny, gateway.sources());
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) good += is(get(server.address(), "/metrics"), 200) ? 1 : 0;
    });
  }
  for (auto& t : threads) t.join();
  CHECK(good == 160);
}

TEST_CASE("the server can end while clients are connected") {
  Gateway gateway;
  auto server = std::make_unique<Server>(kAny, gateway.sources());
  Client idle(server->address());
  Client half(server->address());
  half.send("GET /met");
  idle.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(is(idle.response(), 200));
  server.reset();
  CHECK(idle.rest().empty());
}

TEST_CASE("only loopback is listened on") {
  CHECK(error_of("0.0.0.0:0") == EACCES);
  CHECK(error_of("[::]:0") == EACCES);
  CHECK(error_of("192.0.2.1:0") == EACCES);
  CHECK(error_of("nonsense") == EINVAL);
  CHECK(error_of("127.0.0.1") == EINVAL);
}

TEST_CASE("a port in use is an error") {
  Gateway gateway;
  const Server server(kAny, gateway.sources());
  CHECK(error_of(server.address()) == EADDRINUSE);
}

TEST_CASE("a unix socket is served, is not for everybody, and is removed at the end") {
  const SocketDir dir;
  Gateway gateway;
  {
    const Server server("unix:" + dir.socket(), gateway.sources());
    CHECK(server.address() == "unix:" + dir.socket());
    CHECK(is(get(server.address(), "/readyz"), 200));
    struct stat status {};
    REQUIRE(lstat(dir.socket().c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0660);
  }
  CHECK_FALSE(std::filesystem::exists(dir.socket()));
}

TEST_CASE("a unix socket that nobody listens on is replaced, one in use or another file is not") {
  const SocketDir dir;
  Gateway gateway;
  const std::string address = "unix:" + dir.socket();
  SECTION("left over") {
    const int left = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    dir.socket().copy(name.sun_path, sizeof name.sun_path - 1);
    REQUIRE(bind(left, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    close(left);
    const Server server(address, gateway.sources());
    CHECK(is(get(address, "/healthz"), 200));
  }
  SECTION("in use") {
    const Server server(address, gateway.sources());
    CHECK(error_of(address) == EADDRINUSE);
    CHECK(is(get(address, "/healthz"), 200));
  }
  SECTION("a file") {
    std::ofstream(dir.socket()) << "mine";
    CHECK(error_of(address) == EADDRINUSE);
    CHECK(std::filesystem::file_size(dir.socket()) == 4);
  }
  SECTION("taken over by a successor") {
    auto server = std::make_unique<Server>(address, gateway.sources());
    std::filesystem::remove(dir.socket());
    const Server successor(address, gateway.sources());
    server.reset();
    CHECK(is(get(address, "/healthz"), 200));
  }
}

TEST_CASE("a unix path that is too long or missing is an error") {
  CHECK(error_of("unix:/" + std::string(200, 'x')) == ENAMETOOLONG);
  CHECK(error_of("unix:") != 0);
  CHECK(error_of("unix:/no/such/dir/sock") == ENOENT);
}

TEST_CASE("the status document says what runs and how the last reload went") {
  Status status;
  status.version = "0.1.0";
  status.started = base::WallTime(100s);
  status.generation = 3;
  status.workers = 2;
  status.ready = true;
  status.last_reload = {false, "line 3: \"bad\"", base::WallTime(150s)};
  status.listeners = {{"https", "https", {"[::]:8443"}}};
  status.health.minute_began = base::WallTime(120s);
  status.health.all.last = {40, 65, 90, 100};
  status.health.hosts = {{"a.test", {{40, 65, 90, 100}, {}}}};
  const boost::json::value v = boost::json::parse(status_json(status, base::WallTime(160s + 500ms)));
  CHECK(v.at("version").as_string() == "0.1.0");
  CHECK(v.at("uptime_seconds").as_double() == 60.5);
  CHECK(v.at("ready").as_bool());
  CHECK_FALSE(v.at("draining").as_bool());
  CHECK(v.at("generation").to_number<int>() == 3);
  CHECK(v.at("workers").to_number<int>() == 2);
  CHECK_FALSE(v.at("last_reload").at("successful").as_bool());
  CHECK(v.at("last_reload").at("message").as_string() == "line 3: \"bad\"");
  CHECK(v.at("last_reload").at("timestamp_seconds").as_double() == 150);
  CHECK(v.at("listeners").as_array().size() == 1);
  CHECK(v.at("listeners").at(0).at("name").as_string() == "https");
  CHECK(v.at("listeners").at(0).at("addresses").at(0).as_string() == "[::]:8443");
  const boost::json::value& health = v.at("tls_health");
  CHECK(health.at("minute_began_timestamp_seconds").as_double() == 120);
  CHECK(boost::json::serialize(health.at("last_minute")) ==
        R"({"handshakes":40,"p5":65,"p50":90,"p95":100})");
  CHECK(boost::json::serialize(health.at("this_minute")) == R"({"handshakes":0})");
  CHECK(health.at("hosts").at("a.test").at("last_minute").at("p5").to_number<int>() == 65);
}
