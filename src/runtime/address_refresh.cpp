#include "address_refresh.hpp"

#include <algorithm>
#include <utility>

namespace sallyport::runtime {

void AddressRefresh::watch(const proxy::SnapshotPtr& snapshot, AddressSetFiles& files) {
  snapshot_ = snapshot;
  sets_ = snapshot->address_sets;
  files_ = &files;
  due_.clear();
  const auto& sets = snapshot->model.address_sets;
  for (std::size_t i = 0; i < sets.size(); ++i) {
    if (!sets[i].files.empty() && sets[i].refresh.count() != 0)
      due_.push_back({i, base::Clock::now() + sets[i].refresh});
  }
  arm();
}

void AddressRefresh::arm() {
  timer_.cancel();
  if (due_.empty()) return;
  const auto next =
      std::min_element(due_.begin(), due_.end(), [](const Due& a, const Due& b) { return a.at < b.at; });
  timer_.expires_at(next->at);
  timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) look();
  });
}

void AddressRefresh::look() {
  const base::Instant now = base::Clock::now();
  const auto& sets = snapshot_->model.address_sets;
  for (Due& due : due_) {
    if (due.at > now) continue;
    const config::AddressSet& set = sets[due.set];
    due.at = now + set.refresh;
    std::vector<config::Problem> problems;
    auto fresh = files_->refresh(set, base::WallClock::now(), problems);
    for (const config::Problem& problem : problems) problem_(problem);
    if (fresh != nullptr) sets_[due.set] = std::move(fresh);
    if (problems.empty()) changed_(sets_, set.name);
  }
  arm();
}

}  // namespace sallyport::runtime
