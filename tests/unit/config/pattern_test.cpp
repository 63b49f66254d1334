// Regular expressions: what they match, what is refused, and that no text makes them slow.
#include "sallyport/config/pattern.hpp"

#include <regex>
#include <string>
#include <vector>

#include "catch.hpp"

using sallyport::config::Pattern;

namespace {

Pattern pattern_of(const std::string& text) {
  auto result = Pattern::compile(text);
  INFO(text);
  REQUIRE(std::holds_alternative<Pattern>(result));
  return std::get<Pattern>(std::move(result));
}

// All texts of up to `length` letters of "abc/".
std::vector<std::string> words(std::size_t length) {
  std::vector<std::string> all{""};
  for (std::size_t from = 0, n = 0; n < length; ++n) {
    const std::size_t to = all.size();
    for (; from < to; ++from) {
      for (const char c : std::string("abc/")) all.push_back(all[from] + c);
    }
  }
  return all;
}

}  // namespace

TEST_CASE("patterns agree with another implementation on all short texts") {
  for (const char* text :
       {"",        "a",           "abc",    "a*",       "a+",          "a?",           "a|b",
        "(a|b)*c", "(ab)+",       "a{2}",   "a{2,}",    "a{1,3}b",     "(a{0,2}b){2}", ".",
        ".*a.*",   "[ab]+",       "[^a]*",  "[a-c]{3}", "(?:a|bc)*",   "a||b",         "(a*)*",
        "(a+)+b",  "((a|b)?c)*",  "^ab$",   "a*b*c*",   "(a?){3}",     "()",           "(|a)b",
        "a{0}",    "(a|b){0,2}/", "\\/a",   "[/]?a",    "[^/]+/[^/]+", "(a*b*)*c",     "\\w+",
        "\\W",     "\\d*",        "[\\w/]*"}) {
    const Pattern pattern = pattern_of(text);
    const std::regex other(text);
    for (const std::string& word : words(5)) {
      if (pattern.matches(word) != std::regex_match(word, other)) {
        INFO(text << " on " << word);
        CHECK(pattern.matches(word) == std::regex_match(word, other));
      }
    }
  }
}

TEST_CASE("the case is folded where (?i) asks for it") {
  CHECK(pattern_of("(?i)/Ab[c-d]").matches("/aBD"));
  CHECK_FALSE(pattern_of("/ab").matches("/AB"));
  CHECK_FALSE(pattern_of("(?i)[^a]").matches("A"));
}

TEST_CASE("any byte is a letter") {
  CHECK(pattern_of(".+").matches(std::string("\0\n\xff", 3)));
  CHECK(pattern_of("[^/]").matches("\n"));
  CHECK(pattern_of("ü").matches("ü"));
  CHECK(pattern_of("[]a]+").matches("]a"));
  CHECK(pattern_of("[a-]+").matches("a-"));
  CHECK(pattern_of("\\.\\$\\{").matches(".${"));
}

TEST_CASE("what is no expression, or would need backtracking, is refused with a reason") {
  for (const char* text : {"(",      ")",   "a)",  "[",    "[a",          "[b-a]",  "*",     "+a",      "a|*",
                           "?",      "{2}", "a{",  "a{2",  "a{2,1}",      "a{256}", "a{x}",  "a**?",    "a*?",
                           "a++",    "\\",  "\\1", "\\b",  "\\x41",       "(?=a)",  "(?!a)", "(?<n>a)", "(?i",
                           "a(?i)b", "a^",  "a$b", "(^a)", "[[:alpha:]]", "[\\d-z"}) {
    INFO(text);
    const auto result = Pattern::compile(text);
    REQUIRE(std::holds_alternative<std::string>(result));
    CHECK_FALSE(std::get<std::string>(result).empty());
  }
}

TEST_CASE("an expression that would grow without bound is refused") {
  const auto refused = [](const std::string& text) {
    return std::holds_alternative<std::string>(Pattern::compile(text));
  };
  CHECK(refused(std::string(1025, 'a')));
  CHECK(refused("(((a{255}){255}){255}){255}"));
  CHECK(refused("((((){255}){255}){255}){255}"));
  CHECK(refused(std::string(500, '(') + std::string(500, ')')));
  CHECK(refused(std::string(513, 'a')));
  CHECK_FALSE(refused(std::string(512, 'a')));
}

TEST_CASE("ReDoS: a text made to be costly for backtracking costs no more than any other") {
  const std::string text(64 * 1024, 'a');
  // Backtracking needs 2^65536 steps here; this test would not end.
  for (const char* evil : {"(a+)+b", "(a*)*b", "(a|a)*b", "(.*)(.*)(.*)(.*)b", "(a?){60}a{60}b"})
    CHECK_FALSE(pattern_of(evil).matches(text));
}
