// Walks the frame borders of one direction of a connection, so that every frame is counted
// before nghttp2 sees it: nghttp2 tells nothing of frames that it ignores (unknown types, what
// comes for a closed stream, the rest of a refused field section), which are the ones a flood is
// made of. RFC 9113 §4.1. Owned by the codec; pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace sallyport::http2 {

struct FrameFacts {
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint32_t length = 0;
  std::int32_t stream = 0;
  bool empty = false;  // nothing but padding
};

class FrameWatch {
 public:
  // `preface`: octets in front of the first frame.
  explicit FrameWatch(std::size_t preface) noexcept : skip_(preface) {}

  // Calls f(const FrameFacts&) for each frame whose header ends within `bytes`; stops when f
  // returns false and returns that.
  template <class F>
  bool scan(std::span<const char> bytes, F&& f) {
    for (;;) {
      const std::size_t skipped = std::min(skip_, bytes.size());
      skip_ -= skipped;
      bytes = bytes.subspan(skipped);
      if (bytes.empty()) return true;
      const std::size_t taken = std::min(wanted() - have_, bytes.size());
      std::memcpy(head_.data() + have_, bytes.data(), taken);
      have_ += taken;
      bytes = bytes.subspan(taken);
      if (have_ < wanted()) continue;  // out of bytes, or the pad length is still to come
      const FrameFacts facts = read();
      skip_ = facts.length + kHeader - have_;
      have_ = 0;
      if (!f(facts)) return false;
    }
  }

 private:
  static constexpr std::size_t kHeader = 9;
  static constexpr std::uint8_t kData = 0x0;
  static constexpr std::uint8_t kPadded = 0x8;

  [[nodiscard]] std::uint32_t octet(std::size_t i) const noexcept {
    return static_cast<unsigned char>(head_[i]);
  }
  [[nodiscard]] std::uint32_t length() const noexcept { return octet(0) << 16 | octet(1) << 8 | octet(2); }
  [[nodiscard]] bool padded_data() const noexcept {
    return octet(3) == kData && (octet(4) & kPadded) != 0 && length() > 0;
  }
  // A padded DATA frame tells how much it carries with its first payload octet.
  [[nodiscard]] std::size_t wanted() const noexcept {
    return have_ >= kHeader && padded_data() ? kHeader + 1 : kHeader;
  }
  [[nodiscard]] FrameFacts read() const noexcept {
    const std::uint32_t stream = (octet(5) & 0x7f) << 24 | octet(6) << 16 | octet(7) << 8 | octet(8);
    FrameFacts facts{static_cast<std::uint8_t>(octet(3)), static_cast<std::uint8_t>(octet(4)), length(),
                     static_cast<std::int32_t>(stream), false};
    facts.empty = facts.length == 0 || (padded_data() && octet(kHeader) + 1 >= facts.length);
    return facts;
  }

  std::size_t skip_;
  std::size_t have_ = 0;
  std::array<char, kHeader + 1> head_{};
};

}  // namespace sallyport::http2
