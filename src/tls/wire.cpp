#include "wire.hpp"

#include <algorithm>

namespace sallyport::tls {

using namespace wire;

std::string client_hello_message(std::string_view body) {
  constexpr std::size_t kClientHello = 1;
  return u8(kClientHello) + u8(body.size() >> 16) + u16(body.size() & 0xffff).append(body);
}

std::string hello_records(std::string_view message, std::size_t first) {
  constexpr std::size_t kHandshake = 22;
  constexpr std::size_t kVersion = 0x0301;  // what a first hello's record says (RFC 8446 §5.1)
  constexpr std::size_t kMostInRecord = 16384;
  if (first == 0) first = kMostInRecord;
  std::string records;
  while (!message.empty()) {
    const std::string_view part = message.substr(0, std::min(first, kMostInRecord));
    records += u8(kHandshake) + u16(kVersion) + with16(part);
    message.remove_prefix(part.size());
    first = kMostInRecord;
  }
  return records;
}

std::vector<std::uint16_t> values_of(const U16View& view) {
  std::vector<std::uint16_t> list;
  for (const std::uint16_t value : view) list.push_back(value);
  return list;
}

}  // namespace sallyport::tls
