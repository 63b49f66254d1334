// Address blocks ("192.0.2.0/24", "2001:db8::/32", or one address) and immutable sets of them:
// trusted senders, allow and deny lists.
//
// Built once from configuration, then read by any thread; lookup is a binary search over merged
// ranges. v4-mapped blocks (::ffff:0:0/96 and longer) are their IPv4 blocks; a shorter IPv6
// prefix that happens to cover the mapped range does not match IPv4 addresses.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

#include "sallyport/net/address.hpp"

namespace sallyport::net {

struct Cidr {
  IpAddress network;
  std::uint8_t prefix = 0;  // bits, of 32 for IPv4 and of 128 for IPv6

  // Strict: a host bit that is set is an error that names the block that was probably meant.
  [[nodiscard]] static boost::system::result<Cidr, std::string> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  bool operator==(const Cidr&) const = default;
};

class CidrSet {
 public:
  CidrSet() = default;  // contains nothing
  explicit CidrSet(std::span<const Cidr> blocks);
  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return v4_.empty() && v6_.empty(); }
  bool operator==(const CidrSet&) const = default;

 private:
  struct Range {
    std::array<std::uint8_t, 16> first;
    std::array<std::uint8_t, 16> last;
    auto operator<=>(const Range&) const = default;
  };
  using Ranges = std::vector<Range>;  // sorted, disjoint
  static void merge(Ranges& ranges);

  Ranges v4_;
  Ranges v6_;
};

}  // namespace sallyport::net
