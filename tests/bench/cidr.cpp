// What a look-up of a peer in a set of address ranges costs, for sets as large as Cloudflare's, a
// country's and the whole routing table's. Prints nanoseconds a look-up; addresses come in an
// order that no branch predictor knows. `./dev bench --lookups` runs it.
#include "sallyport/net/cidr.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "sallyport/net/block_list.hpp"

using namespace sallyport::net;

namespace {

constexpr std::size_t kAddresses = 1 << 14;
constexpr int kRounds = 200;

std::uint64_t next(std::uint64_t& state) {  // splitmix64
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

IpAddress random_v4(std::uint64_t& state) {
  const std::uint64_t r = next(state);
  return IpAddress::v4({static_cast<std::uint8_t>(r), static_cast<std::uint8_t>(r >> 8),
                        static_cast<std::uint8_t>(r >> 16), static_cast<std::uint8_t>(r >> 24)});
}

std::vector<Cidr> random_blocks(std::size_t n) {
  std::uint64_t state = n;
  std::vector<Cidr> blocks;
  while (blocks.size() < n) {
    auto bytes = random_v4(state).bytes();
    blocks.push_back({IpAddress::v4({bytes[12], bytes[13], bytes[14], 0}), 24});
  }
  return blocks;
}

void measure(const char* name, const std::vector<Cidr>& blocks) {
  const CidrSet set(blocks);
  std::uint64_t state = 1;
  std::vector<IpAddress> addresses;
  for (std::size_t i = 0; i < kAddresses; ++i) {
    // Half of them are in the set.
    addresses.push_back(i % 2 == 0 ? random_v4(state) : blocks[next(state) % blocks.size()].network);
  }
  std::size_t found = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int round = 0; round < kRounds; ++round) {
    for (const IpAddress& address : addresses) found += set.contains(address) ? 1 : 0;
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  std::printf("%-28s %8zu ranges  %6.1f ns a look-up  (%.0f %% found)\n", name, blocks.size(),
              took.count() / (kRounds * kAddresses),
              100.0 * static_cast<double>(found) / (kRounds * kAddresses));
}

}  // namespace

int main() {
  measure("cloudflare", cloudflare_blocks());
  measure("a country", random_blocks(5'000));
  measure("a routing table", random_blocks(100'000));
}
