// Fuzzes lists of address ranges, as text and as the JSON of Cloudflare's API. What is taken is
// written back as the same list; what is not says why.
#include "sallyport/net/block_list.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace sallyport::net;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = parse_block_list({reinterpret_cast<const char*>(data), size});
  if (parsed.has_error()) {
    require(!parsed.error().empty() && parsed.error().size() < 1000);
    return 0;
  }
  require(!parsed->empty());
  std::string lines;
  for (const Cidr& block : *parsed) lines += block.to_string() + "\n";
  const auto again = parse_block_list(lines);
  require(again.has_value() && *again == *parsed);
  const CidrSet set(*parsed);
  for (const Cidr& block : *parsed) require(set.contains(block.network));
  return 0;
}
