// Fuzzes the expressions of routes: any text compiles or says why not, and a match does not depend
// on how the text comes: whole or byte by byte. The first line is the expression, the rest the text.
#include "sallyport/config/pattern.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using sallyport::config::Pattern;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  const std::string_view expression = input.substr(0, line);
  const std::string_view text = line == std::string_view::npos ? std::string_view{} : input.substr(line + 1);
  const auto compiled = Pattern::compile(expression);
  if (const auto* why = std::get_if<std::string>(&compiled)) {
    if (why->empty()) std::abort();
    return 0;
  }
  const Pattern& pattern = std::get<Pattern>(compiled);
  Pattern::Run run(pattern);
  bool possible = true;
  for (const char c : text) {
    if (possible) possible = run.feed(c);
  }
  if (pattern.matches(text) != (possible && run.matched())) std::abort();
  return 0;
}
