// Address blocks ("192.0.2.0/24", "2001:db8::/32", or one address) and immutable sets of them:
// trusted senders, allow and deny lists.
//
// Built once from configuration, then read by any thread; a look-up is a binary search over merged
// ranges of whole numbers (tests/bench/cidr.cpp). v4-mapped blocks (::ffff:0:0/96 and longer) are their IPv4
// blocks; a shorter IPv6 prefix that happens to cover the mapped range does not match IPv4 addresses.
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
  [[nodiscard]] bool empty() const noexcept { return v4_.first.empty() && v6_.first.empty(); }
  bool operator==(const CidrSet&) const = default;

 private:
  struct V6 {
    std::uint64_t high = 0, low = 0;
    auto operator<=>(const V6&) const = default;
  };
  static V6 number(const std::array<std::uint8_t, 16>& bytes) noexcept;
  // Sorted and disjoint: from first[i] to last[i].
  template <class Number>
  struct Ranges {
    std::vector<Number> first, last;
    void add(Number from, Number to);
    [[nodiscard]] bool contain(Number number) const noexcept;
    bool operator==(const Ranges&) const = default;
  };

  Ranges<std::uint32_t> v4_;
  Ranges<V6> v6_;
};

}  // namespace sallyport::net
