// From YAML text to a Model, and from a Model to what is wrong with it.
//
// Neither throws for anything a file can contain: each collects every problem it can find, not
// the first, with the place and what to do. Used at start, at reload (control loop) and by
// `check`; nothing here runs on a worker. A Model with an error among its problems is unfit to
// be served from, warnings are to be logged.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/config/model.hpp"

namespace sallyport::config {

inline constexpr std::size_t kMaxFileBytes = 16 * kMiB;  // ten thousand hosts need about 4 MiB

struct Problem {
  enum class Severity : std::uint8_t { error, warning };
  Severity severity = Severity::error;
  Origin origin;
  std::string text;  // "unknown key \"listner\": did you mean \"listeners\"?"
};
[[nodiscard]] std::string to_string(const Problem& problem);  // "file:line:column: error: text"
[[nodiscard]] bool has_errors(const std::vector<Problem>& problems) noexcept;

struct Loaded {
  Model model;                    // what could be read; defaults for the rest
  std::vector<Problem> problems;  // in the file's order
};

// Syntax, keys, types, values. Does not look at any other file.
[[nodiscard]] Loaded load(const std::filesystem::path& file);
// The same for text; `file` names it in problems and is what relative paths are resolved against.
[[nodiscard]] Loaded load_text(std::string_view text, const std::filesystem::path& file);

// What the parts mean together: references, uniqueness, ranges, routes that cannot be reached.
[[nodiscard]] std::vector<Problem> validate(const Model& model);
// The part of validate() that needs the hosts' names. The builder calls it again once it has
// filled in the names of hosts that take theirs from their certificates.
[[nodiscard]] std::vector<Problem> validate_names(const Model& model);

// load() and, where that found no error, validate().
[[nodiscard]] Loaded load_and_validate(const std::filesystem::path& file);

// The JSON Schema (draft 2020-12) of the file, made from the same table that load() reads by.
[[nodiscard]] std::string json_schema();

}  // namespace sallyport::config
