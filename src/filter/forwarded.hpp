// Tells the upstream who asked and how, in our own words: X-Forwarded-For, -Proto, -Host and
// -Port, X-Request-Id, Via (RFC 9110 §7.6.3), and its certificate, if it is to be told of. What the client
// said of the same is removed: it could say anything.
#pragma once

#include "sallyport/filter/filter.hpp"

namespace sallyport::filter {

class Forwarded final : public Filter {
 public:
  void on_request(const Context& context, http::RequestHead& head) const override;
};

}  // namespace sallyport::filter
