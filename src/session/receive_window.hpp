// How far ahead of what was taken the peer of an HTTP/2 stream may send (RFC 9113 §5.2.1, §6.9).
//
// It begins with the setting and grows by use: each time that as much as the whole window has been taken as
// fast as it came, it is multiplied. A body over a long way is then not held to a window a round trip, and
// costs a fraction of the WINDOW_UPDATEs, each of which is a record, a send and a wake-up of the peer. A
// stream whose receiver is slow keeps the window it began with, and so that many bytes at most wait for it.
// What all streams of a connection have grown by comes out of one reserve. While memory is short the window
// shrinks; the credit that is not given back does it, since a peer cannot be told to expect less.
//
// Part of a stream, on its worker.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace sallyport::session {

class ReceiveWindow {
 public:
  // Of a connection: bytes by which its windows may yet grow.
  using Reserve = std::uint32_t;

  explicit ReceiveWindow(std::uint32_t initial) noexcept : initial_(initial), size_(initial) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

  // n bytes were taken; `waiting` have come and were not. At most `bound` from here on, if it is less than
  // the window the stream began with. Whether size() has changed, which the peer has to learn.
  bool taken(std::size_t n, std::size_t waiting, std::size_t bound, Reserve& reserve) noexcept {
    taken_ += n;
    const std::uint32_t before = size_;
    if (bound < initial_) {
      restart(reserve);
      size_ = static_cast<std::uint32_t>(bound);
    } else if (size_ < initial_) {
      size_ = initial_;
    } else if (taken_ >= size_ && waiting <= size_ / kSlack) {
      const std::uint32_t more = std::min({size_ * (kGrowth - 1), std::max(kMost, size_) - size_, reserve});
      reserve -= more;
      size_ += more;
    }
    if (size_ != before) taken_ = 0;
    return size_ != before;
  }

  // For the next stream, or without one.
  void restart(Reserve& reserve) noexcept {
    if (size_ > initial_) reserve += size_ - initial_;
    size_ = initial_;
    taken_ = 0;
  }

 private:
  static constexpr std::uint32_t kGrowth = 4;
  static constexpr std::uint32_t kMost = 1024 * 1024;  // 100 Mbit/s over 80 ms
  static constexpr std::uint32_t kSlack = 4;           // "as fast as it came": less than 1/4 waits

  std::uint32_t initial_;
  std::uint32_t size_;
  std::size_t taken_ = 0;  // since size_ is what it is
};

}  // namespace sallyport::session
