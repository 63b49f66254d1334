// Bytes of an upstream into the codec that faces upstreams, with three requests open: one
// whole, one with a body under way, one extended CONNECT.
#include "sallyport/http2/codec.hpp"

#include "http2_sink.hpp"

using namespace sallyport;
using namespace sallyport::http2;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const unsigned choice = data[0];
  const std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
  fuzz::Sink sink(Side::upstream);
  fuzz::Witness witness(Side::upstream);
  sink.witness = &witness;
  // SETTINGS with ENABLE_CONNECT_PROTOCOL.
  fuzz::feed(sink, std::string("\0\0\6\4\0\0\0\0\0\0\10\0\0\0\1", 15), 0);
  http::RequestHead head;
  head.set_method((choice & 1U) != 0 ? "HEAD" : "GET");
  sink.head_requests = (choice & 1U) != 0;
  head.set_scheme("https");
  head.set_authority("example.com");
  head.set_target("/");
  (void)sink.codec.open_request(head, true);
  const StreamId upload = sink.codec.open_request(head, false);
  sink.codec.send_data(upload, std::span<const char>("0123456789", 10), false);
  head.set_protocol("websocket");
  (void)sink.codec.open_request(head, false);
  sink.pump();
  const std::string_view method = sink.head_requests ? "HEAD" : "GET";
  witness.asked(method, true);
  witness.asked(method, false);
  witness.asked("CONNECT", false);
  fuzz::feed(sink, input, choice >> 1);
  return 0;
}
