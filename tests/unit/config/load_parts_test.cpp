// TLS policies, hosts, routes, upstreams: the forms each of them takes, and what is refused.
#include <string>
#include <vector>

#include "sallyport/config/load.hpp"

#include "catch.hpp"
#include "loading.hpp"

using namespace sallyport;
using namespace sallyport::config;
using namespace config_test;

namespace {

const std::string kTwoLines =
    "version: 1\n"
    "listeners: [{ name: l, protocol: http, address: \"127.0.0.1:0\" }]\n";

// The route stands behind "  - " in line 5.
std::string with_route(const std::string& route) {
  return kTwoLines + "hosts:\n- names: [a]\n  routes:\n  - " + route + "\n";
}
Route route_of(const std::string& route) {
  return model_of(with_route(route)).hosts[0].routes[0];
}
std::string route_problem(const std::string& route) {
  const auto problems = problems_of(with_route(route));
  INFO(route);
  REQUIRE(problems.size() == 1);
  return problems[0];
}

std::string upstream_problem(const std::string& rest) {
  const auto problems = problems_of(kTwoLines + "upstreams: { u: { " + rest + " } }\n");
  INFO(rest);
  REQUIRE(problems.size() == 1);
  return problems[0];
}

}  // namespace

TEST_CASE("groups: a flat list is one tuple, nested lists are several") {
  const auto groups = [](const std::string& list) {
    return model_of(kTwoLines + "tls: { policies: { default: { groups: " + list + " } } }\n")
        .tls.policies[0]
        .groups;
  };
  using Tuples = std::vector<std::vector<std::string>>;
  CHECK(groups("[A, B]") == Tuples{{"A", "B"}});
  CHECK(groups("[[A, B], [C]]") == Tuples{{"A", "B"}, {"C"}});
  CHECK(groups("[A, [B, C]]") == Tuples{{"A"}, {"B", "C"}});
}

TEST_CASE("TLS policies: names are single, versions in order, nothing is empty") {
  const auto policy = [](const std::string& rest) {
    return problems_of(kTwoLines + "tls: { policies: { p: { " + rest + " } } }\n");
  };
  CHECK(policy("min_version: 1.3, max_version: 1.3, alpn: [http/1.1]").empty());
  CHECK(policy("min_version: \"1.3\", max_version: \"1.2\"") ==
        std::vector<std::string>{"f:3:38: error: min_version is above max_version: no client could connect"});
  CHECK(policy("min_version: 1.1") ==
        std::vector<std::string>{"f:3:38: error: expected 1.2 or 1.3, found \"1.1\": did you mean \"1.2\"?"});
  for (const char* bad : {"ciphers: [\"A:B\"]", "ciphers: []", "groups: [[]]", "groups: [\"A:B\"]",
                          "alpn: []", "alpn: [h3]", "cipher_suites: [\"\"]", "client_auth: { mode: require }",
                          "client_auth: { mode: request }", "client_auth: { mode: on }", "groups: A"}) {
    INFO(bad);
    CHECK(policy(bad).size() == 1);
  }
}

TEST_CASE("a configured default policy replaces the built-in one") {
  const Model model =
      model_of(kTwoLines + "tls: { policies: { other: {}, default: { min_version: \"1.3\" } } }\n");
  REQUIRE(model.tls.policies.size() == 2);
  CHECK(model.tls.policies[1].name == "default");
  CHECK(model.tls.policies[1].min_version == TlsVersion::tls13);
}

TEST_CASE("host names are lower-cased; what is none is refused") {
  const Model model =
      model_of(kTwoLines +
               "hosts: [{ names: [Example.COM., \"*.A.b\", \"*\", 192.0.2.1, \"::1\", xn--bcher-kva.x], "
               "routes: [{ reply: {} }] }]\n");
  CHECK(model.hosts[0].names ==
        std::vector<std::string>{"example.com", "*.a.b", "*", "192.0.2.1", "::1", "xn--bcher-kva.x"});
  for (const char* bad : {"https://a", "a:443", "a/b", "a..b", "-a", "a-", "\"*a.b\"", "\"a.*\"", "\"*.\"",
                          "bücher.x", "\"\"", "\"a b\""}) {
    INFO(bad);
    CHECK(problems_of(kTwoLines + "hosts: [{ names: [" + bad + "], routes: [{ reply: {} }] }]\n").size() ==
          1);
  }
}

TEST_CASE("a host needs names or certificates, and is warned without routes") {
  CHECK(problems_of(kTwoLines + "hosts:\n- routes: [{ reply: {} }]\n") ==
        std::vector<std::string>{"f:4:3: error: a host needs names, or certificates to take them from"});
  CHECK(problems_of(kTwoLines + "hosts:\n- names: [a]\n") ==
        std::vector<std::string>{"f:4:3: warning: a host without routes answers 404 to everything"});
  CHECK(problems_of(kTwoLines +
                    "hosts:\n- tls: { certificates: [{ chain: c, key: k }] }\n  routes: [{ reply: {} }]\n")
            .empty());
  CHECK(problems_of(kTwoLines +
                    "hosts:\n- tls: { certificates: [{ chain: c }] }\n  routes: [{ reply: {} }]\n") ==
        std::vector<std::string>{"f:4:25: error: the key \"key\" is missing"});
}

TEST_CASE("a route's body limit is its own, else its host's") {
  const Model model = model_of(kTwoLines +
                               "hosts:\n- names: [a]\n  limits: { request_body: 1MiB }\n  routes:\n"
                               "  - { match: { path: /a }, reply: {}, limits: { request_body: 2MiB } }\n"
                               "  - { match: { path: /b }, reply: {}, limits: { request_body: 0 } }\n"
                               "  - reply: {}\n");
  CHECK(model.hosts[0].routes[0].request_body == 2 * kMiB);
  CHECK(model.hosts[0].routes[1].request_body == std::size_t{0});
  CHECK(model.hosts[0].routes[2].request_body == kMiB);
}

TEST_CASE("a route in full") {
  const Route route = route_of(
      "{ match: { path_prefix: /a/, methods: [GET, PURGE], headers: { X-A: \"1\", x-b: { regex: \"a+\" } }, "
      "query: { "
      "q: { present: false }, r: { present: true } } }, upstream: u, rewrite: { prefix: /b/, host: "
      "\"H.x:81\" }, "
      "request_headers: { set: { X-S: v }, add: { X-T: w }, remove: [X-U] }, response_headers: { remove: "
      "[server] }, "
      "timeouts: { connect: 1s, send: 0, first_byte: 2s, idle: 3s, tunnel: 4s, total: 0 }, websocket: false "
      "}");
  CHECK(route.match.path_prefix == "/a/");
  CHECK(route.match.methods == std::vector<std::string>{"GET", "PURGE"});
  using Kind = ValueMatch::Kind;
  CHECK(route.match.headers ==
        std::vector<ValueMatch>{{"x-a", Kind::exact, "1", {}}, {"x-b", Kind::regex, "a+", {}}});
  CHECK(route.match.query ==
        std::vector<ValueMatch>{{"q", Kind::absent, "", {}}, {"r", Kind::present, "", {}}});
  CHECK(std::get<ToUpstream>(route.action).name == "u");
  CHECK(route.rewrite.prefix == "/b/");
  CHECK(route.rewrite.host == "h.x:81");
  CHECK(route.request_headers.set == HeaderList{{"x-s", "v"}});
  CHECK(route.request_headers.add == HeaderList{{"x-t", "w"}});
  CHECK(route.request_headers.remove == std::vector<std::string>{"x-u"});
  CHECK(route.response_headers.remove == std::vector<std::string>{"server"});
  CHECK(route.timeouts == RouteTimeouts{1s, 0ms, 2s, 3s, 4s, 0ms});
  CHECK_FALSE(route.websocket);
}

TEST_CASE("redirects and replies") {
  const Route redirect = route_of("redirect: { scheme: https, host: a.b, path: /c, code: 301 }");
  const auto& to = std::get<Redirect>(redirect.action);
  CHECK((to.scheme == "https" && to.host == "a.b" && to.path == "/c" && to.code == 301 && !to.to));
  CHECK(std::get<Redirect>(route_of("redirect: { to: \"https://x/y\" }").action).code == 308);
  const auto reply = std::get<Reply>(
      route_of("reply: { status: 503, body: \"gone\\n\", headers: { Retry-After: 5 } }").action);
  CHECK(reply.status == 503);
  CHECK(reply.body == "gone\n");
  CHECK(reply.headers == HeaderList{{"retry-after", "5"}});
}

TEST_CASE("what a route cannot do is told") {
  CHECK(route_problem("match: { path: /a }") ==
        "f:6:5: error: a route does one of upstream, redirect and reply; this one does nothing");
  CHECK(route_problem("{ upstream: u, reply: {} }") ==
        "f:6:5: error: a route does one of upstream, redirect and reply; this one does more");
  CHECK(route_problem("{ reply: {}, rewrite: { host: a } }") ==
        "f:6:27: error: rewrite means nothing for a route without an upstream");
  CHECK(route_problem("{ upstream: u, rewrite: { prefix: /a } }") ==
        "f:6:29: error: rewrite.prefix needs match.path_prefix, which it stands instead of");
  CHECK(route_problem("{ match: { path: /a, path_prefix: /b }, reply: {} }") ==
        "f:6:14: error: expected one of path, path_prefix and path_regex");
  CHECK(route_problem("redirect: { to: /x, host: a }") ==
        "f:6:15: error: expected either to, or some of scheme, host and path");
  CHECK(route_problem("redirect: { code: 301 }") ==
        "f:6:15: error: a redirect to the same URL: give to, scheme, host or path");
  CHECK(route_problem("redirect: { to: /x, code: 300 }") ==
        "f:6:31: error: expected 301, 302, 303, 307 or 308, found \"300\"");
  CHECK(route_problem("{ match: { path_regex: \"a(b\" }, reply: {} }") ==
        "f:6:28: error: the regular expression \"a(b\" is not usable: \"(\" without \")\"");
  CHECK(
      route_problem("{ match: { headers: { x: { regex: \"(?=a)\" } } }, reply: {} }").find("look-arounds") !=
      std::string::npos);
  CHECK(route_problem("{ match: { headers: { x: {} } }, reply: {} }") ==
        "f:6:30: error: expected either regex or present");
  for (const char* bad :
       {"{ match: { path: a }, reply: {} }", "{ match: { path: /a?b }, reply: {} }",
        "{ match: { path: \"/a b\" }, reply: {} }", "{ match: { methods: [get] }, reply: {} }",
        "{ match: { methods: [CONNECT] }, reply: {} }", "{ match: { methods: [\"G T\"] }, reply: {} }",
        "{ match: { headers: { host: a } }, reply: {} }", "{ match: { headers: { Upgrade: a } }, reply: {} }",
        "reply: { status: 101 }", "reply: { status: 600 }", "redirect: { scheme: ftp }",
        "redirect: { to: \"https://a b\" }", "redirect: { host: a/b }", "redirect: { host: \"a:0\" }"}) {
    route_problem(bad);
  }
}

TEST_CASE("a header edit cannot smuggle a second line, a framing field or a host") {
  for (const char* name : {"Content-Length", "transfer-encoding", "connection", "te", "upgrade", "host",
                           "trailer", "keep-alive", "\"a b\"", "\":path\"", "\"\""}) {
    INFO(name);
    for (const char* list : {"set", "add"}) {
      const std::string edit = std::string("{ ") + list + ": { " + name + ": x } }";
      route_problem("{ upstream: u, request_headers: " + edit + " }");
      route_problem("{ upstream: u, response_headers: " + edit + " }");
    }
    route_problem(std::string("{ upstream: u, request_headers: { remove: [") + name + "] } }");
    route_problem(std::string("reply: { headers: { ") + name + ": x } }");
  }
  for (const char* value : {"\"a\\r\\nb: c\"", "\"a\\nb\"", "\"a\\0b\"", "\" a\"", "\"a \""}) {
    INFO(value);
    route_problem(std::string("reply: { headers: { x: ") + value + " } }");
    route_problem(std::string("{ upstream: u, request_headers: { set: { x: ") + value + " } } }");
  }
}

TEST_CASE("a reply's body is bounded") {
  CHECK(problems_of(with_route("reply: { body: " + std::string(64 * kKiB, 'a') + " }")).empty());
  route_problem("reply: { body: " + std::string(64 * kKiB + 1, 'a') + " }");
}

TEST_CASE("endpoints: host and port, with a weight where it is given") {
  const Model model =
      model_of(kTwoLines +
               "upstreams: { u: { endpoints: [a.b:80, \"[::1]:81\", 10.0.0.1:82, { address: my_svc:83, "
               "weight: 5 }] } }\n");
  const auto& e = model.upstreams[0].endpoints;
  CHECK(e == std::vector<UpstreamEndpoint>{
                 {"a.b", 80, 1, {}}, {"::1", 81, 1, {}}, {"10.0.0.1", 82, 1, {}}, {"my_svc", 83, 5, {}}});
  for (const char* bad :
       {"endpoints: []", "endpoints: [a]", "endpoints: [\"a:0\"]", "endpoints: [\"a:65536\"]",
        "endpoints: [\"a:x\"]", "endpoints: [\"::1:80\"]", "endpoints: [\"http://a:80\"]",
        "endpoints: [\":80\"]", "endpoints: [[]]", "endpoints: [{ weight: 1 }]",
        "endpoints: [{ address: \"a:1\", weight: 0 }]", "endpoints: [{ address: \"a:1\", weight: 1001 }]",
        "endpoints: \"a:1\"", "protocol: h1"}) {
    upstream_problem(bad);
  }
}

TEST_CASE("upstreams in full, and what is refused") {
  const Model model =
      model_of(kTwoLines +
               "upstreams: { u: { protocol: h2, endpoints: [a:1], balance: least_request, tls: { "
               "server_name: s, certificate: { chain: c, key: k }, min_version: \"1.3\" } } }\n");
  const Upstream& u = model.upstreams[0];
  CHECK(u.protocol == UpstreamProtocol::h2);
  CHECK(u.balance == Balance::least_request);
  REQUIRE(u.tls);
  CHECK(u.tls->server_name == "s");
  CHECK(u.tls->verify);
  REQUIRE(u.tls->certificate);
  CHECK(u.tls->certificate->key == "k");
  CHECK(u.tls->min_version == TlsVersion::tls13);
  CHECK(upstream_problem("endpoints: [a:1], tls: { verify: false }").find("f:3:42: warning: verify: false") ==
        0);
  CHECK(upstream_problem("endpoints: [a:1], ejection: { time: 10m }") ==
        "f:3:47: error: time is above max_time");
  CHECK(upstream_problem("endpoints: [a:1], protocol: h3") ==
        "f:3:47: error: expected auto, h1 or h2, found \"h3\": did you mean \"h1\"?");
  CHECK(upstream_problem("endpoints: [a:1], tls:") == "f:3:37: error: the key \"tls\" has no value");
}
