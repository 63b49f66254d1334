// Threat: one client, or one stolen API key, asks for all that an origin can give.
#include <string>

#include "sallyport/filter/chain.hpp"
#include "sallyport/filter/rate_limits.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace std::chrono_literals;

namespace {

const base::Instant kBegin = base::Instant(1h);

config::RateLimit limit(std::uint32_t requests, base::Milliseconds per, std::uint32_t burst = 0,
                        std::string header = "") {
  config::RateLimit made;
  made.requests = requests;
  made.per = per;
  made.burst = burst;
  made.header = std::move(header);
  return made;
}

struct Door {
  explicit Door(const config::RateLimit& config, std::string place = "route a")
      : guard(filter::make_rate_limit(config, place, table, 64)) {}

  // Seconds of Retry-After; 0: let through.
  int ask(const char* client, base::Instant now, const char* key = nullptr) {
    http::RequestHead head;
    if (key != nullptr) head.fields.add("x-api-key", key);
    const net::Endpoint from{*net::IpAddress::parse(client), 4711};
    const base::Error error = guard->admit({from, client, 443, true, "id", now}, head);
    if (!error) return 0;
    CHECK(error.code == base::ErrorCode::rate_limited);
    CHECK(error.fault == base::Fault::client);
    return error.cause;
  }

  std::shared_ptr<filter::RateLimits> table = std::make_shared<filter::RateLimits>(1024, 4);
  std::unique_ptr<const filter::Guard> guard;
};

}  // namespace

TEST_CASE("rate limit: a burst, then the rate") {
  Door door(limit(10, 1s, 3));
  for (int i = 0; i < 3; ++i) CHECK(door.ask("192.0.2.1", kBegin) == 0);
  CHECK(door.ask("192.0.2.1", kBegin) == 1);
  CHECK(door.ask("192.0.2.2", kBegin) == 0);
  CHECK(door.ask("192.0.2.1", kBegin + 99ms) == 1);
  CHECK(door.ask("192.0.2.1", kBegin + 100ms) == 0);
  CHECK(door.ask("192.0.2.1", kBegin + 100ms) == 1);
  // Rested long enough, the burst is whole again, and no more than whole.
  for (int i = 0; i < 3; ++i) CHECK(door.ask("192.0.2.1", kBegin + 1h) == 0);
  CHECK(door.ask("192.0.2.1", kBegin + 1h) == 1);
}

TEST_CASE("rate limit: Retry-After says when it will be let through") {
  Door door(limit(1, 1min));
  CHECK(door.ask("192.0.2.1", kBegin) == 0);
  CHECK(door.ask("192.0.2.1", kBegin) == 60);
  CHECK(door.ask("192.0.2.1", kBegin + 500ms) == 60);
  CHECK(door.ask("192.0.2.1", kBegin + 59s) == 1);
  CHECK(door.ask("192.0.2.1", kBegin + 60s) == 0);
}

TEST_CASE("rate limit: refused requests cost nothing more") {
  Door door(limit(1, 1s));
  CHECK(door.ask("192.0.2.1", kBegin) == 0);
  for (int i = 0; i < 100; ++i) CHECK(door.ask("192.0.2.1", kBegin + 10ms) == 1);
  CHECK(door.ask("192.0.2.1", kBegin + 1s) == 0);
}

TEST_CASE("rate limit: by a header, and by address without it") {
  Door door(limit(1, 1s, 1, "x-api-key"));
  CHECK(door.ask("192.0.2.1", kBegin, "alice") == 0);
  CHECK(door.ask("192.0.2.2", kBegin, "alice") == 1);
  CHECK(door.ask("192.0.2.2", kBegin, "bob") == 0);
  CHECK(door.ask("192.0.2.1", kBegin) == 0);
  CHECK(door.ask("192.0.2.1", kBegin) == 1);
}

TEST_CASE("rate limit: IPv6 by its prefix") {
  Door door(limit(1, 1s));
  CHECK(door.ask("2001:db8::1", kBegin) == 0);
  CHECK(door.ask("2001:db8::2", kBegin) == 1);
  CHECK(door.ask("2001:db8:0:1::1", kBegin) == 0);
}

TEST_CASE("rate limit: a reload keeps the buckets of what it leaves alone") {
  Door door(limit(1, 1s));
  CHECK(door.ask("192.0.2.1", kBegin) == 0);
  door.guard = filter::make_rate_limit(limit(1, 1s), "route a", door.table, 64);
  CHECK(door.ask("192.0.2.1", kBegin) == 1);
  door.guard = filter::make_rate_limit(limit(1, 1s), "route b", door.table, 64);
  CHECK(door.ask("192.0.2.1", kBegin) == 0);
  door.guard = filter::make_rate_limit(limit(2, 1s), "route a", door.table, 64);
  CHECK(door.ask("192.0.2.1", kBegin) == 0);
}

TEST_CASE("rate limit: the largest numbers that the configuration takes") {
  Door door(limit(1, 1h, 1'000'000));
  for (int i = 0; i < 1000; ++i) CHECK(door.ask("192.0.2.1", kBegin) == 0);
  Door fast(limit(1'000'000, 1ms, 1));
  CHECK(fast.ask("192.0.2.1", kBegin) == 0);
  CHECK(fast.ask("192.0.2.1", kBegin) == 1);
  CHECK(fast.ask("192.0.2.1", kBegin + 1ns) == 0);
}

TEST_CASE("chain: every guard must let a request through") {
  auto table = std::make_shared<filter::RateLimits>(1024, 4);
  std::vector<std::unique_ptr<const filter::Guard>> guards;
  guards.push_back(filter::make_rate_limit(limit(2, 1s), "host a", table, 64));
  guards.push_back(filter::make_rate_limit(limit(1, 1s, 1, "x-api-key"), "route a", table, 64));
  const filter::Chain chain(config::Route{}, std::move(guards));
  const net::Endpoint from{*net::IpAddress::parse("192.0.2.1"), 4711};
  const filter::Context context{from, "192.0.2.1", 443, true, "id", kBegin};
  http::RequestHead head;
  head.fields.add("x-api-key", "alice");
  CHECK(!chain.admit(context, head));
  CHECK(chain.admit(context, head));
  CHECK(chain.admit(context, head));
}
