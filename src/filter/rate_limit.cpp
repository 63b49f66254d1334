#include "rate_limit.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

namespace sallyport::filter {

namespace {

std::string identity_of(const config::RateLimit& limit, std::string_view place) {
  std::string text(place);
  text += '\0';
  text += limit.header;
  for (const auto number :
       {std::int64_t{limit.requests}, std::int64_t{limit.per.count()}, std::int64_t{limit.burst}}) {
    text += '\0';
    text += std::to_string(number);
  }
  return text;
}

// Of whom: two kinds of client never share a bucket, whatever a header says.
enum class Kind : std::uint64_t { value, address };

}  // namespace

base::Duration RateLimits::take(const base::Digest& bucket, base::Duration interval, std::uint32_t burst,
                                base::Instant now) {
  base::Duration wait{0};
  buckets_.with(bucket, [&](Bucket& b) {
    const base::Instant full_at = std::max(b.full_at, now);
    // Of the burst one token is what is asked for now.
    const base::Duration lacking = full_at - now - interval * (burst - 1);
    if (lacking > base::Duration(0)) {
      wait = lacking;
    } else {
      b.full_at = full_at + interval;
    }
  });
  return wait;
}

std::unique_ptr<const Guard> make_rate_limit(const config::RateLimit& limit, std::string_view place,
                                             std::shared_ptr<RateLimits> table, unsigned ipv6_prefix) {
  return std::make_unique<RateLimit>(limit, place, std::move(table), ipv6_prefix);
}

RateLimit::RateLimit(const config::RateLimit& limit, std::string_view place,
                     std::shared_ptr<RateLimits> table, unsigned ipv6_prefix)
    : table_(std::move(table)),
      identity_(table_->digest(identity_of(limit, place))),
      header_(limit.header),
      ipv6_prefix_(ipv6_prefix),
      interval_(base::Duration(limit.per) / limit.requests),
      burst_(limit.burst == 0 ? limit.requests : limit.burst) {}

base::Digest RateLimit::bucket_of(const Context& context, const http::RequestHead& head) const {
  base::Digest who;
  Kind kind = Kind::value;
  const auto value = header_.empty() ? std::nullopt : head.fields.find(header_);
  if (value) {
    who = table_->digest(*value);
  } else {
    kind = Kind::address;
    const auto address = net::client_key(context.client.address, ipv6_prefix_);
    who = table_->digest({reinterpret_cast<const char*>(address.data()), address.size()});
  }
  const std::array<std::uint64_t, 5> words{identity_.high, identity_.low, static_cast<std::uint64_t>(kind),
                                           who.high, who.low};
  return table_->digest({reinterpret_cast<const char*>(words.data()), sizeof words});
}

base::Error RateLimit::admit(const Context& context, const http::RequestHead& head) const {
  const base::Duration wait = table_->take(bucket_of(context, head), interval_, burst_, context.now);
  if (wait == base::Duration(0)) return {};
  const auto seconds = std::chrono::ceil<base::Seconds>(wait).count();
  return base::client_error(base::ErrorCode::rate_limited, static_cast<std::int32_t>(seconds));
}

}  // namespace sallyport::filter
