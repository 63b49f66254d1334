#include "sallyport/filter/chain.hpp"

#include <utility>

#include "forwarded.hpp"
#include "header_edit.hpp"
#include "rewrite.hpp"

namespace sallyport::filter {

namespace {

bool changes(const config::HeaderEdit& edit) {
  return !edit.set.empty() || !edit.add.empty() || !edit.remove.empty();
}

}  // namespace

Chain::Chain(const config::Route& route, std::vector<std::unique_ptr<const Guard>> guards)
    : guards_(std::move(guards)) {
  filters_.push_back(std::make_unique<Forwarded>());
  if (route.rewrite.prefix || route.rewrite.host) {
    filters_.push_back(std::make_unique<Rewrite>(route.match.path_prefix.value_or(""), route.rewrite.prefix,
                                                 route.rewrite.host));
  }
  if (changes(route.request_headers) || changes(route.response_headers)) {
    filters_.push_back(std::make_unique<HeaderEdit>(route.request_headers, route.response_headers));
  }
}

}  // namespace sallyport::filter
