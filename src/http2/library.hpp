// How nghttp2 is set up: its options, the callbacks it is given, the SETTINGS we announce.
#pragma once

#include <memory>

#include <nghttp2/nghttp2.h>

#include "sallyport/http2/codec.hpp"

#include "session_memory.hpp"

namespace sallyport::http2 {

struct SessionDelete {
  void operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }
};
using SessionPointer = std::unique_ptr<nghttp2_session, SessionDelete>;

// A session with its SETTINGS queued, in that memory. `user` is handed to every callback.
// Throws std::bad_alloc.
[[nodiscard]] SessionPointer open_session(Side side, const Settings& settings,
                                          const nghttp2_session_callbacks* callbacks, void* user,
                                          SessionMemory& memory);

}  // namespace sallyport::http2
