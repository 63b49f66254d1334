// Writes start lines and fields of the neutral form. Private to the codecs.
#pragma once

#include <cstdint>
#include <string_view>

#include "sallyport/base/buffer.hpp"
#include "sallyport/http/fields.hpp"
#include "sallyport/http/head.hpp"

namespace sallyport::http1 {

// How the head says where its body ends, or that there is none to speak of.
struct BodyLine {
  enum class Kind : std::uint8_t { nothing, length, chunked };
  Kind kind = Kind::nothing;
  std::uint64_t length = 0;
};

// What this hop says of itself.
struct ConnectionLine {
  bool close = false;
  bool keep_alive = false;  // only an HTTP/1.0 peer needs to be told
  bool websocket = false;
  bool te_trailers = false;
  bool expect_continue = false;
};

void write_request_head(const http::RequestHead& head, const ConnectionLine& connection, const BodyLine& body,
                        base::Buffer& out);
void write_response_head(const http::ResponseHead& head, const ConnectionLine& connection,
                         const BodyLine& body, base::Buffer& out);
void write_field(std::string_view name, std::string_view value, base::Buffer& out);

}  // namespace sallyport::http1
