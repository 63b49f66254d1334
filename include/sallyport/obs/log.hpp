// Events for people and machines: one line each, a name and fields, JSON or text.
//
// Log is owned by the server and passed by reference; any thread may write (spdlog's sink holds
// a lock for the one write), so it is for what is rare: start, reload, a failed handshake under
// a RateLimit. Requests go to the access log. Text from a client may stand in a field's value:
// it is escaped, so that nobody can forge a line or send a terminal control codes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"

namespace sallyport::obs {

enum class Level : std::uint8_t { debug, info, warn, error, off };
[[nodiscard]] std::string_view to_string(Level level) noexcept;

// A name and a value; both are borrowed for the call.
struct Field {
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  template <class T>
  Field(std::string_view field, const T& v) : name(field), value(convert(v)) {}

  std::string_view name;
  Value value;

 private:
  template <class T>
  static Value convert(const T& v) {
    if constexpr (std::is_same_v<T, bool>) {
      return v;
    } else if constexpr (std::is_floating_point_v<T>) {
      return static_cast<double>(v);
    } else if constexpr (std::is_integral_v<T> && std::is_unsigned_v<T>) {
      return static_cast<std::uint64_t>(v);
    } else if constexpr (std::is_integral_v<T>) {
      return static_cast<std::int64_t>(v);
    } else if constexpr (std::is_same_v<T, base::ErrorCode> || std::is_same_v<T, base::Fault>) {
      return base::to_string(v);
    } else {
      return std::string_view(v);
    }
  }
};
using Fields = std::initializer_list<Field>;

// Lets `burst` events through at once and then one per `interval`; counts what it held back.
// Pure: time is passed in. One thread.
class RateLimit {
 public:
  RateLimit(std::uint32_t burst, base::Duration interval) noexcept;

  struct Verdict {
    bool pass = false;
    std::uint64_t held_back = 0;  // since the last one that passed
  };
  [[nodiscard]] Verdict admit(base::Instant now) noexcept;

 private:
  std::uint32_t burst_;
  base::Duration interval_;
  base::Instant full_{};  // when all of the burst will be there again
  std::uint64_t held_back_ = 0;
};

struct LogOptions {
  enum class Format : std::uint8_t { json, text };
  std::string path = "stderr";  // stderr | stdout | a file's path
  Format format = Format::json;
  Level level = Level::info;
};

class Log {
 public:
  // Throws std::system_error if the file cannot be opened.
  explicit Log(const LogOptions& options);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log();

  [[nodiscard]] bool enabled(Level level) const noexcept;
  void set_level(Level level) noexcept;

  void event(Level level, std::string_view name, Fields fields = {}) noexcept;
  void debug(std::string_view name, Fields fields = {}) noexcept { event(Level::debug, name, fields); }
  void info(std::string_view name, Fields fields = {}) noexcept { event(Level::info, name, fields); }
  void warn(std::string_view name, Fields fields = {}) noexcept { event(Level::warn, name, fields); }
  void error(std::string_view name, Fields fields = {}) noexcept { event(Level::error, name, fields); }
  // Writes if the limit lets it; a line that passes after others were held back says how many.
  void event(RateLimit& limit, base::Instant now, Level level, std::string_view name, Fields fields) noexcept;

  // Opens the file anew (after logrotate moved it). If that fails the old one stays in use; false.
  bool reopen() noexcept;
  void flush() noexcept;

 private:
  void write(Level level, std::string_view name, Fields fields, std::uint64_t held_back) noexcept;

  struct State;
  std::unique_ptr<State> state_;
};

// The line without its end, for tests: pure.
[[nodiscard]] std::string format_event(LogOptions::Format format, base::WallTime when, Level level,
                                       std::string_view name, const std::vector<Field>& fields);

}  // namespace sallyport::obs
