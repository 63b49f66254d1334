// Each row: a path, and what becomes of it by the default rules and by others; "!" is a refusal.
#include "sallyport/http/path.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"

namespace sallyport::http {
namespace {

using Rules = PathRules;

std::string normal(std::string_view path, const Rules& rules = {}) {
  std::string out;
  switch (normalize_path(path, rules, out)) {
    case PathVerdict::as_is:
      return std::string(path);
    case PathVerdict::changed:
      CHECK(out != path);
      return out;
    case PathVerdict::refused:
      break;
  }
  return "!";
}

struct Row {
  std::string_view path, expected;
};

void check(std::initializer_list<Row> rows, const Rules& rules = {}) {
  for (const Row& row : rows) {
    INFO(row.path);
    CHECK(normal(row.path, rules) == row.expected);
  }
}

}  // namespace

TEST_CASE("what has nothing to normalise stays as it is") {
  for (const char* path :
       {"/", "/a", "/a/b/", "/a.b/c..d/..e/f../...", "/.well-known/x", "/a;b=c/d",
        "/a:b@c!$&'()*+,=", "/%C3%A4", "/a%20b", "/%7B%25%7D", "//", "/a//b/", "/100%25", "/%2525", "/x%2Fy"})
    CHECK(normal(path) == path);
}

TEST_CASE("dot segments are resolved, however they are written") {
  check({{"/.", "/"},
         {"/..", "/"},
         {"/./", "/"},
         {"/../", "/"},
         {"/a/.", "/a/"},
         {"/a/..", "/"},
         {"/a/./b", "/a/b"},
         {"/a/../b", "/b"},
         {"/a/b/..", "/a/"},
         {"/a/b/../", "/a/"},
         {"/a/b/c/./../../g", "/a/g"},
         {"/../../etc/passwd", "/etc/passwd"},
         {"/public/../admin", "/admin"},
         {"/public/%2e%2e/admin", "/admin"},
         {"/public/.%2E/admin", "/admin"},
         {"/public/%2e/admin", "/public/admin"},
         {"/a//../b", "/a/b"},
         {"/.//x", "//x"},
         {"/a/...", "/a/..."},
         {"/..a/b..", "/..a/b.."}});
}

TEST_CASE("hidden dot segments are refused: no two recipients would agree on them") {
  for (const char* path : {"/a%2f..%2fadmin",     "/a/..%2fadmin",
                           "/a/%2e%2e%2fadmin",   "/a%2F%2E%2E",
                           "/a/..%5cadmin",       "/a/..\\admin",
                           "/a\\..\\admin",       "/a/%252e%252e/admin",
                           "/a/%25252e%2e/admin", "/a/%252e%252e%252fadmin",
                           "/a/..%252fadmin",     "/a/..;/admin",
                           "/a/..;x=y/admin",     "/a/%2e%2e;/admin",
                           "/a/..%3b/admin",      "/a/.;/admin",
                           "/a/..%255cadmin",     "/%2e%2e%5c",
                           "/a/.%252e",           "/%2f.."})
    CHECK(normal(path) == "!");
  check({{"/a%2fb", "/a%2Fb"},
         {"/a%2f..b", "/a%2F..b"},
         {"/a%252eb", "/a%252eb"},
         {"/a;..", "/a;.."},
         {"/a%252", "/a%252"}});
}

TEST_CASE("escapes that mean nothing go, the others are written in capitals") {
  check({{"/%61dmin", "/admin"},
         {"/%41%5A%30%39%2d%5f%7e", "/AZ09-_~"},
         {"/%c3%a4", "/%C3%A4"},
         {"/%3f%23%3a%40", "/%3F%23%3A%40"},
         {"/%25%36%31", "/%2561"},
         {"/%0a%0d%7f", "/%0A%0D%7F"}});
  Rules kept;
  kept.escapes = Rules::Escapes::keep;
  check({{"/%61%c3%2d", "/%61%c3%2d"},
         {"/a/%2e%2E/b", "/b"},
         {"/a%2eb", "/a.b"},
         {"/a%2fb%5c", "/a%2fb%5c"},
         {"/%zz", "!"}},
        kept);
}

TEST_CASE("what is no escape, and NUL, is refused whatever the rules") {
  Rules lax;
  lax.dot_segments = Rules::Dots::keep;
  lax.escapes = Rules::Escapes::keep;
  for (const Rules& rules : {Rules{}, lax}) {
    for (const char* path : {"/%", "/%4", "/a%", "/a%4", "/%zz", "/%4g", "/%g4", "/%-1", "/%%41", "/%00",
                             "/a%00.html", "/%0", "/% 41"})
      CHECK(normal(path, rules) == "!");
  }
}

TEST_CASE("slashes: by rule") {
  Rules rules;
  rules.escaped_slashes = Rules::Slashes::decode;
  check({{"/a%2fb", "/a/b"},
         {"/a%5Cb", "/a/b"},
         {"/a\\b", "/a/b"},
         {"/a%2f..%2fadmin", "/admin"},
         {"/a%252fb", "/a%252fb"},
         {"/a%252f..%252fb", "!"},
         {"/a/%2fb", "/a//b"}},
        rules);
  rules.repeated_slashes = Rules::Repeated::merge;
  check({{"//", "/"},
         {"/a///b//", "/a/b/"},
         {"/a/%2fb", "/a/b"},
         {"/a//../b", "/b"},
         {"/.//x", "/x"},
         {"/a\\\\b", "/a/b"}},
        rules);
  rules.repeated_slashes = Rules::Repeated::reject;
  check({{"//", "!"}, {"/a//b", "!"}, {"/a/%2fb", "!"}, {"/a/b", "/a/b"}}, rules);
  rules.escaped_slashes = Rules::Slashes::reject;
  check({{"/a%2fb", "!"}, {"/a%5cb", "!"}, {"/a\\b", "!"}, {"/a%252fb", "/a%252fb"}, {"/a%3Fb", "/a%3Fb"}},
        rules);
  rules.escaped_slashes = Rules::Slashes::keep;
  check({{"/a\\b", "/a%5Cb"}, {"/a%5cb", "/a%5Cb"}}, rules);
}

TEST_CASE("dot segments: refused or kept by rule") {
  Rules rules;
  rules.dot_segments = Rules::Dots::reject;
  check({{"/a/../b", "!"}, {"/./a", "!"}, {"/a/%2e%2e", "!"}, {"/a/..;/b", "!"}, {"/a/..b", "/a/..b"}},
        rules);
  rules.dot_segments = Rules::Dots::keep;
  check({{"/a/../b", "/a/../b"}, {"/a/..%2fb", "/a/..%2Fb"}, {"/a/%2e%2e", "/a/.."}}, rules);
  rules.escapes = Rules::Escapes::keep;
  check({{"/a/%2e%2e", "/a/%2e%2e"}}, rules);
}

// Every path up to a length over the letters that matter, by all rules.
TEST_CASE("the result is a fixed point and holds none of what the rules exclude") {
  const std::vector<std::string_view> parts = {"/",  ".",   "..", "%2e", "%2f", "%5C",
                                               "\\", "%25", "2e", "a",   ";",   "%61"};
  std::size_t count = 0;
  std::string out;
  for (int dots = 0; dots < 3; ++dots)
    for (int slashes = 0; slashes < 3; ++slashes)
      for (int repeated = 0; repeated < 3; ++repeated)
        for (int escapes = 0; escapes < 2; ++escapes)
          for (std::size_t n = 0; n < 12 * 12 * 12 * 12; ++n) {
            const Rules rules{static_cast<Rules::Dots>(dots), static_cast<Rules::Slashes>(slashes),
                              static_cast<Rules::Repeated>(repeated), static_cast<Rules::Escapes>(escapes)};
            std::string path = "/";
            for (std::size_t i = 0, m = n; i < 4; ++i, m /= 12) path += parts[m % 12];
            if (normalize_path(path, rules, out) == PathVerdict::refused) continue;
            ++count;
            const std::string once = normal(path, rules);
            const std::string bounded = "/" + once + "/";
            const bool same = normal(once, rules) == once;
            const bool dotted = dots != 2 && (bounded.find("/./") != std::string::npos ||
                                              bounded.find("/../") != std::string::npos);
            const bool doubled = repeated != 0 && once.find("//") != std::string::npos;
            if (!same || dotted || doubled || once.front() != '/' || once.find('\\') != std::string::npos) {
              INFO(path << " → " << once << " → " << normal(once, rules));
              FAIL("by rules " << dots << slashes << repeated << escapes);
            }
          }
  CHECK(count > 100'000);
}

}  // namespace sallyport::http
