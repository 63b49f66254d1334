// What the parts of a file mean together: references, uniqueness, routes out of reach.
#include <string>
#include <vector>

#include "sallyport/config/load.hpp"

#include "catch.hpp"
#include "loading.hpp"

using namespace sallyport::config;
using namespace config_test;

namespace {

// Of a text whose parts are right; warnings may stand.
Model readable(const std::string& text) {
  Loaded loaded = load_text(text, "f");
  INFO(joined(lines_of(loaded.problems)));
  REQUIRE_FALSE(has_errors(loaded.problems));
  return std::move(loaded.model);
}

std::vector<std::string> problems_together(const std::string& text) {
  return lines_of(validate(readable(text)));
}

const std::string kHttp = "version: 1\nlisteners: [{ name: l, protocol: http, address: \"127.0.0.1:0\" }]\n";
const std::string kHttps = "version: 1\nlisteners: [{ name: l, address: \"127.0.0.1:0\" }]\n";
const std::string kCertificates = "tls: { certificates: [{ chain: c, key: k }] }";

// Routes from line 5 on, one a line.
std::vector<std::string> route_problems(const std::vector<std::string>& routes) {
  std::string text = kHttp + "hosts:\n- names: [a]\n  routes:\n";
  for (const std::string& route : routes) text += "  - " + route + "\n";
  return problems_together(text);
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("references must lead somewhere, with the name that was meant") {
  CHECK(problems_together(
            kHttp + "upstreams: { web: { endpoints: [h:1] } }\nhosts:\n- names: [a]\n  listeners: [k, x]\n  "
                    "tls: { policy: defalt }\n  routes: [{ upstream: wbe }]\n") ==
        Lines{"f:3:14: warning: no route uses the upstream \"web\"",
              "f:5:3: error: no TLS policy is named \"defalt\": did you mean \"default\"?",
              "f:5:3: error: no listener is named \"k\"", "f:5:3: error: no listener is named \"x\"",
              "f:8:12: error: no upstream is named \"wbe\": did you mean \"web\"?"});
  CHECK(problems_together(
            "version: 1\nlisteners:\n- name: l\n  protocol: http\n  address: \"[::]:0\"\n  routes:\n  - "
            "upstream: u\n") == Lines{"f:7:5: error: no upstream is named \"u\""});
}

TEST_CASE("listeners have names and addresses of their own; port 0 is never the same") {
  CHECK(problems_together(
            "version: 1\nlisteners:\n- { name: a, protocol: http, address: \"[::]:80\" }\n- { name: a, "
            "protocol: "
            "http, address: \"[::]:80\" }\n- { name: b, protocol: http, address: \"[::]:0\" }\n- { name: c, "
            "protocol: http, address: \"[::]:0\" }\n") ==
        Lines{"f:4:3: error: a second listener named \"a\", the first is in line 3",
              "f:4:3: error: a second listener on [::]:80, the first is in line 3"});
}

TEST_CASE("limits that contradict each other") {
  CHECK(problems_together(kHttp +
                          "limits: { header_bytes: 1KiB, header_field_bytes: 2KiB, connections: 10, h2: { "
                          "stream_window: 2MiB } }\n") ==
        Lines{"f:2:13: error: limits.header_field_bytes is above limits.header_bytes",
              "f:2:13: error: limits.h2.stream_window is above limits.h2.connection_window: one stream could "
              "never "
              "use it"});
}

TEST_CASE("a name belongs to one host of a listener") {
  const std::string two =
      "version: 1\nlisteners:\n- { name: l, protocol: http, address: \"[::]:1\" }\n- { name: m, "
      "protocol: http, address: \"[::]:2\" }\nhosts:\n";
  CHECK(problems_together(
            two +
            "- { names: [a], routes: [{ reply: {} }] }\n- { names: [b, A], routes: [{ reply: {} }] }\n") ==
        Lines{"f:7:3: error: the name \"a\" belongs to the host in line 6 already"});
  CHECK(problems_together(
            two +
            "- { names: [a], listeners: [l], routes: [{ reply: {} }] }\n- { names: [a], listeners: [m], "
            "routes: [{ reply: {} }] }\n")
            .empty());
  CHECK(problems_together(two + "- { names: [a, a], routes: [{ reply: {} }] }\n") ==
        Lines{"f:6:3: warning: the name \"a\" stands in the list twice"});
}

TEST_CASE("a host on a TLS listener needs certificates") {
  CHECK(problems_together(kHttps + "hosts: [{ names: [a], listeners: [l], routes: [{ reply: {} }] }]\n") ==
        Lines{"f:3:9: error: the listener \"l\" speaks TLS, and this host has no certificates"});
  CHECK(problems_together(kHttps + "hosts: [{ names: [a], routes: [{ reply: {} }] }]\n") ==
        Lines{"f:3:9: warning: this host has no certificates: it is served in plain text alone"});
  CHECK(
      problems_together(kHttps + "hosts: [{ names: [a], " + kCertificates + ", routes: [{ reply: {} }] }]\n")
          .empty());
}

TEST_CASE("unknown_sni and missing_sni name a host that has certificates") {
  const std::string host = "hosts: [{ names: [a.b], " + kCertificates + ", routes: [{ reply: {} }] }]\n";
  CHECK(problems_together(kHttps + host + "tls: { unknown_sni: a.b, missing_sni: A.b }\n").empty());
  CHECK(problems_together(kHttps + host + "tls: { unknown_sni: rejct }\n") ==
        Lines{"f:4:21: error: unknown_sni: no host has the name \"rejct\": did you mean \"reject\"?"});
  CHECK(problems_together(
            kHttp + "hosts: [{ names: [a.b], routes: [{ reply: {} }] }]\ntls: { missing_sni: a.b }\n") ==
        Lines{"f:4:21: error: missing_sni: the host \"a.b\" has no certificates"});
}

TEST_CASE("names that come from certificates are checked once they are filled in") {
  Model model =
      readable(kHttps + "hosts:\n- { " + kCertificates + ", routes: [{ reply: {} }] }\n- { names: [x], " +
               kCertificates + ", routes: [{ reply: {} }] }\ntls: { unknown_sni: y }\n");
  CHECK(validate(model).empty());
  model.hosts[0].names = {"x"};
  CHECK(lines_of(validate_names(model)) ==
        Lines{"f:5:3: error: the name \"x\" belongs to the host in line 4 already",
              "f:6:21: error: unknown_sni: no host has the name \"y\""});
}

TEST_CASE("a route that an earlier one hides is told, and no other") {
  CHECK(route_problems({"reply: {}", "{ match: { path: /a }, reply: {} }"}) ==
        Lines{"f:7:5: warning: this route is never reached: the one in line 6 takes all it would"});
  const auto hidden = [](const std::string& first, const std::string& second) {
    return !route_problems(
                {"{ match: { " + first + " }, reply: {} }", "{ match: { " + second + " }, reply: {} }"})
                .empty();
  };
  CHECK(hidden("path_prefix: /a", "path: /a"));
  CHECK(hidden("path_prefix: /a", "path_prefix: /a/b"));
  CHECK(hidden("path_prefix: /", "path_regex: /x"));
  CHECK(hidden("path_regex: /x", "path_regex: /x"));
  CHECK(hidden("methods: [GET, POST]", "methods: [POST], path: /a"));
  CHECK(hidden("headers: { a: 1 }", "headers: { b: 2, a: 1 }"));
  CHECK_FALSE(hidden("path_prefix: /a", "path: /ab"));
  CHECK_FALSE(hidden("path_prefix: /a/", "path_prefix: /a"));
  CHECK_FALSE(hidden("path: /a", "path_prefix: /a"));
  CHECK_FALSE(hidden("path: /a", "path_regex: /a"));
  CHECK_FALSE(hidden("methods: [GET]", "path: /a"));
  CHECK_FALSE(hidden("headers: { a: 1 }", "headers: { a: 2 }"));
  CHECK_FALSE(hidden("query: { a: 1 }", "headers: { a: 1 }"));
}

TEST_CASE("a policy that nobody uses is told") {
  CHECK(problems_together(kHttp + "tls: { policies: { p: {} } }\n") ==
        Lines{"f:3:20: warning: no host uses the policy \"p\""});
}

TEST_CASE("an endpoint stands in its upstream once") {
  CHECK(problems_together(
            kHttp + "upstreams: { u: { endpoints: [a:1, a:2, a:1] } }\nhosts: [{ names: [a], routes: [{ "
                    "upstream: u }] }]\n") ==
        Lines{"f:3:41: error: this endpoint stands in the list twice: give it a weight instead"});
}

TEST_CASE("a score needs something to score by") {
  const std::string weights =
      "tls: { health: { weights: { version: 0, forward_secrecy: 0, suite: 0, validity: 0, expiry: 0, "
      "chain: 0, resumption: %d } } }\n";
  const auto problems = [&](const char* last) {
    std::string text = weights;
    return problems_together(kHttp + text.replace(text.find("%d"), 2, last));
  };
  CHECK(problems("1").empty());
  CHECK(problems("0") ==
        Lines{"f:3:6: error: tls.health.weights: all are 0, so there is nothing to score by: "
              "leave some as they are"});
}
