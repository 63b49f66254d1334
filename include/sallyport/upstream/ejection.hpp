// Passive ejection: whether what an endpoint did lately means to pass it over for a while.
//
// One per endpoint address and worker, pure: the pool holds the clock and the bound on how many
// may be out at once. Failures that count: no connection, resets, timeouts, 502/503/504. The
// time out of service doubles with each ejection in a row; one success starts over.
#pragma once

#include <cstdint>

#include "sallyport/base/clock.hpp"
#include "sallyport/config/model.hpp"

namespace sallyport::upstream {

class Ejection {
 public:
  void succeeded() noexcept { failures_ = times_ = 0; }
  // True when the failures in a row have reached the policy's count: eject(), if there is room.
  [[nodiscard]] bool failed(const config::Ejection& policy) noexcept;
  // Begins an ejection; returns for how long. Counting starts over.
  [[nodiscard]] base::Milliseconds eject(const config::Ejection& policy) noexcept;
  void returned() noexcept { out_ = false; }
  [[nodiscard]] bool out() const noexcept { return out_; }

  // Whether one more of `endpoints` may be taken out while `out` of them are.
  [[nodiscard]] static bool room(const config::Ejection& policy, std::size_t endpoints,
                                 std::size_t out) noexcept;

 private:
  std::uint32_t failures_ = 0;
  std::uint32_t times_ = 0;
  bool out_ = false;
};

}  // namespace sallyport::upstream
