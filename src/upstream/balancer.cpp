#include "sallyport/upstream/balancer.hpp"

namespace sallyport::upstream {

std::optional<std::size_t> Balancer::pick(std::vector<Candidate>& candidates) noexcept {
  std::size_t eligible = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].eligible) {
      ++eligible;
      last = i;
    }
  }
  if (eligible == 0) return std::nullopt;
  if (eligible == 1) return last;
  return policy_ == config::Balance::round_robin ? round_robin(candidates) : least_request(candidates);
}

// Each pick gives every eligible endpoint its weight in credit and takes the sum from the one
// that has most.
std::size_t Balancer::round_robin(std::vector<Candidate>& candidates) noexcept {
  std::int64_t total = 0;
  std::size_t best = candidates.size();
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Candidate& c = candidates[i];
    if (!c.eligible) continue;
    total += c.weight;
    c.credit += c.weight;
    if (best == candidates.size() || c.credit > candidates[best].credit) best = i;
  }
  candidates[best].credit -= total;
  return best;
}

std::size_t Balancer::least_request(const std::vector<Candidate>& candidates) noexcept {
  const std::size_t one = *draw(candidates, std::nullopt);
  const std::optional<std::size_t> two = draw(candidates, one);
  if (!two) return one;
  const Candidate& a = candidates[one];
  const Candidate& b = candidates[*two];
  // active / weight without a division; the one more counts the exchange that is being placed.
  const std::uint64_t load_a = (std::uint64_t{a.active} + 1) * b.weight;
  const std::uint64_t load_b = (std::uint64_t{b.active} + 1) * a.weight;
  return load_b < load_a ? *two : one;
}

std::optional<std::size_t> Balancer::draw(const std::vector<Candidate>& candidates,
                                          std::optional<std::size_t> not_this) noexcept {
  const auto drawable = [&](std::size_t i) { return candidates[i].eligible && i != not_this; };
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (drawable(i)) total += candidates[i].weight;
  }
  if (total == 0) return std::nullopt;
  std::uint64_t at = random() % total;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!drawable(i)) continue;
    if (at < candidates[i].weight) return i;
    at -= candidates[i].weight;
  }
  return std::nullopt;
}

// splitmix64: even enough for a draw, no state to seed, a handful of instructions.
std::uint64_t Balancer::random() noexcept {
  std::uint64_t z = (random_ += 0x9e3779b97f4a7c15U);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

}  // namespace sallyport::upstream
