// Counts the questions to OCSP responders. Made once by the Server, on the control thread.
#pragma once

#include <string_view>

#include "sallyport/obs/registry.hpp"

namespace sallyport::obs {

class StapleMetrics {
 public:
  explicit StapleMetrics(Registry& registry);
  // `result`: ok | unreachable | timeout | refused | invalid | revoked.
  void fetched(std::string_view result);

 private:
  Registry& registry_;
  Registry::FamilyRef fetches_;
};

}  // namespace sallyport::obs
