// The statuses by which Cloudflare tells a visitor that it could not reach an origin.
#pragma once

#include <cstdint>

namespace sallyport::cli {

inline constexpr std::uint16_t kUnknownError = 520;
inline constexpr std::uint16_t kHandshakeFailed = 525;
inline constexpr std::uint16_t kBadCertificate = 526;

}  // namespace sallyport::cli
