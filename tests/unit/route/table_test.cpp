// Names and heads → routes, on models written as the file that they come from.
#include "sallyport/route/table.hpp"

#include <new>
#include <string>
#include <vector>

#include "sallyport/config/load.hpp"

#include "catch.hpp"

using namespace sallyport;
using route::Match;
using route::Table;
using Outcome = route::Match::Outcome;

namespace {

config::Model model_of(const std::string& text) {
  config::Loaded loaded = config::load_text(text, "f");
  for (const auto& problem : loaded.problems) INFO(to_string(problem));
  REQUIRE_FALSE(config::has_errors(loaded.problems));
  return std::move(loaded.model);
}

const std::string kListener =
    "version: 1\nlisteners: [{ name: l, protocol: http, address: \"127.0.0.1:0\" }]\n";

// A table of one host, "a", with these routes.
Table routes_of(const std::vector<std::string>& matches) {
  std::string text = kListener + "hosts:\n- names: [a]\n  routes:\n";
  for (const std::string& match : matches)
    text.append("  - { match: { ").append(match).append(" }, reply: {} }\n");
  return Table(model_of(text));
}

struct Request {
  std::string target = "/";
  std::string method = "GET";
  std::vector<std::pair<std::string, std::string>> fields = {};
};

http::RequestHead head_of(const Request& request) {
  http::RequestHead head;
  head.set_method(request.method);
  head.set_target(request.target);
  for (const auto& [name, value] : request.fields) head.fields.add(name, value);
  return head;
}

// The index of the route that matches, or -1.
int matched(const Table& table, const Request& request) {
  const Match match = table.find("a", 0, head_of(request));
  if (match.outcome == Outcome::no_route) {
    CHECK(match.route == Match::kNone);
    return -1;
  }
  REQUIRE(match.outcome == Outcome::route);
  CHECK(match.host == 0);
  return static_cast<int>(match.route);
}

}  // namespace

TEST_CASE("the host's part of an authority") {
  CHECK(route::host_part("a.b") == "a.b");
  CHECK(route::host_part("a.b:443") == "a.b");
  CHECK(route::host_part("a.b.:443") == "a.b");
  CHECK(route::host_part("a.b.") == "a.b");
  CHECK(route::host_part("[::1]:443") == "::1");
  CHECK(route::host_part("[::1]") == "::1");
  CHECK(route::host_part("[::1") == "");
  CHECK(route::host_part("") == "");
  CHECK(route::host_part(":1") == "");
}

TEST_CASE("paths: whole, by prefix at a segment's end, by expression; the first that matches wins") {
  const Table table = routes_of(
      {"path: /a", "path_prefix: /a/", "path_prefix: /b", "path_regex: \"/c/[0-9]+\"", "path_prefix: /c"});
  CHECK(matched(table, {"/a"}) == 0);
  CHECK(matched(table, {"/a?x=/b"}) == 0);
  CHECK(matched(table, {"/a/"}) == 1);
  CHECK(matched(table, {"/a/x"}) == 1);
  CHECK(matched(table, {"/ab"}) == -1);
  CHECK(matched(table, {"/b"}) == 2);
  CHECK(matched(table, {"/b/x"}) == 2);
  CHECK(matched(table, {"/b?/x"}) == 2);
  CHECK(matched(table, {"/bx"}) == -1);
  CHECK(matched(table, {"/c/12"}) == 3);
  CHECK(matched(table, {"/c/12x"}) == 4);
  CHECK(matched(table, {"/C"}) == -1);
  CHECK(matched(table, {"/%61"}) == -1);
  CHECK(matched(table, {"*", "OPTIONS"}) == -1);
}

TEST_CASE("methods, also those without a name of ours, in their case") {
  const Table table = routes_of({"methods: [GET, HEAD]", "methods: [PURGE]", "path: /x"});
  CHECK(matched(table, {"/", "GET"}) == 0);
  CHECK(matched(table, {"/", "HEAD"}) == 0);
  CHECK(matched(table, {"/", "PURGE"}) == 1);
  CHECK(matched(table, {"/", "purge"}) == -1);
  CHECK(matched(table, {"/", "BREW"}) == -1);
  CHECK(matched(table, {"/", "POST"}) == -1);
  CHECK(matched(table, {"/x", "POST"}) == 2);
  CHECK(matched(table, {"/x", "BREW"}) == 2);
}

TEST_CASE("headers: exact, by expression, present, absent; any of several fields of a name will do") {
  const Table table =
      routes_of({"headers: { X-A: \"1\", x-b: { present: true } }", "headers: { x-c: { regex: \"v[0-9]\" } }",
                 "headers: { x-d: { present: false }, x-e: \"\" }"});
  CHECK(matched(table, {"/", "GET", {{"x-a", "1"}, {"x-b", ""}}}) == 0);
  CHECK(matched(table, {"/", "GET", {{"x-a", "2"}, {"x-a", "1"}, {"x-b", "z"}}}) == 0);
  CHECK(matched(table, {"/", "GET", {{"x-a", "1"}}}) == -1);
  CHECK(matched(table, {"/", "GET", {{"x-a", "11"}, {"x-b", ""}}}) == -1);
  CHECK(matched(table, {"/", "GET", {{"x-c", "v7"}}}) == 1);
  CHECK(matched(table, {"/", "GET", {{"x-c", "v77"}}}) == -1);
  CHECK(matched(table, {"/", "GET", {{"x-e", ""}}}) == 2);
  CHECK(matched(table, {"/", "GET", {{"x-e", ""}, {"x-d", "1"}}}) == -1);
}

TEST_CASE("query parameters are compared decoded, one by one") {
  const Table table = routes_of({"query: { a: \"1 2\" }", "query: { \"b c\": { present: true } }",
                                 "query: { d: { regex: \"[é/]+\" } }", "query: { e: \"\" }",
                                 "query: { f: { present: false }, g: { present: true } }"});
  CHECK(matched(table, {"/?a=1%202"}) == 0);
  CHECK(matched(table, {"/?x=0&a=1%202&y"}) == 0);
  CHECK(matched(table, {"/?%61=1%202"}) == 0);
  CHECK(matched(table, {"/?a=1+2"}) == -1);
  CHECK(matched(table, {"/?a=1%202%"}) == -1);
  CHECK(matched(table, {"/?xa=1%202"}) == -1);
  CHECK(matched(table, {"/?b%20c"}) == 1);
  CHECK(matched(table, {"/?b%20c=&"}) == 1);
  CHECK(matched(table, {"/?d=%c3%A9%2f"}) == 2);
  CHECK(matched(table, {"/?d=%c3%A9%2"}) == -1);
  CHECK(matched(table, {"/?e"}) == 3);
  CHECK(matched(table, {"/?e="}) == 3);
  CHECK(matched(table, {"/?e=1&e="}) == 3);
  CHECK(matched(table, {"/?g"}) == 4);
  CHECK(matched(table, {"/?g&f"}) == -1);
  for (const char* odd : {"/", "/?", "/?&", "/?&&&", "/?=", "/?==&=", "/?%", "/?%zz", "/?a=%"}) {
    INFO(odd);
    CHECK(matched(table, {odd}) == -1);
  }
}

TEST_CASE("conditions of every kind hold together") {
  const Table table =
      routes_of({"path_prefix: /a/, methods: [GET], headers: { x: \"1\" }, query: { q: \"1\" }"});
  CHECK(matched(table, {"/a/?q=1", "GET", {{"x", "1"}}}) == 0);
  CHECK(matched(table, {"/b/?q=1", "GET", {{"x", "1"}}}) == -1);
  CHECK(matched(table, {"/a/?q=1", "PUT", {{"x", "1"}}}) == -1);
  CHECK(matched(table, {"/a/?q=1", "GET"}) == -1);
  CHECK(matched(table, {"/a/?q=2", "GET", {{"x", "1"}}}) == -1);
}

TEST_CASE("hosts: the exact name, then the wildcard one label above it, then the default") {
  const std::string hosts =
      "hosts:\n"
      "- { names: [a.b], routes: [{ reply: {} }] }\n"
      "- { names: [\"*.a.b\"], routes: [{ reply: {} }] }\n"
      "- { names: [x.a.b, \"::1\", 192.0.2.1], routes: [{ reply: {} }] }\n";
  using Index = std::optional<std::uint32_t>;
  SECTION("without a default") {
    const Table table(model_of(kListener + hosts));
    CHECK(table.host_of("a.b", 0) == Index(0));
    CHECK(table.host_of("A.B", 0) == Index(0));
    CHECK(table.host_of("a.b.", 0) == Index(0));
    CHECK(table.host_of("y.a.b", 0) == Index(1));
    CHECK(table.host_of("Y.A.b", 0) == Index(1));
    CHECK(table.host_of("x.a.b", 0) == Index(2));
    CHECK(table.host_of("::1", 0) == Index(2));
    CHECK(table.host_of("192.0.2.1", 0) == Index(2));
    CHECK_FALSE(table.host_of("z.y.a.b", 0));
    CHECK_FALSE(table.host_of(".a.b", 0));
    CHECK_FALSE(table.host_of("*.a.b.c", 0));
    CHECK_FALSE(table.host_of("b", 0));
    CHECK_FALSE(table.host_of("", 0));
    CHECK_FALSE(table.host_of(".", 0));
    CHECK_FALSE(table.host_of(std::string(300, 'a'), 0));
    CHECK(table.find("c", 0, head_of({})).outcome == Outcome::no_host);
  }
  SECTION("with *") {
    const Table table(model_of(kListener + hosts + "- { names: [\"*\"], routes: [{ reply: {} }] }\n"));
    for (const std::string& name :
         {std::string("c"), std::string(), std::string("10.0.0.1"), std::string(300, 'a')})
      CHECK(table.host_of(name, 0) == Index(3));
    CHECK(table.host_of("y.a.b", 0) == Index(1));
  }
  SECTION("where unknown and missing names are served by a host over TLS, so are their authorities") {
    config::Model model = model_of(kListener + hosts + "tls: { unknown_sni: a.b, missing_sni: \"*.a.b\" }\n");
    const Table table(model);
    CHECK(table.host_of("c", 0) == Index(0));
    CHECK(table.host_of("10.0.0.1", 0) == Index(1));
    CHECK(table.host_of("2001:db8::1", 0) == Index(1));
    CHECK(table.host_of("", 0) == Index(1));
  }
}

TEST_CASE("a host is found only on its listeners") {
  const config::Model model = model_of(
      "version: 1\nlisteners:\n"
      "- { name: l, protocol: http, address: \"[::]:0\" }\n"
      "- { name: m, protocol: http, address: \"[::]:0\" }\n"
      "hosts:\n"
      "- { names: [a], listeners: [l], routes: [{ reply: {} }] }\n"
      "- { names: [a], listeners: [m], routes: [{ reply: {} }] }\n"
      "- { names: [b], listeners: [m], routes: [{ reply: {} }] }\n");
  const Table table(model);
  CHECK(table.find("a", 0, head_of({})).host == 0);
  CHECK(table.find("a", 1, head_of({})).host == 1);
  CHECK(table.find("b", 0, head_of({})).outcome == Outcome::no_host);
  CHECK(table.find("b", 1, head_of({})).host == 2);
}

TEST_CASE("a listener's own routes come first, then its redirect, for every host") {
  const config::Model model = model_of(
      "version: 1\nlisteners:\n"
      "- { name: l, protocol: http, address: \"[::]:0\", redirect: https, routes: [{ match: { path_prefix: "
      "/.w/ }, "
      "reply: {} }] }\n"
      "- { name: m, protocol: http, address: \"[::]:0\", routes: [{ match: { path: /m }, reply: {} }] }\n"
      "hosts:\n"
      "- { names: [a], routes: [{ match: { path: /x }, reply: {} }, { match: { path: /m }, reply: {} }] }\n");
  const Table table(model);
  const auto find = [&](const char* host, std::uint32_t listener, const char* target) {
    return table.find(host, listener, head_of({target}));
  };
  CHECK(find("a", 0, "/.w/t").route == 0);
  CHECK(find("nobody", 0, "/.w/t").outcome == Outcome::route);
  CHECK(find("nobody", 0, "/.w/t").host == Match::kNone);
  CHECK(find("a", 0, "/x").outcome == Outcome::redirect);
  CHECK(find("nobody", 0, "/x").outcome == Outcome::redirect);
  CHECK(find("a", 1, "/m").route == 1);
  CHECK(find("a", 1, "/x").route == 2);
  CHECK(find("a", 1, "/y").outcome == Outcome::no_route);
  CHECK(find("a", 1, "/y").host == 0);
  CHECK(find("nobody", 1, "/x").outcome == Outcome::no_host);

  REQUIRE(table.routes() == 4);
  CHECK((table.place(1).of_listener && table.place(1).owner == 1 && table.place(1).index == 0));
  CHECK((!table.place(3).of_listener && table.place(3).owner == 0 && table.place(3).index == 1));
  CHECK(&table.route(model, 3) == &model.hosts[0].routes[1]);
  CHECK(&table.route(model, 0) == &model.listeners[0].routes[0]);
}

TEST_CASE("an expression that was never validated is refused when the table is built") {
  config::Model model = model_of(kListener + "hosts: [{ names: [a], routes: [{ reply: {} }] }]\n");
  model.hosts[0].routes[0].match.path_regex.emplace("(");
  CHECK_THROWS_AS(Table(model), std::invalid_argument);
}
