#include "settings.hpp"

#include <algorithm>
#include <system_error>
#include <thread>

namespace sallyport::runtime {

namespace {

obs::Level level_of(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::debug:
      return obs::Level::debug;
    case config::LogLevel::info:
      return obs::Level::info;
    case config::LogLevel::warn:
      return obs::Level::warn;
    case config::LogLevel::error:
      break;
  }
  return obs::Level::error;
}

}  // namespace

std::string target_text(const config::LogTarget& target) {
  switch (target.kind) {
    case config::LogTarget::Kind::off:
      return "off";
    case config::LogTarget::Kind::standard_output:
      return "stdout";
    case config::LogTarget::Kind::standard_error:
      return "stderr";
    case config::LogTarget::Kind::file:
      break;
  }
  return target.file.string();
}

obs::LogOptions log_options(const config::Log& from) {
  obs::LogOptions options;
  options.path = target_text(from.path);
  options.format =
      from.format == config::LogFormat::json ? obs::LogOptions::Format::json : obs::LogOptions::Format::text;
  options.level = from.path.kind == config::LogTarget::Kind::off ? obs::Level::off : level_of(from.level);
  return options;
}

obs::AccessLogOptions access_options(const config::AccessLog& from, obs::Log& log) {
  obs::AccessLogOptions options;
  options.path = target_text(from.path);
  options.ring_bytes = from.ring;
  options.on_error = [&log](int error) {
    log.error("access_log_failed", {{"error", std::generic_category().message(error)}});
  };
  return options;
}

obs::HistogramBuckets buckets_of(const config::Metrics& from) {
  return {obs::Buckets::of_seconds(from.buckets.handshake), obs::Buckets::of_seconds(from.buckets.request),
          obs::Buckets::of_seconds(from.buckets.reload)};
}

std::uint32_t worker_count(const config::Model& model) {
  if (model.workers != 0) return model.workers;
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace sallyport::runtime
