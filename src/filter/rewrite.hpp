// Replaces the path prefix that the route matched, and the authority that the upstream sees.
#pragma once

#include <optional>
#include <string>

#include "sallyport/filter/filter.hpp"

namespace sallyport::filter {

class Rewrite final : public Filter {
 public:
  // `matched` is the route's path_prefix; `prefix` stands in its place.
  Rewrite(std::string matched, std::optional<std::string> prefix, std::optional<std::string> host);
  void on_request(const Context& context, http::RequestHead& head) const override;

 private:
  std::string matched_;
  std::optional<std::string> prefix_;
  std::optional<std::string> host_;
};

}  // namespace sallyport::filter
