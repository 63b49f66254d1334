#include "sallyport/upstream/retry.hpp"

#include <algorithm>

namespace sallyport::upstream {

using base::ErrorCode;

namespace {

// Errors that another try would only meet again, or that are an answer rather than a failure.
bool pointless(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::none:
    case ErrorCode::name_unresolved:
    case ErrorCode::no_endpoint:
    case ErrorCode::pool_exhausted:
    case ErrorCode::unsupported:
    case ErrorCode::malformed:
    case ErrorCode::head_too_large:
    case ErrorCode::interim_flood:
    case ErrorCode::uri_too_long:
    case ErrorCode::body_too_large:
    case ErrorCode::total_timeout:
    case ErrorCode::canceled:
    case ErrorCode::draining:
    case ErrorCode::overloaded:
    case ErrorCode::internal:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool may_retry(const base::Error& error, const Attempt& attempt) noexcept {
  if (error.fault == base::Fault::client || pointless(error.code)) return false;
  if (attempt.response_begun || !attempt.body_held) return false;
  if (error.unsent || error.code == ErrorCode::stream_refused) return true;
  // A connection that had been in the pool and broke before it answered: most likely the peer had
  // closed it already, but the request may have been read.
  const bool broke = error.code == ErrorCode::closed || error.code == ErrorCode::reset;
  return broke && error.reused && attempt.idempotent;
}

bool RetryBudget::begin_retry() noexcept {
  const std::uint64_t share = std::uint64_t{exchanges_} * policy_.budget.value / 100;
  if (retries_ >= std::max<std::uint64_t>(share, policy_.budget_floor)) return false;
  ++retries_;
  return true;
}

}  // namespace sallyport::upstream
