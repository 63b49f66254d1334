// What the origin answers, by path. The list with its parameters is kDescription, which
// `sallyport-demo --help` and GET / show.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "message.hpp"
#include "wire.hpp"

namespace sallyport::demo {

// What /stats tells. Shared by all threads.
struct Stats {
  std::atomic<std::uint64_t> connections{0};
  std::atomic<std::uint64_t> open{0};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> canceled{0};  // exchanges that the peer left before they were done
  std::atomic<std::uint64_t> body_bytes{0};
  std::atomic<std::uint64_t> websockets{0};
};

extern const char* const kDescription;

// Between a reply's last byte and its reset, so that the two arrive apart.
inline constexpr milliseconds kBeforeReset{100};

// The answer is given without the request's body being read.
[[nodiscard]] bool answers_early(const Request& request);
// How long the request's body is left unread.
[[nodiscard]] milliseconds pause_before_body(const Request& request);

[[nodiscard]] Reply answer(const Request& request, const Wire& wire, const Stats& stats);

}  // namespace sallyport::demo
