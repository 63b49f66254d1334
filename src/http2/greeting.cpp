#include "sallyport/http2/greeting.hpp"

namespace sallyport::http2 {

namespace {

using namespace std::string_view_literals;

constexpr std::size_t kFrameHeader = 9;
constexpr std::uint8_t kSettings = 4;
constexpr std::uint8_t kGoaway = 7;

std::uint32_t number(std::span<const std::uint8_t> bytes) {
  std::uint32_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

}  // namespace

std::string_view client_greeting() noexcept {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"sv;
}

std::string_view client_farewell() noexcept {
  // SETTINGS with ACK, GOAWAY without an error.
  return "\0\0\0\x04\x01\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0"sv;
}

GreetingReader::State GreetingReader::feed(std::span<const char> bytes) {
  for (const char byte : bytes) {
    if (state_ != State::need_more) break;
    frame_.push_back(static_cast<std::uint8_t>(byte));
    judge();
  }
  return state_;
}

// As early as it can be told: who does not speak h2 may say less than a frame.
void GreetingReader::judge() {
  constexpr std::size_t kType = 3;
  if (frame_.size() <= kType) return;
  const std::size_t size = number(std::span(frame_).first(3));
  const std::uint8_t type = frame_[kType];
  if ((type != kSettings && type != kGoaway) || size > kMaxSettings) {
    state_ = State::not_h2;
    return;
  }
  if (frame_.size() < kFrameHeader + size) return;
  const auto body = std::span<const std::uint8_t>(frame_).subspan(kFrameHeader);
  const bool acknowledges = (frame_[4] & 1) != 0;
  const bool on_connection = number(std::span(frame_).subspan(5, 4)) == 0;
  const bool fits = type == kSettings ? size % 6 == 0 && !acknowledges : size >= 8;
  if (!fits || !on_connection) {
    state_ = State::not_h2;
  } else if (type == kGoaway) {
    goaway_code_ = number(body.subspan(4, 4));
    state_ = State::goaway;
  } else {
    read_settings(body);
    state_ = State::settings;
  }
}

void GreetingReader::read_settings(std::span<const std::uint8_t> body) {
  for (; !body.empty(); body = body.subspan(6)) {
    const std::uint32_t value = number(body.subspan(2, 4));
    switch (number(body.first(2))) {
      case 3:
        settings_.max_concurrent_streams = value;
        break;
      case 4:
        settings_.initial_window_size = value;
        break;
      case 5:
        settings_.max_frame_size = value;
        break;
      case 6:
        settings_.max_header_list_size = value;
        break;
      case 8:
        settings_.enable_connect_protocol = value;
        break;
      default:
        break;
    }
  }
}

}  // namespace sallyport::http2
