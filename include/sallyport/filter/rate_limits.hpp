// Local rate limits: a token bucket for each client address or header value that a limit counts
// by, and what all buckets of the process live in.
//
// The table is one for the process, made with the builder and shared by every snapshot, so that a
// reload keeps the buckets of limits that it leaves alone: a bucket belongs to (where the limit
// stands, its numbers, its key), and a limit that changed begins anew. Any thread; a shard's
// mutex, and only on routes that have a limit. 65,536 buckets at 48 bytes, 3 MiB at most; full, it
// forgets the bucket that was used the longest ago, which is most likely full again by then.
#pragma once

#include <memory>
#include <string_view>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/keyed_table.hpp"
#include "sallyport/config/model.hpp"
#include "sallyport/filter/filter.hpp"

namespace sallyport::filter {

class RateLimits {
 public:
  static constexpr std::size_t kBuckets = 65'536;

  explicit RateLimits(std::size_t buckets = kBuckets, std::size_t shards = 64)
      : hash_(base::SipHash::random_key()), buckets_(buckets, shards) {}

  [[nodiscard]] base::Digest digest(std::span<const char> text) const noexcept { return hash_(text); }
  // Takes a token of the bucket that holds `burst` of them and gets one back every `interval`. 0: it
  // had one; otherwise how long until it has.
  [[nodiscard]] base::Duration take(const base::Digest& bucket, base::Duration interval, std::uint32_t burst,
                                    base::Instant now);

 private:
  // The generic cell rate algorithm: one instant says how full a bucket is.
  struct Bucket {
    base::Instant full_at{};
    [[nodiscard]] bool pinned() const noexcept { return false; }
  };
  base::SipHash hash_;
  base::KeyedTable<Bucket> buckets_;
};

// `place` says where the limit stands, such as "host example.com": one name, one set of buckets.
[[nodiscard]] std::unique_ptr<const Guard> make_rate_limit(const config::RateLimit& limit,
                                                           std::string_view place,
                                                           std::shared_ptr<RateLimits> table,
                                                           unsigned ipv6_prefix);

}  // namespace sallyport::filter
