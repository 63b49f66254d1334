// Fuzzes the PROXY protocol parser: the verdict must not depend on how the bytes are cut, and
// no more may be taken than the header's bound.
#include "sallyport/net/proxy_protocol.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

using sallyport::net::ProxyProtocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
  ProxyProtocol whole;
  const std::size_t taken = whole.consume(bytes);
  ProxyProtocol trickled;
  std::size_t one_by_one = 0;
  for (std::size_t i = 0; i < size; ++i) one_by_one += trickled.consume(bytes.subspan(i, 1));
  const bool same = taken == one_by_one && whole.state() == trickled.state() &&
                    whole.header().has_addresses == trickled.header().has_addresses &&
                    whole.header().source == trickled.header().source &&
                    whole.header().destination == trickled.header().destination;
  const bool bounded = taken <= size && taken <= ProxyProtocol::kMaxV2;
  const bool honest = whole.state() == ProxyProtocol::State::done || !whole.header().has_addresses;
  if (!same || !bounded || !honest) std::abort();
  return 0;
}
