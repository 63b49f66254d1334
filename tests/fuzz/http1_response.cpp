// Fuzzes the HTTP/1.x response codec: what comes out must not depend on where the bytes are cut.
// The first byte says what was asked, the second places a cut.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sallyport/http1/codec.hpp"

#include "../unit/http1/drivers.hpp"

namespace {

using sallyport::http1::test::ResponseDriver;

struct Outcome {
  std::string text;
  std::size_t kept;
  bool keep_alive;
  bool operator==(const Outcome&) const = default;
};

Outcome run(std::uint8_t asked, std::string_view input, std::size_t step, std::size_t first) {
  ResponseDriver driver;
  switch (asked % 3) {
    case 0:
      driver.request("GET");
      break;
    case 1:
      driver.request("HEAD");
      break;
    default:
      driver.request("GET", "websocket");
      break;
  }
  driver.feed(input.substr(0, first));
  for (std::size_t at = first; at < input.size() && !driver.failed; at += step)
    driver.feed(input.substr(at, step));
  const std::size_t kept = driver.failed ? 0 : driver.kept().size();
  // Bytes behind the end count only if they came with it: a session offers them after next().
  const bool keep_alive = driver.codec.keep_alive() && kept == 0;
  if (!driver.failed) driver.eof();
  return {driver.text, kept, keep_alive};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Outcome whole = run(data[0], input, 1, input.size());
  const std::size_t cut = data[1] * input.size() / 256;
  if (run(data[0], input, input.size() + 1, cut) != whole) std::abort();
  if (run(data[0], input, 1, 0) != whole) std::abort();
  return 0;
}
