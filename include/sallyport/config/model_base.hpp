// What all parts of the model are made of: units, and where in the file something stands.
// Part of model.hpp, which tells how the model is made and used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "sallyport/base/clock.hpp"

namespace sallyport::config {

using base::Milliseconds;
using std::chrono_literals::operator""h;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * kKiB;

// Where in the file something stands; line and column count from 1, 0 = nowhere (a default).
// All Origins are equal: moving a host in the file does not change it.
struct Origin {
  std::shared_ptr<const std::string> file;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  bool operator==(const Origin&) const noexcept { return true; }
};
[[nodiscard]] std::string to_string(const Origin& origin);  // "sallyport.yaml:12:5"

struct Percent {
  std::uint32_t value = 0;  // 0-100
  bool operator==(const Percent&) const = default;
};

}  // namespace sallyport::config
