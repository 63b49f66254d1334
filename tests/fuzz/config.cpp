// The configuration: any bytes give a model and problems; what loads without an error can be
// validated, and its paths and expressions compiled. Nothing throws, nothing runs away.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sallyport/config/load.hpp"
#include "sallyport/config/pattern.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport::config;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Loaded loaded = load_text(text, "fuzz/sallyport.yaml");
  for (const Problem& problem : loaded.problems) {
    if (problem.text.empty() || to_string(problem).empty()) std::abort();
  }
  // Also of a model that is only half right: validate() must not lean on what load() refused.
  (void)validate(loaded.model);
  if (!has_errors(loaded.problems) && load_text(text, "fuzz/sallyport.yaml").model != loaded.model)
    std::abort();

  const std::size_t half = text.size() / 2;
  const auto pattern = Pattern::compile(text.substr(0, half));
  if (const auto* compiled = std::get_if<Pattern>(&pattern)) (void)compiled->matches(text.substr(half));
  return 0;
}
