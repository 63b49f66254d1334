// What a text says, with the whole of it shown when it does not.
#pragma once

#include <string>
#include <string_view>

#include "catch.hpp"

namespace tls_test {

inline bool has(const std::string& text, std::string_view part) {
  UNSCOPED_INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace tls_test
