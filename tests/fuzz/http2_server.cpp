// Bytes of a client into the codec that faces clients. The first octet picks the size of the
// pieces and whether the bytes stand behind a preface and SETTINGS; every request is answered,
// some are reset, as its id says.
#include "sallyport/http2/codec.hpp"

#include "http2_sink.hpp"

using namespace sallyport;
using namespace sallyport::http2;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const unsigned choice = data[0];
  std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((choice & 1U) != 0) input.insert(0, std::string(kClientPreface) + std::string("\0\0\0\4\0\0\0\0\0", 9));
  fuzz::Sink sink(Side::client);
  fuzz::Witness witness(Side::client);
  sink.witness = &witness;
  fuzz::feed(sink, input, choice >> 1);
  return 0;
}
