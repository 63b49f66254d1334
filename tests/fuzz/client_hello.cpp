// The ClientHello reader: whatever the bytes and however they are cut, it stays within them, does
// not depend on the cuts, and says of a whole hello only what lies inside its message.
//
// The first byte is the length of the first piece; the rest goes through whole as well.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "sallyport/tls/fingerprint.hpp"
#include "sallyport/tls/hello.hpp"

using sallyport::tls::Extension;
using sallyport::tls::HelloReader;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void walk(const HelloReader& reader) {
  const auto& hello = reader.hello();
  std::size_t sum = 0;
  for (const std::uint16_t value : hello.cipher_suites) sum += value;
  for (const std::uint16_t value : hello.groups) sum += value;
  for (const std::uint16_t value : hello.supported_versions) sum += value;
  for (const std::uint16_t value : hello.signature_algorithms) sum += value;
  for (std::size_t at = 0; !hello.alpn.next(at).empty();) ++sum;
  Extension extension;
  for (std::size_t at = 0; hello.extensions.next(at, extension);) sum += extension.body.size();
  static_cast<void>(hello.offers_key_share(static_cast<std::uint16_t>(sum)));
  if (hello.sni_state == sallyport::tls::SniState::valid) require(sallyport::tls::is_host_name(hello.sni));
  require(sallyport::tls::ja4(hello).size() == 36);
  require(!sallyport::tls::ja3_text(hello).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const char> bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::size_t split = data[0] < bytes.size() ? data[0] : bytes.size();
  HelloReader whole;
  whole.feed(bytes);
  HelloReader cut;
  cut.feed(bytes.first(split));
  cut.feed(bytes.subspan(split));
  require(whole.state() == cut.state() && whole.fault() == cut.fault());
  require(whole.message().size() <= HelloReader::kMaxMessage);
  if (whole.state() == HelloReader::State::complete) {
    walk(whole);
    require(whole.hello().sni == cut.hello().sni);
  }
  return 0;
}
