// Whether a server that chose h2 by ALPN speaks it: its first frame must be SETTINGS (RFC 9113 §3.4).
//
// For `sallyport probe`, which looks at the first frame and no further. Bytes in, facts out; bounded;
// one connection, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::http2 {

// The client's preface with empty SETTINGS; and what ends the connection in good order.
[[nodiscard]] std::string_view client_greeting() noexcept;
[[nodiscard]] std::string_view client_farewell() noexcept;

// What the server said; nothing where it left the default (RFC 9113 §6.5.2).
struct ServerSettings {
  std::optional<std::uint32_t> max_concurrent_streams, initial_window_size, max_frame_size,
      max_header_list_size, enable_connect_protocol;
};

class GreetingReader {
 public:
  // More is no greeting: a server has some ten settings of 6 bytes each.
  static constexpr std::size_t kMaxSettings = 4096;
  enum class State : std::uint8_t {
    need_more,
    settings,
    goaway,  // it speaks h2 and wants none of it
    not_h2,
  };
  State feed(std::span<const char> bytes);
  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] const ServerSettings& settings() const noexcept { return settings_; }
  [[nodiscard]] std::uint32_t goaway_code() const noexcept { return goaway_code_; }

 private:
  void judge();
  void read_settings(std::span<const std::uint8_t> body);

  std::vector<std::uint8_t> frame_;
  ServerSettings settings_;
  std::uint32_t goaway_code_ = 0;
  State state_ = State::need_more;
};

}  // namespace sallyport::http2
