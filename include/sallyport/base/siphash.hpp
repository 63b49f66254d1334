// SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012): what stands for a client's address or
// a header's value in a table of fixed size.
//
// Pure. With a key that nobody outside the process knows, a client can neither aim at a bucket
// nor make its key equal another's; 128 bits make the digest the key itself, so that a table
// holds no text of a client's choosing.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>

namespace sallyport::base {

struct Digest {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  auto operator<=>(const Digest&) const = default;
};

class SipHash {
 public:
  using Key = std::array<std::uint64_t, 2>;
  // From the system's source of randomness. May throw; at start-up only.
  [[nodiscard]] static Key random_key();

  explicit SipHash(const Key& key) noexcept : key_(key) {}
  [[nodiscard]] Digest operator()(std::span<const char> bytes) const noexcept;

 private:
  Key key_;
};

}  // namespace sallyport::base
