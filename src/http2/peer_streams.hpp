// What a client itself has said of its streams: which it ended, which it never opened.
//
// A client that goes on with a stream that it ended or reset, or opens one below the last, breaks
// RFC 9113 §5.1 and §5.1.1, and the connection ends. nghttp2 keeps no closed streams for us and
// would pass such frames over in silence. Only the client's own frames count: what crosses a reset
// of ours is no fault. Remembers the last few streams alone, so it may forgive, never accuse.
// Owned by the codec; pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace sallyport::http2 {

class PeerStreams {
 public:
  enum class Verdict : std::uint8_t { fine, ended, skipped };

  // A HEADERS or DATA frame: a new stream, or something for an old one.
  [[nodiscard]] Verdict continues(std::int32_t id) const noexcept {
    if (id > last_ || id == 0) return Verdict::fine;
    if (std::find(ended_.begin(), ended_.end(), id) != ended_.end()) return Verdict::ended;
    const auto holds = [id](const Gap& gap) { return id >= gap.from && id < gap.to; };
    return std::any_of(gaps_.begin(), gaps_.end(), holds) ? Verdict::skipped : Verdict::fine;
  }

  // HEADERS with the next number opens a stream, and closes all unused ones below it.
  void opened(std::int32_t id) noexcept {
    if (id <= last_ || id % 2 == 0) return;
    if (id > last_ + 2) gaps_[next_gap_++ % kGaps] = {last_ + 1, id};
    last_ = id;
  }

  // END_STREAM or RST_STREAM.
  void ended(std::int32_t id) noexcept { ended_[next_ended_++ % kEnded] = id; }

 private:
  static constexpr std::size_t kEnded = 32;
  static constexpr std::size_t kGaps = 4;

  struct Gap {
    std::int32_t from = 0;
    std::int32_t to = 0;  // not in it
  };
  std::array<std::int32_t, kEnded> ended_{};  // 0 is no stream
  std::array<Gap, kGaps> gaps_{};
  std::int32_t last_ = -1;
  std::uint32_t next_ended_ = 0;
  std::uint32_t next_gap_ = 0;
};

}  // namespace sallyport::http2
