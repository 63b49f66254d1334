// May a failed try be repeated? A pure policy, and the budget that keeps retries from adding to
// an outage.
//
// DESIGN's rule: repeat what provably did not reach the peer's application (a connect or TLS
// failure, REFUSED_STREAM, above GOAWAY's last id, a stale pooled connection before a byte was
// written). After that only what a reused connection lost before any byte of the response
// (it was stale), of an idempotent method whose body is still held (RFC 9110 §9.2.2, RFC 9112
// §9.3.1). Never a sent request that is not idempotent.
#pragma once

#include <cstdint>

#include "sallyport/base/error.hpp"
#include "sallyport/config/model.hpp"

namespace sallyport::upstream {

// What is known of the try that failed.
struct Attempt {
  bool idempotent = false;      // http::idempotent(method)
  bool body_held = false;       // nothing of the body was given away, or there is none
  bool response_begun = false;  // any byte of a response, an informational head too, was passed on
};

enum class RetryVerdict : std::uint8_t {
  retry,
  never,      // could act twice, or would fail the same way
  exhausted,  // allowed, but it was the last try
  budget,     // allowed, but too many retries are under way
};

// Whether the rule allows it, the number of tries and the budget aside. `error.reused` says that
// the connection had served an exchange or been idle before.
[[nodiscard]] bool may_retry(const base::Error& error, const Attempt& attempt) noexcept;

// Exchanges and retries of one upstream on one worker that are under way. One thread.
class RetryBudget {
 public:
  explicit RetryBudget(const config::Retries& policy) noexcept : policy_(policy) {}

  void begin_exchange() noexcept { ++exchanges_; }
  void end_exchange() noexcept { --exchanges_; }
  // Takes a place for one retry; false if none is left. A place is held until end_retry().
  [[nodiscard]] bool begin_retry() noexcept;
  void end_retry() noexcept { --retries_; }

  [[nodiscard]] std::uint32_t exchanges() const noexcept { return exchanges_; }
  [[nodiscard]] std::uint32_t retries() const noexcept { return retries_; }

 private:
  config::Retries policy_;
  std::uint32_t exchanges_ = 0;
  std::uint32_t retries_ = 0;
};

}  // namespace sallyport::upstream
