// Fuzzes the reader of captured ClientHellos: whatever a dump or a packet capture says, what comes out
// is a whole hello of bounded size, or words that say why not.
#include "sallyport/tls/capture.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sallyport/tls/compose.hpp"
#include "sallyport/tls/hello.hpp"

using namespace sallyport::tls;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto captured = read_capture({reinterpret_cast<const char*>(data), size});
  if (captured.has_error()) {
    if (captured.error().empty() || captured.error().size() > 500) std::abort();
    return 0;
  }
  HelloReader reader;
  if (reader.feed(captured->records) != HelloReader::State::complete) std::abort();
  if (captured->client.has_value() != captured->server.has_value()) std::abort();
  // Asked for by another name it is a hello still, unless there is no room for the name.
  HelloReader renamed;
  const bool whole =
      renamed.feed(with_server_name(captured->records, "a.example")) == HelloReader::State::complete;
  if (!whole && reader.message().size() + 64 < HelloReader::kMaxMessage) std::abort();
  return 0;
}
