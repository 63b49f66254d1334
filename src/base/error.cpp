#include "sallyport/base/error.hpp"

#include <array>
#include <cerrno>

namespace sallyport::base {

namespace {
constexpr std::array<std::string_view, kErrorCodes> kWords = {"none",
                                                              "connect_refused",
                                                              "connect_timeout",
                                                              "connect_unreachable",
                                                              "connect_failed",
                                                              "name_unresolved",
                                                              "no_endpoint",
                                                              "pool_exhausted",
                                                              "tls_failed",
                                                              "tls_untrusted",
                                                              "tls_timeout",
                                                              "tls_closed",
                                                              "tls_reset",
                                                              "closed",
                                                              "reset",
                                                              "stream_reset",
                                                              "stream_refused",
                                                              "malformed",
                                                              "head_too_large",
                                                              "uri_too_long",
                                                              "body_too_large",
                                                              "unsupported",
                                                              "enhance_your_calm",
                                                              "rate_limited",
                                                              "interim_flood",
                                                              "head_timeout",
                                                              "body_timeout",
                                                              "idle_timeout",
                                                              "total_timeout",
                                                              "canceled",
                                                              "draining",
                                                              "overloaded",
                                                              "internal"};
}  // namespace

std::string_view to_string(ErrorCode code) noexcept {
  return kWords[static_cast<std::size_t>(code)];
}

std::string_view to_string(Fault fault) noexcept {
  switch (fault) {
    case Fault::client:
      return "client";
    case Fault::upstream:
      return "upstream";
    case Fault::gateway:
      break;
  }
  return "gateway";
}

ErrorCode code_of_connect_errno(int value) noexcept {
  switch (value) {
    case ECONNREFUSED:
      return ErrorCode::connect_refused;
    case ETIMEDOUT:
      return ErrorCode::connect_timeout;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
      return ErrorCode::connect_unreachable;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return ErrorCode::overloaded;
    default:
      return ErrorCode::connect_failed;
  }
}

ErrorCode code_of_io_errno(int value) noexcept {
  switch (value) {
    case 0:
      return ErrorCode::closed;
    case ETIMEDOUT:
      return ErrorCode::idle_timeout;
    case ECANCELED:
      return ErrorCode::canceled;
    default:
      return ErrorCode::reset;
  }
}

}  // namespace sallyport::base
