// Which endpoint is next. Pure state of one pool on one worker; the caller says which endpoints
// are eligible and how busy each is.
//
// round_robin: smooth and weighted: over any run of as many picks as the weights sum to, each
// eligible endpoint is picked exactly its weight often, spread out. least_request: of two
// endpoints drawn by weight the one with the fewer exchanges per weight ("the power of two
// choices": almost as even as asking all, and workers do not herd onto one endpoint).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "sallyport/config/model.hpp"

namespace sallyport::upstream {

class Balancer {
 public:
  struct Candidate {
    std::uint32_t weight = 1;  // > 0
    std::uint32_t active = 0;  // exchanges that run there; least_request only
    bool eligible = true;
    std::int64_t credit = 0;  // round_robin's own
  };

  Balancer(config::Balance policy, std::uint64_t seed) noexcept : policy_(policy), random_(seed) {}

  // The index of the next endpoint, nullopt if none is eligible.
  [[nodiscard]] std::optional<std::size_t> pick(std::vector<Candidate>& candidates) noexcept;

 private:
  [[nodiscard]] static std::size_t round_robin(std::vector<Candidate>& candidates) noexcept;
  [[nodiscard]] std::size_t least_request(const std::vector<Candidate>& candidates) noexcept;
  // An eligible index other than `not_this`, drawn by weight.
  [[nodiscard]] std::optional<std::size_t> draw(const std::vector<Candidate>& candidates,
                                                std::optional<std::size_t> not_this) noexcept;
  [[nodiscard]] std::uint64_t random() noexcept;

  config::Balance policy_;
  std::uint64_t random_;
};

}  // namespace sallyport::upstream
