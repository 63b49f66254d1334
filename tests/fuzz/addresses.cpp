// Fuzzes what reads addresses: IP addresses, endpoints and blocks. What is taken is written back
// as the same value, an IPv4 address is never seen as an IPv6 one, and a block holds its network.
#include <arpa/inet.h>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sallyport/net/address.hpp"
#include "sallyport/net/cidr.hpp"

using namespace sallyport::net;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// The C library's opinion; it knows no zones here either.
bool is_address(const std::string& text) {
  unsigned char bytes[16];
  const bool whole = text.find('\0') == std::string::npos;
  return whole &&
         (inet_pton(AF_INET, text.c_str(), bytes) == 1 || inet_pton(AF_INET6, text.c_str(), bytes) == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto address = IpAddress::parse(text);
  require(address.has_value() == is_address(text));
  if (address) require(IpAddress::parse(address->to_string()) == address);
  if (const auto endpoint = Endpoint::parse(text))
    require(Endpoint::parse(endpoint->to_string()) == endpoint);
  if (const auto block = Cidr::parse(text)) {
    require(block->prefix <= (block->network.is_v4() ? 32 : 128));
    const auto again = Cidr::parse(block->to_string());
    require(again.has_value() && *again == *block);
    const CidrSet set(std::span(&*block, 1));
    require(set.contains(block->network));
    if (address) require(set.contains(*address));
  } else {
    require(!block.error().empty());
  }
  return 0;
}
