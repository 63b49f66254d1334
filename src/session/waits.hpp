// What all sessions wait alike.
#pragma once

#include "sallyport/base/clock.hpp"

namespace sallyport::session {

// After one such while without a byte of a client, or without an exchange on a pooled connection, a
// connection gives its buffers back.
inline constexpr base::Milliseconds kQuiet{100};
// How long a drain lets a connection go on for a request that may be on its way: over HTTP/2 between the
// two GOAWAYs, unless the PING's ACK comes first; HTTP/1.1 has no word to say that a request was not begun
// with (RFC 9112 §9.3.1).
inline constexpr base::Milliseconds kDrainNotice{1'000};

}  // namespace sallyport::session
