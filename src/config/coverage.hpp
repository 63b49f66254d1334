// Which routes can never be reached, since an earlier one takes all that they would.
#pragma once

#include <cstddef>
#include <vector>

#include "sallyport/config/model.hpp"

namespace sallyport::config {

// The first route before `index` that matches whatever it matches; `index` itself if none
// provably does. Looks back over at most kMaxLookBack routes, so that ten thousand routes
// do not cost a hundred million comparisons.
[[nodiscard]] std::size_t covering_route(const std::vector<Route>& routes, std::size_t index);
inline constexpr std::size_t kMaxLookBack = 500;

}  // namespace sallyport::config
