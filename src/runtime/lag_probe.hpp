// Measures how late a worker's timers fire, once a second: what every request on that worker waits
// for besides its own work.
//
// Owned by the Worker and on its loop; begins with start(), ends with the object.
#pragma once

#include "sallyport/net/loop.hpp"
#include "sallyport/obs/metrics.hpp"

namespace sallyport::runtime {

class LagProbe {
 public:
  LagProbe(net::Loop& loop, const obs::Metrics& metrics, obs::Shard& shard)
      : loop_(loop), metrics_(metrics), shard_(shard) {}

  void start() { loop_.timers().arm(timer_, kPeriod, loop_.now()); }

 private:
  static constexpr base::Seconds kPeriod{1};

  void on_second() {
    metrics_.loop_lag(shard_, loop_.take_lag());
    start();
  }

  net::Loop& loop_;
  const obs::Metrics& metrics_;
  obs::Shard& shard_;
  net::MemberTimer<LagProbe, &LagProbe::on_second> timer_{*this};
};

}  // namespace sallyport::runtime
