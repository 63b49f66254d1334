// Just enough JSON to write: the values are passed as JSON already.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "message.hpp"

namespace sallyport::demo::json {

using Member = std::pair<std::string, std::string>;

// A string. Bytes outside ASCII are written as the code points of Latin-1, so that any octets survive.
[[nodiscard]] std::string text(std::string_view bytes);
[[nodiscard]] std::string object(const std::vector<Member>& members);
// [["name", "value"], …]
[[nodiscard]] std::string fields(const Fields& list);

}  // namespace sallyport::demo::json
