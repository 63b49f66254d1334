// Text → model and problems: what is wrong is told with its place and with what to write.
#include "sallyport/config/load.hpp"

#include <string>
#include <vector>

#include "catch.hpp"
#include "loading.hpp"

using namespace sallyport;
using namespace sallyport::config;
using namespace config_test;

namespace {

// A file in which nothing is wrong, to which each test adds its part.
const std::string kBase =
    "version: 1\n"
    "listeners:\n"
    "  - { name: l, protocol: http, address: \"127.0.0.1:0\" }\n";

struct Case {
  std::string text;                   // behind kBase, whose last line is the third
  std::vector<std::string> problems;  // without "f:", whole
};

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.text);
    const std::vector<std::string> found = problems_of(kBase + c.text);
    INFO(joined(found));
    REQUIRE(found.size() == c.problems.size());
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == "f:" + c.problems[i]);
  }
}

}  // namespace

TEST_CASE("the smallest file loads, and everything else is the default") {
  const Model model = model_of(kBase);
  CHECK(model.workers == 0);
  CHECK(model.timeouts == ClientTimeouts{});
  CHECK(model.limits == ClientLimits{});
  CHECK(model.process_limits == ProcessLimits{});
  CHECK(model.drain == 30s);
  CHECK_FALSE(model.admin);
  CHECK(model.access_log == AccessLog{});
  CHECK(model.log == Log{});
  CHECK(model.metrics == Metrics{});
  CHECK(model.tls.unknown_sni.reject());
  CHECK(model.tls.missing_sni.reject());
  REQUIRE(model.tls.policies.size() == 1);
  TlsPolicy policy;
  policy.name = "default";
  CHECK(model.tls.policies[0] == policy);
  REQUIRE(model.listeners.size() == 1);
  Listener listener;
  listener.name = "l";
  listener.protocol = ListenerProtocol::http;
  listener.address = {"127.0.0.1", 0, false};
  CHECK(model.listeners[0] == listener);
}

TEST_CASE("unknown keys are errors, with the key that was meant when one is near") {
  check({
      {"listner: []\n", {"4:1: error: unknown key \"listner\": did you mean \"listeners\"?"}},
      {"timeouts: { idel: 10s }\n", {"4:13: error: unknown key \"idel\": did you mean \"idle\"?"}},
      {"tls: { unknown-sni: reject }\n",
       {"4:8: error: unknown key \"unknown-sni\": did you mean \"unknown_sni\"?"}},
      {"xyzzy: 1\n", {"4:1: error: unknown key \"xyzzy\""}},
      {"<<: { a: b }\n", {"4:1: error: unknown key \"<<\""}},
      {"[a]: b\n", {"4:1: error: a key is a single word"}},
      {"upstreams:\n  web:\n    endpoints: [a:1]\n    pool:\n      max_idel: 3\n",
       {"8:7: error: unknown key \"max_idel\": did you mean \"max_idle\"?"}},
  });
}

TEST_CASE("duplicate keys and names are errors that tell where the first one stands") {
  check({
      {"workers: 1\nworkers: 2\n", {"5:1: error: duplicate key \"workers\": it stands in line 4 already"}},
      {"upstreams:\n  a: { endpoints: [h:1] }\n  a: { endpoints: [h:2] }\n",
       {"6:3: error: duplicate name \"a\": it stands in line 5 already"}},
      {"hosts:\n  - names: [a]\n    routes: [{ reply: { headers: { x: 1, X: 2 } } }]\n",
       {"6:42: error: duplicate header \"x\" (names have no case)"}},
      {"hosts:\n  - names: [a]\n    routes: [{ match: { query: { q: 1, q: 2 } }, reply: {} }]\n",
       {"6:40: error: duplicate name \"q\""}},
  });
}

TEST_CASE("wrong types and values are errors that say what to write") {
  check({
      {"timeouts: [1]\n", {"4:11: error: expected a mapping, found a list"}},
      {"timeouts:\n", {"4:1: error: the key \"timeouts\" has no value"}},
      {"hosts: { a: b }\n", {"4:8: error: expected a list, as in [a, b], found a mapping"}},
      {"workers: \"2\"\n", {"4:10: error: expected a whole number, found text: write it without quotes"}},
      {"workers: 0\n", {"4:10: error: \"0\" is out of range: at least 1"}},
      {"workers: 2000\n", {"4:10: error: \"2000\" is out of range: at most 1024"}},
      {"workers: -1\n", {"4:10: error: \"-1\" is not a whole number"}},
      {"workers: 99999999999999999999999\n",
       {"4:10: error: \"99999999999999999999999\" is out of range: at most 1024"}},
      {"tls: { tickets: yes }\n", {"4:17: error: expected true or false, found \"yes\""}},
      {"tls: { tickets: \"true\" }\n", {"4:17: error: expected true or false, found \"true\""}},
      {"log: { level: inof }\n",
       {"4:15: error: expected debug, info, warn or error, found \"inof\": did you mean \"info\"?"}},
      {"log: { path: sdtout }\n",
       {"4:14: error: \"sdtout\" is none of stdout, stderr, off: did you mean \"stdout\"? A file in the "
        "config's "
        "folder is written ./sdtout"}},
      {"metrics: { buckets: { request: [1, 1] } }\n",
       {"4:32: error: expected 1 to 64 positive numbers in ascending order"}},
      {"metrics: { buckets: { request: [nan] } }\n",
       {"4:32: error: expected 1 to 64 positive numbers in ascending order",
        "4:33: error: \"nan\" is not a number"}},
      {"upstreams: { a: { endpoints: [h:1], retries: { budget: 120% } } }\n",
       {"4:56: error: \"120%\" is not a share such as 20%"}},
      {"access_log: { path: !file x }\n", {"4:21: error: tags are not supported (!file)"}},
  });
}

TEST_CASE("durations need a unit and a sane length") {
  check({
      {"timeouts: { idle: 10 }\n",
       {"4:19: error: \"10\" has no unit: write a duration such as 500ms, 10s, 5m, 1h or 7d"}},
      {"timeouts: { idle: 10sec }\n",
       {"4:19: error: \"10sec\" has an unknown unit: write a duration such as 500ms, 10s, 5m, 1h or 7d"}},
      {"timeouts: { idle: ten }\n",
       {"4:19: error: \"ten\" is not a duration such as 500ms, 10s, 5m, 1h or 7d"}},
      {"timeouts: { idle: -1s }\n",
       {"4:19: error: \"-1s\" is not a duration such as 500ms, 10s, 5m, 1h or 7d"}},
      {"timeouts: { idle: 0s }\n", {"4:19: error: \"0s\" is out of range: at least 1ms"}},
      {"timeouts: { idle: 99999999999999999999s }\n",
       {"4:19: error: \"99999999999999999999s\" is too large"}},
      {"timeouts: { idle: 367d }\n", {"4:19: error: \"367d\" is too large"}},
  });
  const Model model = model_of(kBase +
                               "timeouts: { handshake: 500ms, request_head: 2s, request_body: 3m, idle: 4h, "
                               "send: 1d, drain: 0s }\n");
  CHECK(model.timeouts == ClientTimeouts{500ms, 2s, 3min, 4h, 24h});
  CHECK(model.drain == 0ms);
}

TEST_CASE("sizes need a unit that says powers of 1024") {
  check({
      {"limits: { request_body: 100 }\n",
       {"4:25: error: \"100\" has no unit: write a size such as 512B, 64KiB, 100MiB or 1GiB"}},
      {"limits: { request_body: 100MB }\n",
       {"4:25: error: \"100MB\" has an unknown unit: write a size such as 512B, 64KiB, 100MiB or 1GiB"}},
      {"limits: { request_body: 99999999999GiB }\n", {"4:25: error: \"99999999999GiB\" is too large"}},
      {"limits: { h2: { stream_window: 1KiB } }\n",
       {"4:32: error: \"1KiB\" is out of range: at least 65535 bytes"}},
      {"limits: { h2: { stream_window: 2GiB } }\n",
       {"4:32: error: \"2GiB\" is out of range: at most 2147483647 bytes"}},
  });
  const Model model = model_of(kBase + "limits: { url: 512B, header_bytes: 2KiB, request_body: 1GiB }\n");
  CHECK(model.limits.url == 512);
  CHECK(model.limits.header_bytes == 2048);
  CHECK(model.limits.request_body == std::size_t{1} << 30);
  CHECK(model_of(kBase + "limits: { request_body: 0 }\n").limits.request_body == 0);
}

TEST_CASE("all problems are told at once, in the file's order") {
  check({{"workers: x\ntimeouts: { idle: 1 }\nupstreams: { a: {} }\nlog: { levl: info }\n",
          {"4:10: error: \"x\" is not a whole number",
           "5:19: error: \"1\" has no unit: write a duration such as 500ms, 10s, 5m, 1h or 7d",
           "6:17: error: the key \"endpoints\" is missing",
           "7:8: error: unknown key \"levl\": did you mean \"level\"?"}}});
  CHECK(problems_of("workers: 1\n") ==
        std::vector<std::string>{"f:1:1: error: the key \"version\" is missing",
                                 "f:1:1: error: the key \"listeners\" is missing"});
  CHECK(problems_of("version: 2\nlisteners: []\n") ==
        std::vector<std::string>{"f:1:10: error: this build reads version: 1, found \"2\"",
                                 "f:2:12: error: an empty list: nothing would be listened on"});
}

TEST_CASE("a flood of problems is cut short and counted") {
  std::string text = kBase + "upstreams:\n";
  for (int i = 0; i < 1500; ++i) text += "  u" + std::to_string(i) + ": { nonsense: 1, endpoints: [a:1] }\n";
  const auto problems = problems_of(text);
  REQUIRE(problems.size() == 1001);
  CHECK(problems.back().find("and 500 problems more") != std::string::npos);
}

TEST_CASE("what is no YAML is told with its place") {
  CHECK(problems_of("") == std::vector<std::string>{"f:1:1: error: the file is empty"});
  CHECK(problems_of("# nothing\n") == std::vector<std::string>{"f:1:1: error: the file is empty"});
  CHECK(problems_of("just text") ==
        std::vector<std::string>{"f:1:1: error: expected a mapping, found a single value"});
  CHECK(problems_of(kBase + "---\nversion: 1\n") ==
        std::vector<std::string>{"f:4:1: error: a second document: the file holds one"});
  for (const char* text : {"a: [1, 2", "a: 'x", "a:\n\t- b", "a: *none", "{a", "\"", "%YAML x\n---\n"}) {
    INFO(text);
    const auto problems = problems_of(text);
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].find(": error: ") != std::string::npos);
  }
}

TEST_CASE("alias bombs, cycles and deep nesting end in an error, not in the machine's memory") {
  SECTION("an alias to what it stands in") {
    CHECK(problems_of("a: &x [*x]\n") ==
          std::vector<std::string>{"f:1:8: error: an alias to what it stands in"});
  }
  SECTION("aliases multiply") {
    std::string text = kBase + "x0: &r [{ reply: {} }]\n";
    text =
        "version: 1\nlisteners:\n  - name: l\n    protocol: http\n    address: \"127.0.0.1:0\"\n    routes: "
        "&r\n";
    for (int i = 0; i < 3000; ++i) text += "      - { reply: {} }\n";
    text += "hosts:\n  - &h { names: [a], routes: *r }\n";
    for (int i = 0; i < 3000; ++i) text += "  - *h\n";
    const auto problems = problems_of(text);
    REQUIRE_FALSE(problems.empty());
    CHECK(problems.back().find("with its aliases written out, holds too many values") != std::string::npos);
  }
  SECTION("nested deeply") {
    for (const std::size_t depth : {100U, 1000U, 100'000U}) {
      const auto problems = problems_of("a: " + std::string(depth, '['));
      REQUIRE(problems.size() == 1);
    }
  }
  SECTION("too many values") {
    std::string text = "a: [";
    for (int i = 0; i < 1'100'000; ++i) text += "1,";
    const auto problems = problems_of(text + "]");
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].find("too many values") != std::string::npos);
  }
  SECTION("too large") {
    const auto problems = problems_of(std::string(kMaxFileBytes + 1, '#'));
    CHECK(problems == std::vector<std::string>{"f: error: is larger than 16MiB"});
  }
}

TEST_CASE("an alias is read like what it stands for") {
  const Model model = model_of(kBase +
                               "hosts:\n"
                               "  - { names: [a], routes: &r [{ reply: { status: 204 } }] }\n"
                               "  - { names: [b], routes: *r }\n");
  REQUIRE(model.hosts.size() == 2);
  CHECK(model.hosts[1].routes == model.hosts[0].routes);
}

TEST_CASE("a file that cannot be read says why") {
  const auto text = [](const char* file) {
    const Loaded loaded = load(file);
    REQUIRE(loaded.problems.size() == 1);
    return to_string(loaded.problems[0]);
  };
  CHECK(text("/nonexistent/x.yaml") ==
        "/nonexistent/x.yaml: error: cannot be opened: No such file or directory");
  CHECK(text("/") == "/: error: is a directory");
}

TEST_CASE("listener addresses") {
  const auto address = [](const std::string& text) {
    return load_text("version: 1\nlisteners:\n  - { name: l, address: " + text + " }\n", "f");
  };
  CHECK(address("\"[::]:443\"").model.listeners[0].address == ListenAddress{"::", 443, true});
  CHECK(address("0.0.0.0:80").model.listeners[0].address == ListenAddress{"0.0.0.0", 80, false});
  CHECK(address("\"[::1]:0\"").model.listeners[0].address == ListenAddress{"::1", 0, true});
  CHECK(to_string(address("\"[::1]:8\"").model.listeners[0].address) == "[::1]:8");
  for (const char* bad : {"443", "\":443\"", "localhost:443", "\"::1:443\"", "1.2.3:80", "1.2.3.4:65536",
                          "1.2.3.4:x", "\"[1.2.3.4]:80\"", "\"[::]443\"", "\"[::]:\"", "''"}) {
    INFO(bad);
    const Loaded loaded = address(bad);
    REQUIRE(loaded.problems.size() == 1);
    CHECK(loaded.problems[0].origin.line == 3);
    CHECK(loaded.problems[0].origin.column == 25);
  }
}

TEST_CASE("the admin listener is refused where the outside could reach it") {
  CHECK(model_of(kBase + "admin: { address: 127.0.0.1:9901 }\n").admin->address.port == 9901);
  CHECK(model_of(kBase + "admin: { address: \"[::1]:9901\" }\n").admin->address.v6);
  CHECK(model_of(kBase + "admin: { address: unix:/run/a.sock }\n").admin->unix_path == "/run/a.sock");
  CHECK(model_of(kBase + "admin: { address: unix:a.sock }\n", "/etc/s/f").admin->unix_path ==
        "/etc/s/a.sock");
  for (const char* bad : {"0.0.0.0:9901", "\"[::]:9901\"", "10.0.0.1:9901", "\"unix:\"", "localhost:1",
                          "\"[::ffff:10.0.0.1]:1\""}) {
    INFO(bad);
    CHECK(problems_of(kBase + "admin: { address: " + bad + " }\n").size() == 1);
  }
}

TEST_CASE("a listener's timeouts and limits lie over the global ones, wherever those stand") {
  const Model model = model_of(
      "version: 1\n"
      "listeners:\n"
      "  - name: a\n"
      "    address: \"[::]:1\"\n"
      "    timeouts: { idle: 7s }\n"
      "    limits: { url: 1KiB, h2: { streams: 7 } }\n"
      "  - { name: b, address: \"[::]:2\" }\n"
      "timeouts: { idle: 5s, send: 6s }\n"
      "limits: { url: 2KiB, header_count: 50, h2: { continuations: 9, provoked_resets: { burst: 3 } } }\n");
  const Listener& a = model.listeners[0];
  CHECK(a.timeouts.idle == 7s);
  CHECK(a.timeouts.send == 6s);
  CHECK(a.limits.url == 1024);
  CHECK(a.limits.header_count == 50);
  CHECK(a.limits.h2.streams == 7);
  CHECK(a.limits.h2.continuations == 9);
  CHECK(a.limits.h2.provoked_resets.burst == 3);
  CHECK(a.limits.h2.unknown_frames == H2Limits{}.unknown_frames);
  CHECK(model.listeners[1].timeouts == model.timeouts);
  CHECK(model.listeners[1].limits == model.limits);
}

TEST_CASE("redirects are for plain-text listeners") {
  const auto listener = [](const std::string& rest) {
    return problems_of("version: 1\nlisteners:\n  - { name: l, address: \"[::]:1\", " + rest + " }\n");
  };
  CHECK(listener("protocol: http, redirect: https, redirect_code: 301, redirect_port: 8443").empty());
  CHECK(listener("redirect: https") ==
        std::vector<std::string>{"f:3:45: error: redirect is for listeners with protocol: http"});
  CHECK(listener("protocol: http, redirect_port: 8443") ==
        std::vector<std::string>{"f:3:66: error: redirect_port means nothing without redirect: https"});
  CHECK(listener("protocol: http, redirect: htps").size() == 1);
  CHECK(listener("protocol: http, redirect: https, redirect_code: 200").size() == 1);
  CHECK(listener("protocol: http, redirect: https, redirect_port: 0").size() == 1);
}

TEST_CASE("PROXY protocol senders are address ranges, checked bit by bit") {
  const auto from = [](const std::string& list) {
    return problems_of(
        "version: 1\nlisteners:\n  - name: l\n    address: \"[::]:1\"\n    proxy_protocol: { from: " + list +
        " }\n");
  };
  CHECK(from("[10.0.0.0/8, 192.0.2.1, \"2001:db8::/32\", \"::1\", 0.0.0.0/0]").empty());
  CHECK(
      from("[10.0.0.1/8]") ==
      std::vector<std::string>{
          "f:5:30: error: \"10.0.0.1/8\" has bits set behind its prefix: a typing error in one of the two"});
  for (const char* bad : {"[10.0.0.0/33]", "[a]", "[10.0.0.0/]", "[10.0.0.0/8x]", "[]", "10.0.0.0/8"}) {
    INFO(bad);
    CHECK(from(bad).size() == 1);
  }
}

TEST_CASE("relative paths are resolved against the config file's folder") {
  const Model model =
      model_of(kBase +
                   "hosts:\n"
                   "  - names: [a]\n"
                   "    routes: [{ reply: {} }]\n"
                   "    tls: { certificates: [{ chain: ../c/a.pem, key: /k/a.key }] }\n"
                   "access_log: { path: logs/a.jsonl }\n"
                   "tls: { policies: { p: { client_auth: { mode: require, ca: ca.pem } } } }\n"
                   "upstreams: { u: { endpoints: [h:1], tls: { ca: u.pem } } }\n",
               "/etc/sallyport/f.yaml");
  CHECK(model.hosts[0].certificates[0].chain == "/etc/c/a.pem");
  CHECK(model.hosts[0].certificates[0].key == "/k/a.key");
  CHECK(model.hosts[0].certificates[0].label == "/etc/c/a.pem");
  CHECK(model.access_log.path == LogTarget{LogTarget::Kind::file, "/etc/sallyport/logs/a.jsonl"});
  CHECK(model.tls.policies[1].client_auth.ca == "/etc/sallyport/ca.pem");
  CHECK(model.upstreams[0].tls->ca == "/etc/sallyport/u.pem");
}

TEST_CASE("every entity knows where it stands") {
  const Model model = model_of(kBase +
                               "hosts:\n"
                               "  - names: [a]\n"
                               "    tls:\n"
                               "      certificates:\n"
                               "        - { chain: a.pem, key: a.key }\n"
                               "    routes:\n"
                               "      - reply: {}\n"
                               "upstreams:\n"
                               "  u:\n"
                               "    endpoints:\n"
                               "      - h:1\n"
                               "      - { address: h:2 }\n");
  CHECK(to_string(model.listeners[0].origin) == "f:3:5");
  CHECK(to_string(model.hosts[0].origin) == "f:5:5");
  CHECK(to_string(model.hosts[0].certificates[0].origin) == "f:8:11");
  CHECK(to_string(model.hosts[0].routes[0].origin) == "f:10:9");
  CHECK(to_string(model.upstreams[0].origin) == "f:12:3");
  CHECK(to_string(model.upstreams[0].endpoints[0].origin) == "f:14:9");
  CHECK(to_string(model.upstreams[0].endpoints[1].origin) == "f:15:9");
  CHECK(to_string(Origin{}) == "config");
}

TEST_CASE("two models are equal when they mean the same, wherever it stands") {
  const std::string upstreams = "upstreams: { u: { endpoints: [h:1] } }\n";
  const Model a = model_of(kBase + upstreams);
  const Model b = model_of("# a comment\n\n" + kBase + "\n" + upstreams);
  CHECK(a == b);
  CHECK_FALSE(a == model_of(kBase + "upstreams: { u: { endpoints: [h:2] } }\n"));
}
