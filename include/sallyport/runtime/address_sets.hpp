// The address sets of the configuration, with what their files held when they were last good.
//
// Owned by the Builder, on the control thread, across reloads: a file that cannot be read, is
// broken, empty or has shrunk to less than half never replaces what was good (Cloudflare's own
// rule for its lists), for it would cut off or distrust everybody at once. It is told every time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/config/load.hpp"
#include "sallyport/net/cidr.hpp"
#include "sallyport/proxy/peers.hpp"

namespace sallyport::runtime {

class AddressSetFiles {
 public:
  struct Facts {
    std::size_t blocks = 0;
    base::WallTime loaded{};  // when what is in force was taken
  };

  // All sets of a configuration, in its order. A file that was never good is a warning and leaves
  // the set without it; cloudflare falls back on what is built in. In force from commit() on.
  [[nodiscard]] proxy::AddressSets load(const std::vector<config::AddressSet>& sets, base::WallTime now,
                                        std::vector<config::Problem>& problems);
  void commit() { kept_ = std::move(loaded_); }
  // One set again, of those that were loaded; nullptr if nothing has changed.
  [[nodiscard]] std::shared_ptr<const net::CidrSet> refresh(const config::AddressSet& set, base::WallTime now,
                                                            std::vector<config::Problem>& problems);
  [[nodiscard]] Facts facts(const std::string& set) const;

 private:
  struct Kept {
    std::vector<config::AddressSet> from;  // the one that it was loaded by; a set that changed begins anew
    std::vector<net::Cidr> blocks;
    std::shared_ptr<const net::CidrSet> set;
    base::WallTime loaded{};
  };
  void read(const config::AddressSet& set, Kept& kept, base::WallTime now,
            std::vector<config::Problem>& problems);

  std::map<std::string, Kept> kept_, loaded_;
};

}  // namespace sallyport::runtime
