// A visitor's request as Cloudflare passes it on, and what came of it.
#pragma once

#include <cstdint>
#include <string>

#include "sallyport/tls/probe.hpp"

namespace sallyport::cli {

struct CloudflareAnswer {
  std::uint16_t status = 0;  // 0: none came, see `problem`
  std::string problem;
  bool timed_out = false;
  std::string proxy_status;   // RFC 9209: why the gateway answered by itself
  std::uint32_t streams = 0;  // HTTP/2: requests that it takes at once
};

// GET / of that host, behind a handshake that is done.
[[nodiscard]] CloudflareAnswer ask_h2(tls::ProbeConnection& connection, const std::string& host,
                                      base::Instant deadline);
[[nodiscard]] CloudflareAnswer ask_http1(tls::ProbeConnection& connection, const std::string& host,
                                         base::Instant deadline);

}  // namespace sallyport::cli
