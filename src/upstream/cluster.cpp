#include "sallyport/upstream/cluster.hpp"

#include <utility>

namespace sallyport::upstream {

Clusters::Clusters(std::vector<std::shared_ptr<const ClusterSpec>> clusters)
    : clusters_(std::move(clusters)) {
  for (std::size_t i = 0; i < clusters_.size(); ++i) by_name_.emplace(clusters_[i]->name, i);
}

std::optional<std::size_t> Clusters::index_of(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

}  // namespace sallyport::upstream
