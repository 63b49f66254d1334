// What the tests of files share: a text in, its model or its problems out.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sallyport/config/load.hpp"

#include "catch.hpp"

namespace config_test {

using sallyport::config::Model;
using sallyport::config::Problem;

inline std::vector<std::string> lines_of(const std::vector<Problem>& problems) {
  std::vector<std::string> lines;
  for (const Problem& problem : problems) lines.push_back(to_string(problem));
  return lines;
}

inline std::vector<std::string> problems_of(const std::string& text) {
  return lines_of(sallyport::config::load_text(text, "f").problems);
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return all;
}

inline Model model_of(const std::string& text, const std::filesystem::path& file = "f") {
  const sallyport::config::Loaded loaded = sallyport::config::load_text(text, file);
  INFO(joined(lines_of(loaded.problems)));
  REQUIRE(loaded.problems.empty());
  return loaded.model;
}

}  // namespace config_test
