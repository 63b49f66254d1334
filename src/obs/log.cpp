#include "sallyport/obs/log.hpp"

#include <cerrno>
#include <cmath>
#include <mutex>
#include <system_error>

#include <spdlog/details/file_helper.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "json.hpp"

namespace sallyport::obs {

namespace {

spdlog::level::level_enum spd(Level level) noexcept {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::off:
      break;
  }
  return spdlog::level::off;
}

// A file that can be opened anew under its name; if that fails the one in use stays.
class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(std::string path) : path_(std::move(path)), file_(open()) {}

  void reopen() {
    auto fresh = open();
    const std::lock_guard lock(mutex_);
    file_ = std::move(fresh);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    file_->write(line);
  }
  void flush_() override { file_->flush(); }

 private:
  [[nodiscard]] std::unique_ptr<spdlog::details::file_helper> open() const {
    auto file = std::make_unique<spdlog::details::file_helper>();
    file->open(path_);
    return file;
  }

  const std::string path_;
  std::unique_ptr<spdlog::details::file_helper> file_;
};

void append(std::string& line, std::string_view text) {
  const std::size_t before = line.size();
  line.resize(before + 2 + json::kExpansion * text.size());
  const char* end = json::put_text(line.data() + before, text);
  line.resize(static_cast<std::size_t>(end - line.data()));
}

void append(std::string& line, std::int64_t n) {
  line += std::to_string(n);
}
void append(std::string& line, std::uint64_t n) {
  line += std::to_string(n);
}
void append(std::string& line, bool b) {
  line += b ? "true" : "false";
}
void append(std::string& line, double d) {
  if (!std::isfinite(d)) {
    line += "null";
    return;
  }
  std::array<char, 32> digits;
  line.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), d).ptr);
}

std::string stamp(base::WallTime when) {
  const auto since = when.time_since_epoch();
  const auto second = std::chrono::floor<std::chrono::seconds>(since);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(since - second);
  std::array<char, json::kStamp + 8> text;
  char* end = json::put_stamp(text.data(), second.count());
  end = json::put_micros(end, static_cast<std::uint32_t>(micros.count()));
  *end++ = 'Z';
  return {text.data(), end};
}

template <class Range>
std::string format(LogOptions::Format format, base::WallTime when, Level level, std::string_view name,
                   const Range& fields, std::uint64_t held_back) {
  const bool as_json = format == LogOptions::Format::json;
  std::string line = as_json ? "{\"time\":\"" + stamp(when) + "\",\"level\":" : stamp(when) + ' ';
  if (as_json) {
    append(line, to_string(level));
    line += ",\"event\":";
    append(line, name);
  } else {
    line.append(to_string(level)).append(" ").append(name);
  }
  const auto add = [&line, as_json](const Field& field) {
    if (as_json) {
      line += ',';
      append(line, field.name);
      line += ':';
    } else {
      line.append(" ").append(field.name).append("=");
    }
    std::visit([&line](const auto& value) { append(line, value); }, field.value);
  };
  for (const Field& field : fields) add(field);
  if (held_back > 0) add(Field("held_back", held_back));
  if (as_json) line += '}';
  return line;
}

}  // namespace

std::string_view to_string(Level level) noexcept {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warn";
    case Level::error:
      return "error";
    case Level::off:
      break;
  }
  return "off";
}

RateLimit::RateLimit(std::uint32_t burst, base::Duration interval) noexcept
    : burst_(burst), interval_(interval) {}

// A leaky bucket kept as one instant: each event that passes moves it on by one interval, and it
// may run ahead of now by `burst` intervals.
RateLimit::Verdict RateLimit::admit(base::Instant now) noexcept {
  const base::Instant from = full_ < now ? now : full_;
  if (from + interval_ > now + interval_ * burst_) {
    ++held_back_;
    return {};
  }
  full_ = from + interval_;
  return {true, std::exchange(held_back_, 0)};
}

struct Log::State {
  LogOptions::Format format;
  std::shared_ptr<FileSink> file;  // null: stderr or stdout
  std::shared_ptr<spdlog::logger> logger;
};

Log::Log(const LogOptions& options) : state_(std::make_unique<State>()) {
  state_->format = options.format;
  spdlog::sink_ptr sink;
  if (options.path == "stderr") {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else if (options.path == "stdout") {
    sink = std::make_shared<spdlog::sinks::stdout_sink_mt>();
  } else {
    try {
      state_->file = std::make_shared<FileSink>(options.path);
    } catch (const spdlog::spdlog_ex& e) {
      throw std::system_error(errno, std::generic_category(), e.what());
    }
    sink = state_->file;
  }
  state_->logger = std::make_shared<spdlog::logger>("sallyport", std::move(sink));
  state_->logger->set_pattern("%v");
  state_->logger->flush_on(spdlog::level::trace);  // an event is rare, and wanted when the process dies next
  set_level(options.level);
}

Log::~Log() = default;

bool Log::enabled(Level level) const noexcept {
  return state_->logger->should_log(spd(level));
}

void Log::set_level(Level level) noexcept {
  state_->logger->set_level(spd(level));
}

void Log::write(Level level, std::string_view name, Fields fields, std::uint64_t held_back) noexcept {
  try {
    const std::string line = format(state_->format, base::WallClock::now(), level, name, fields, held_back);
    state_->logger->log(spd(level), spdlog::string_view_t(line.data(), line.size()));
  } catch (...) {
    // Out of memory: the event is lost, the caller goes on.
  }
}

void Log::event(Level level, std::string_view name, Fields fields) noexcept {
  if (enabled(level)) write(level, name, fields, 0);
}

void Log::event(RateLimit& limit, base::Instant now, Level level, std::string_view name,
                Fields fields) noexcept {
  if (!enabled(level)) return;
  if (const auto verdict = limit.admit(now); verdict.pass) write(level, name, fields, verdict.held_back);
}

bool Log::reopen() noexcept {
  if (state_->file == nullptr) return true;
  try {
    state_->file->reopen();
    return true;
  } catch (...) {
    return false;
  }
}

void Log::flush() noexcept {
  try {
    state_->logger->flush();
  } catch (...) {
    // The next line tries again.
  }
}

std::string format_event(LogOptions::Format format_, base::WallTime when, Level level, std::string_view name,
                         const std::vector<Field>& fields) {
  return format(format_, when, level, name, fields, 0);
}

}  // namespace sallyport::obs
