// What the model says about logs, metrics and workers, as those take it. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "sallyport/config/model.hpp"
#include "sallyport/obs/access_log.hpp"
#include "sallyport/obs/log.hpp"
#include "sallyport/obs/metrics.hpp"

namespace sallyport::runtime {

[[nodiscard]] std::string target_text(const config::LogTarget& target);
[[nodiscard]] obs::LogOptions log_options(const config::Log& from);
// `log` is told of the access log's failures, and outlives it.
[[nodiscard]] obs::AccessLogOptions access_options(const config::AccessLog& from, obs::Log& log);
[[nodiscard]] obs::HistogramBuckets buckets_of(const config::Metrics& from);
[[nodiscard]] std::uint32_t worker_count(const config::Model& model);

}  // namespace sallyport::runtime
