// Text of a stranger, made fit for a terminal and for JSON: control characters, what turns the
// direction of writing, and what is no UTF-8 become escapes such as \x1b.
#pragma once

#include <string>
#include <string_view>

namespace sallyport::cli {

[[nodiscard]] std::string printable(std::string_view text);

}  // namespace sallyport::cli
