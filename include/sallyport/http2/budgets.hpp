// What one HTTP/2 peer may spend on frames that cost us work and bring no message.
//
// Every kind of flood has a token bucket: `burst` at once, `per_second` refilled; CONTINUATION
// has a number for each field section instead. An empty bucket ends the connection with GOAWAY
// ENHANCE_YOUR_CALM (RFC 9113 §10.5). Pure arithmetic over an injected clock; owned by one codec,
// used by its thread.
//
// nghttp2 has limits of its own for two of these; they end the session without a word, so the
// codec sets them far above what stands here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sallyport/base/clock.hpp"

namespace sallyport::http2 {

// A closed set: each has one word (to_string) that stands in logs and metric labels.
enum class Flood : std::uint8_t {
  rapid_reset,     // streams that the peer opens (or lets us open) and resets (CVE-2023-44487)
  provoked_reset,  // streams that we reset or refuse for a fault of the peer's (CVE-2025-8671)
  continuation,    // CONTINUATION frames (CVE-2024-27316)
  settings,        // SETTINGS, each of which we must answer (CVE-2019-9515)
  ping,            // PING, likewise (CVE-2019-9512)
  priority,        // PRIORITY and PRIORITY_UPDATE (CVE-2019-9513)
  empty_frames,    // DATA, HEADERS or CONTINUATION that carry nothing (CVE-2019-9518)
  window_update,   // WINDOW_UPDATE beyond what our DATA explains
  unknown_frames,  // frames that we ignore: of unknown types, GOAWAY, HEADERS for streams that are gone
};
inline constexpr std::size_t kFloods = static_cast<std::size_t>(Flood::unknown_frames) + 1;

[[nodiscard]] std::string_view to_string(Flood flood) noexcept;

struct Budget {
  std::uint32_t burst = 0;
  std::uint32_t per_second = 0;
};

struct Budgets {
  Budget rapid_reset{500, 50};  // a page that is left cancels a hundred at once; an edge carries many pages
  Budget provoked_reset{200, 20};  // a correct peer provokes none, once it knows how many streams it may open
  Budget settings{32, 2};          // one at the start, a few window changes
  Budget ping{256, 100};           // gRPC probes the path up to once a round trip
  Budget priority{500, 100};       // old browsers send one with every stream
  Budget empty_frames{64, 10};     // legal, and never needed in number
  Budget window_update{2000, 200};     // plus kWindowUpdatesPerData for every DATA frame that we send
  Budget unknown_frames{256, 32};      // greasing sends a few, trailers may cross a reset of ours
  std::uint32_t continuations = 1024;  // of one field section: 128 KiB in frames of 256 bytes are 512
};

// Entries of one SETTINGS frame; six are defined, and each costs us work.
inline constexpr std::uint32_t kMostSettings = 32;

// A reader of ours may give back each DATA frame in small pieces, on the stream and on the
// connection.
inline constexpr std::uint32_t kWindowUpdatesPerData = 10;

class TokenBucket {
 public:
  TokenBucket() noexcept = default;
  explicit TokenBucket(Budget budget) noexcept : budget_(budget), tokens_(budget.burst) {}

  // Takes one token; false when there is none.
  [[nodiscard]] bool take(base::Instant now) noexcept;
  // Adds tokens above the refill; they may exceed the burst, up to kMostEarned.
  void earn(std::uint32_t n) noexcept;
  [[nodiscard]] std::uint32_t tokens() const noexcept { return tokens_; }

  static constexpr std::uint32_t kMostEarned = 1U << 20;

 private:
  void refill(base::Instant now) noexcept;

  Budget budget_;
  std::uint32_t tokens_ = 0;
  base::Instant refilled_{};  // epoch: not used yet
};

// All buckets of one connection.
class FloodGuard {
 public:
  explicit FloodGuard(const Budgets& budgets) noexcept;

  // One more of that kind; false when the budget is spent.
  [[nodiscard]] bool take(Flood flood, base::Instant now) noexcept { return bucket(flood).take(now); }
  // A field section begins: its CONTINUATION frames are counted anew.
  void head_begins() noexcept;
  // So many may come on top, for a reason of ours.
  void allow(Flood flood, std::uint32_t n) noexcept { bucket(flood).earn(n); }
  void data_sent() noexcept { bucket(Flood::window_update).earn(kWindowUpdatesPerData); }
  [[nodiscard]] const TokenBucket& bucket(Flood flood) const noexcept {
    return buckets_[static_cast<std::size_t>(flood)];
  }

 private:
  TokenBucket& bucket(Flood flood) noexcept { return buckets_[static_cast<std::size_t>(flood)]; }
  std::array<TokenBucket, kFloods> buckets_;
  std::uint32_t continuations_;
};

}  // namespace sallyport::http2
