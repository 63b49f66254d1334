// What one HTTP/1.x message may cost us. Values; the defaults are those towards clients that are
// not behind a trusted proxy.
#pragma once

#include <cstddef>

namespace sallyport::http1 {

struct Limits {
  std::size_t head_bytes = 64 * 1024;   // start line and all fields, as received
  std::size_t field_bytes = 16 * 1024;  // one field line; at most 64 KiB - 1 (a name's length is 16 bits)
  std::size_t target_bytes = 8 * 1024;  // the request target
  std::size_t fields = 128;             // lines in a head: bounds every walk over a head
  // A chunk-size line with its extensions, which nobody sends: room for 16 digits and some.
  std::size_t chunk_line_bytes = 256;
  // All extensions of a message together: one byte of body must not cost 256 of ours for ever.
  std::size_t extension_bytes = 16 * 1024;
  std::size_t trailer_bytes = 16 * 1024;
  std::size_t trailers = 64;
  // 1xx before a response: each is an event that the client may have to be sent.
  std::size_t informational = 32;
};

}  // namespace sallyport::http1
