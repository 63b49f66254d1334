#include "sallyport/upstream/pool.hpp"

#include <utility>

#include "cluster_pool.hpp"

namespace sallyport::upstream {

Pools::Pools(net::Loop& loop, Dialer& dialer, Observer& observer, std::uint64_t seed)
    : loop_(loop), dialer_(dialer), observer_(observer), seed_(seed) {}

Pools::~Pools() = default;

Pool& Pools::pool(const std::shared_ptr<const ClusterSpec>& spec) {
  std::unique_ptr<Pool>& pool = pools_[spec->identity];
  if (pool == nullptr) {
    pool = std::make_unique<Pool>(*this, spec);
    // Asked for by an exchange of an old snapshot: for that one only.
    pool->retired_ = configured_ && !configured_identities_.contains(spec->identity);
    pool->keep(!draining_ && !pool->retired_);
  }
  return *pool;
}

void Pools::update(const Clusters& clusters) {
  configured_ = true;
  configured_identities_.clear();
  for (const auto& spec : clusters) {
    configured_identities_.insert(spec->identity);
    if (const auto known = pools_.find(spec->identity); known != pools_.end()) known->second->adopt(spec);
  }
  for (Pool* pool : all()) {
    pool->retired_ = !configured_identities_.contains(pool->spec().identity);
    pool->keep(!draining_ && !pool->retired_);
    reap_if_quiet(*pool);
  }
}

void Pools::resolved(const std::shared_ptr<const Resolution>& resolution) {
  resolutions_[resolution->host] = resolution;
  for (Pool* pool : all()) pool->resolved(resolution->host);
}

void Pools::drain() {
  draining_ = true;
  for (Pool* pool : all()) pool->keep(false);
}

void Pools::close_idle() {
  for (Pool* pool : all()) pool->close_idle();
}

std::vector<EndpointStatus> Pools::status() const {
  std::vector<EndpointStatus> all;
  for (const auto& [identity, pool] : pools_) pool->status(all);
  return all;
}

// A copy, for a pool may take itself out of the table when it is told something.
std::vector<Pool*> Pools::all() const {
  std::vector<Pool*> list;
  list.reserve(pools_.size());
  for (const auto& [identity, pool] : pools_) list.push_back(pool.get());
  return list;
}

void Pools::reap_if_quiet(Pool& pool) {
  if (!pool.quiet()) return;
  const auto at = pools_.find(pool.spec().identity);
  if (at == pools_.end() || at->second.get() != &pool) return;
  loop_.reap(std::move(at->second));
  pools_.erase(at);
}

}  // namespace sallyport::upstream
