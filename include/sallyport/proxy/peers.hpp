// Whom a listener allows and trusts: blocks written in its own lists, and named sets beside them.
//
// The lists are part of a snapshot. The sets change without one, when their files do, so a worker
// holds the newest (Proxy::address_sets) and a list only says which. Look-ups are binary searches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "sallyport/net/cidr.hpp"

namespace sallyport::proxy {

// By config::Model::address_sets. Never nullptr.
using AddressSets = std::vector<std::shared_ptr<const net::CidrSet>>;

struct PeerList {
  net::CidrSet blocks;
  std::vector<std::uint32_t> sets;  // indices

  [[nodiscard]] bool empty() const noexcept { return sets.empty() && blocks.empty(); }
  [[nodiscard]] bool contains(const net::IpAddress& address, const AddressSets& all) const noexcept {
    if (blocks.contains(address)) return true;
    return std::any_of(sets.begin(), sets.end(), [&](std::uint32_t i) { return all[i]->contains(address); });
  }
};

}  // namespace sallyport::proxy
