// A route's filters in their order: towards the upstream from first to last, back from last to
// first. Immutable, held by the snapshot.
#pragma once

#include <memory>
#include <vector>

#include "sallyport/config/model.hpp"
#include "sallyport/filter/filter.hpp"

namespace sallyport::filter {

class Chain {
 public:
  Chain() = default;
  // What a route's configuration asks for, behind what every request gets.
  explicit Chain(const config::Route& route, std::vector<std::unique_ptr<const Guard>> guards = {});

  // The first guard's word that is against it.
  [[nodiscard]] base::Error admit(const Context& context, const http::RequestHead& head) const {
    for (const auto& guard : guards_) {
      if (const base::Error refused = guard->admit(context, head)) return refused;
    }
    return {};
  }

  void on_request(const Context& context, http::RequestHead& head) const {
    for (const auto& filter : filters_) filter->on_request(context, head);
  }
  void on_response(const Context& context, http::ResponseHead& head) const {
    for (auto filter = filters_.rbegin(); filter != filters_.rend(); ++filter)
      (*filter)->on_response(context, head);
  }
  [[nodiscard]] std::size_t size() const noexcept { return filters_.size(); }

 private:
  std::vector<std::unique_ptr<const Guard>> guards_;
  std::vector<std::unique_ptr<const Filter>> filters_;
};

}  // namespace sallyport::filter
