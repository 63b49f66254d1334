// Measures how late a worker's timers fire, once a second: what every request on that worker waits
// for besides its own work.
//
// Owned by the Worker and on its loop; begins with start(), ends with the object.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>

#include "sallyport/net/loop.hpp"
#include "sallyport/obs/metrics.hpp"

namespace sallyport::runtime {

class LagProbe {
 public:
  LagProbe(net::Loop& loop, const obs::Metrics& metrics, obs::Shard& shard)
      : metrics_(metrics), shard_(shard), timer_(loop.io()) {}

  void start() {
    timer_.expires_after(kPeriod);
    timer_.async_wait([this](const boost::system::error_code& ec) {
      if (ec) return;
      metrics_.loop_lag(shard_, base::Clock::now() - timer_.expiry());
      start();
    });
  }

 private:
  static constexpr base::Seconds kPeriod{1};
  using Timer =
      boost::asio::basic_waitable_timer<base::Clock, boost::asio::wait_traits<base::Clock>, net::Executor>;

  const obs::Metrics& metrics_;
  obs::Shard& shard_;
  Timer timer_;
};

}  // namespace sallyport::runtime
