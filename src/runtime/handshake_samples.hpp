// Which of the successful handshakes are logged: one in so many, and not more a second than asked.
//
// One a worker, on its thread. It counts rather than throws dice: what is logged of a given
// number of handshakes is known beforehand, the first one always.
#pragma once

#include <cstdint>

#include "sallyport/base/clock.hpp"
#include "sallyport/config/model_tls.hpp"
#include "sallyport/obs/log.hpp"

namespace sallyport::runtime {

class HandshakeSamples {
 public:
  // A reload that changes nothing here does not begin anew.
  void use(const config::HandshakeSamples& wanted) noexcept {
    if (wanted == wanted_) return;
    wanted_ = wanted;
    passed_over_ = 0;
    begun_ = false;
    const std::uint32_t per_second = wanted.per_second == 0 ? 1 : wanted.per_second;
    limit_ = obs::RateLimit(per_second, base::Duration(base::Seconds(1)) / per_second);
  }

  // For each handshake that was done. held_back: chosen ones that were too many in their second.
  [[nodiscard]] obs::RateLimit::Verdict next(base::Instant now) noexcept {
    if (wanted_.one_in == 0) return {};
    if (begun_ && ++passed_over_ < wanted_.one_in) return {};
    begun_ = true;
    passed_over_ = 0;
    return limit_.admit(now);
  }

 private:
  config::HandshakeSamples wanted_{0, 1};
  obs::RateLimit limit_{1, base::Seconds(1)};
  std::uint32_t passed_over_ = 0;  // since the last one that was chosen
  bool begun_ = false;
};

}  // namespace sallyport::runtime
