// A first word of HTTP behind a handshake: does the server speak what it chose by ALPN?
#pragma once

#include <string>

#include "sallyport/tls/probe.hpp"

#include "probe_report.hpp"

namespace sallyport::cli {

// The client's greeting, and the server's first frame.
[[nodiscard]] ProbeTalk talk_h2(tls::ProbeConnection& connection, base::Instant deadline);
// HEAD / for that host, and the response's head.
[[nodiscard]] ProbeTalk talk_http1(tls::ProbeConnection& connection, const std::string& host,
                                   base::Instant deadline);

}  // namespace sallyport::cli
