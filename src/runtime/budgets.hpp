// What the whole process may hold, counted over all workers: the few relaxed atomics, and the
// table of addresses, that are touched once per connection and handshake, never per request.
#pragma once

#include <atomic>
#include <cstdint>

#include "sallyport/net/address_table.hpp"

namespace sallyport::runtime {

class Budget {
 public:
  // 0 = no limit.
  void limit(std::uint32_t most) noexcept { most_.store(most, std::memory_order_relaxed); }
  [[nodiscard]] bool take() noexcept {
    const std::uint32_t most = most_.load(std::memory_order_relaxed);
    if (used_.fetch_add(1, std::memory_order_relaxed) < most || most == 0) return true;
    give_back();
    return false;
  }
  void give_back() noexcept { used_.fetch_sub(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<std::uint32_t> used_{0};
  std::atomic<std::uint32_t> most_{0};
};

struct Budgets {
  Budget connections;
  Budget handshakes;
  net::AddressTable addresses;
};

}  // namespace sallyport::runtime
