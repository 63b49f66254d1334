// A look-up is on every request's way: it must not touch the heap.
#include <cstdlib>
#include <new>
#include <string>

#include "sallyport/config/load.hpp"
#include "sallyport/route/table.hpp"

#include "catch.hpp"

namespace {
thread_local std::size_t allocations = 0;
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size > 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size > 0 ? size : 1);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

using namespace sallyport;

TEST_CASE("a look-up allocates nothing, whatever it has to match") {
  const config::Loaded loaded = config::load_text(
      "version: 1\n"
      "listeners: [{ name: l, protocol: http, address: \"127.0.0.1:0\" }]\n"
      "hosts:\n"
      "- names: [a-rather-long-name-that-no-small-string-holds.example.com, \"*.example.com\"]\n"
      "  routes:\n"
      "  - { match: { path_regex: \"/(a|b)+/.*x\" }, reply: {} }\n"
      "  - { match: { headers: { x-user: { regex: \"[a-z]+[0-9]\" } } }, reply: {} }\n"
      "  - { match: { query: { \"a b\": { regex: \".*z\" } } }, reply: {} }\n"
      "  - { match: { methods: [PURGE] }, reply: {} }\n"
      "  - { match: { path_prefix: /ab }, reply: {} }\n",
      "f");
  REQUIRE(loaded.problems.empty());
  const route::Table table(loaded.model);
  http::RequestHead head;
  head.set_method("GET");
  head.set_target("/ab/" + std::string(500, 'y') + "?a%20b=" + std::string(500, 'z') + "y");
  head.fields.add("x-user", std::string(500, 'u'));
  for (const char* name :
       {"A-rather-long-name-that-no-small-string-holds.example.com", "other.EXAMPLE.com"}) {
    const std::size_t before = allocations;
    const route::Match match = table.find(name, 0, head);
    const std::size_t after = allocations;
    CHECK(after == before);
    CHECK(match.outcome == route::Match::Outcome::route);
    CHECK(match.route == 4);
  }
}
