#include "sallyport/upstream/ejection.hpp"

#include <algorithm>

namespace sallyport::upstream {

bool Ejection::failed(const config::Ejection& policy) noexcept {
  if (policy.failures == 0 || out_) return false;
  ++failures_;
  return failures_ >= policy.failures;
}

base::Milliseconds Ejection::eject(const config::Ejection& policy) noexcept {
  base::Milliseconds time = policy.time;
  for (std::uint32_t i = 0; i < times_ && time < policy.max_time; ++i) time *= 2;
  ++times_;
  failures_ = 0;
  out_ = true;
  return std::min(time, policy.max_time);
}

bool Ejection::room(const config::Ejection& policy, std::size_t endpoints, std::size_t out) noexcept {
  return (out + 1) * 100 <= endpoints * policy.max_ejected.value;
}

}  // namespace sallyport::upstream
