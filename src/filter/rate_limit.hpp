// Refuses a request whose client address, or whose value of a header, has used up its share; the
// answer is 429 with Retry-After. A request without the header counts by its address: leaving
// the header out must not be a way around.
#pragma once

#include <string>

#include "sallyport/filter/rate_limits.hpp"

namespace sallyport::filter {

class RateLimit final : public Guard {
 public:
  RateLimit(const config::RateLimit& limit, std::string_view place, std::shared_ptr<RateLimits> table,
            unsigned ipv6_prefix);
  [[nodiscard]] base::Error admit(const Context& context, const http::RequestHead& head) const override;

 private:
  [[nodiscard]] base::Digest bucket_of(const Context& context, const http::RequestHead& head) const;

  std::shared_ptr<RateLimits> table_;
  base::Digest identity_;  // of the rule: a reload that leaves it alone keeps its buckets
  std::string header_;     // empty: by address
  unsigned ipv6_prefix_;
  base::Duration interval_;
  std::uint32_t burst_;
};

}  // namespace sallyport::filter
