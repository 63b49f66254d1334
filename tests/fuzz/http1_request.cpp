// Fuzzes the HTTP/1.x request codec: what comes out must not depend on where the bytes are cut,
// and no more may be used than was given. The first byte places a cut.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sallyport/http1/codec.hpp"

#include "../unit/http1/drivers.hpp"

namespace {

using sallyport::http1::test::RequestDriver;

struct Outcome {
  std::string text;
  std::size_t kept;
  bool operator==(const Outcome&) const = default;
};

// Answers every request, accepts every WebSocket, ends the stream.
Outcome run(std::string_view input, std::size_t step, std::size_t first) {
  RequestDriver driver;
  driver.accept_websocket = true;
  driver.feed(input.substr(0, first));
  for (std::size_t at = first; at < input.size(); at += step) driver.feed(input.substr(at, step));
  // Behind an error the session reads no further, so how much was kept says nothing.
  const std::size_t kept = driver.failed ? 0 : driver.kept().size();
  if (!driver.failed) driver.codec.on_eof(driver);
  return {driver.text, kept};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = run(input, 1, input.size());
  const std::size_t cut = input.empty() ? 0 : data[0] * input.size() / 256;
  if (run(input, input.size() + 1, cut) != whole) std::abort();
  if (run(input, 1, 0) != whole) std::abort();
  return 0;
}
