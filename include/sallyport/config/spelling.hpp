// What was probably meant by a word that nothing is named: for messages about configuration, also
// of the rooms that resolve names of their own. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sallyport::config {

[[nodiscard]] std::string in_quotes(std::string_view text);  // "…", cut short, unprintable bytes as \xNN
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

// ": did you mean "x"?" for the candidate that is near enough, else "".
template <class Range>
[[nodiscard]] std::string did_you_mean(std::string_view word, const Range& candidates) {
  // A third of the letters may be wrong: "listner", "time_outs", "idel".
  std::size_t nearest = word.size() / 3 + 1;
  std::string_view best;
  for (const auto& candidate : candidates) {
    const std::string_view text = candidate;
    const std::size_t distance = edit_distance(word, text);
    if (distance <= nearest && distance < text.size()) {
      if (best.empty() || distance < nearest) best = text;
      nearest = distance;
    }
  }
  return best.empty() ? std::string() : ": did you mean " + in_quotes(best) + "?";
}

}  // namespace sallyport::config
