#include <map>

#include "sallyport/upstream/balancer.hpp"
#include "sallyport/upstream/ejection.hpp"
#include "sallyport/upstream/retry.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::upstream;
using base::ErrorCode;

namespace {

std::vector<Balancer::Candidate> weighted(std::initializer_list<std::uint32_t> weights) {
  std::vector<Balancer::Candidate> list;
  for (const std::uint32_t w : weights) {
    Balancer::Candidate c;
    c.weight = w;
    list.push_back(c);
  }
  return list;
}

base::Error error_of(ErrorCode code, bool unsent, bool reused) {
  base::Error e = base::upstream_error(code);
  e.unsent = unsent;
  e.reused = reused;
  return e;
}

}  // namespace

TEST_CASE("round robin gives each endpoint exactly its weight, spread out") {
  Balancer balancer(config::Balance::round_robin, 1);
  auto candidates = weighted({5, 1, 1});
  std::string order;
  for (int i = 0; i < 14; ++i) order += static_cast<char>('a' + *balancer.pick(candidates));
  CHECK(order == "aabacaaaabacaa");
}

TEST_CASE("round robin is exact over every window of the weights' sum") {
  Balancer balancer(config::Balance::round_robin, 1);
  auto candidates = weighted({7, 3, 2, 4});
  std::vector<std::size_t> picks;
  for (int i = 0; i < 160; ++i) picks.push_back(*balancer.pick(candidates));
  for (std::size_t from = 0; from + 16 <= picks.size(); from += 16) {
    std::map<std::size_t, int> seen;
    for (std::size_t i = from; i < from + 16; ++i) ++seen[picks[i]];
    CHECK(seen == std::map<std::size_t, int>{{0, 7}, {1, 3}, {2, 2}, {3, 4}});
  }
}

TEST_CASE("endpoints that are not eligible get nothing, and no debt for it") {
  for (const auto policy : {config::Balance::round_robin, config::Balance::least_request}) {
    Balancer balancer(policy, 1);
    auto candidates = weighted({1, 1, 1});
    candidates[1].eligible = false;
    for (int i = 0; i < 50; ++i) CHECK(*balancer.pick(candidates) != 1);
    candidates[1].eligible = true;
    int hits = 0;
    for (int i = 0; i < 30; ++i) hits += *balancer.pick(candidates) == 1 ? 1 : 0;
    CHECK(hits > 0);
    CHECK(hits < 25);
    for (auto& c : candidates) c.eligible = false;
    CHECK_FALSE(balancer.pick(candidates));
  }
}

TEST_CASE("least request takes the less busy of two") {
  Balancer balancer(config::Balance::least_request, 7);
  auto candidates = weighted({1, 1});
  candidates[0].active = 10;
  for (int i = 0; i < 100; ++i) CHECK(*balancer.pick(candidates) == 1);
}

TEST_CASE("least request evens out what runs, by weight") {
  Balancer balancer(config::Balance::least_request, 42);
  auto candidates = weighted({1, 2, 1});
  for (int i = 0; i < 400; ++i) ++candidates[*balancer.pick(candidates)].active;
  CHECK(candidates[0].active >= 90);
  CHECK(candidates[0].active <= 110);
  CHECK(candidates[1].active >= 190);
  CHECK(candidates[1].active <= 210);
}

TEST_CASE("an endpoint is ejected after its failures in a row, for twice as long each time in a row") {
  config::Ejection policy;
  Ejection ejection;
  const auto fail_until_out = [&] {
    for (std::uint32_t i = 1; i < policy.failures; ++i) CHECK_FALSE(ejection.failed(policy));
    CHECK(ejection.failed(policy));
    const base::Milliseconds time = ejection.eject(policy);
    CHECK(ejection.out());
    ejection.returned();
    return time;
  };
  for (const int seconds : {10, 20, 40, 80, 160, 300, 300}) {
    CHECK(fail_until_out() == base::Seconds(seconds));
  }
  ejection.succeeded();
  CHECK(fail_until_out() == base::Seconds(10));
}

TEST_CASE("a success between failures starts the count again") {
  const config::Ejection policy;
  Ejection ejection;
  for (int round = 0; round < 10; ++round) {
    for (std::uint32_t i = 1; i < policy.failures; ++i) CHECK_FALSE(ejection.failed(policy));
    ejection.succeeded();
  }
}

TEST_CASE("ejection is off with zero failures, and leaves half of the endpoints in place") {
  config::Ejection policy;
  policy.failures = 0;
  Ejection ejection;
  for (int i = 0; i < 100; ++i) CHECK_FALSE(ejection.failed(policy));
  CHECK_FALSE(Ejection::room(policy, 1, 0));
  CHECK(Ejection::room(policy, 2, 0));
  CHECK_FALSE(Ejection::room(policy, 2, 1));
  CHECK_FALSE(Ejection::room(policy, 3, 1));
  CHECK(Ejection::room(policy, 4, 1));
}

TEST_CASE("what is provably unsent may be retried, whatever the method") {
  for (const ErrorCode code :
       {ErrorCode::connect_refused, ErrorCode::connect_timeout, ErrorCode::connect_unreachable,
        ErrorCode::connect_failed, ErrorCode::tls_failed, ErrorCode::tls_untrusted, ErrorCode::tls_timeout,
        ErrorCode::tls_closed, ErrorCode::tls_reset, ErrorCode::stream_refused, ErrorCode::closed,
        ErrorCode::reset}) {
    INFO(base::to_string(code));
    CHECK(may_retry(error_of(code, true, false), {false, true, false}));
    CHECK_FALSE(may_retry(error_of(code, true, false), {false, false, false}));  // the body is gone
    CHECK_FALSE(may_retry(error_of(code, true, true), {true, true, true}));      // an answer had begun
  }
}

TEST_CASE("a sent request is retried only if it is idempotent and met a stale connection") {
  for (const ErrorCode code : {ErrorCode::closed, ErrorCode::reset}) {
    CHECK(may_retry(error_of(code, false, true), {true, true, false}));
    CHECK_FALSE(may_retry(error_of(code, false, true), {false, true, false}));  // could act twice
    CHECK_FALSE(may_retry(error_of(code, false, true), {true, false, false}));
    CHECK_FALSE(may_retry(error_of(code, false, false), {true, true, false}));  // fresh: the peer did it
  }
  for (const ErrorCode code : {ErrorCode::head_timeout, ErrorCode::body_timeout, ErrorCode::stream_reset,
                               ErrorCode::malformed, ErrorCode::idle_timeout}) {
    CHECK_FALSE(may_retry(error_of(code, false, true), {true, true, false}));
  }
}

TEST_CASE("what would only fail again, or is nobody's failure, is not retried") {
  for (const ErrorCode code : {ErrorCode::none, ErrorCode::no_endpoint, ErrorCode::name_unresolved,
                               ErrorCode::pool_exhausted, ErrorCode::canceled, ErrorCode::draining,
                               ErrorCode::total_timeout, ErrorCode::unsupported, ErrorCode::overloaded}) {
    INFO(base::to_string(code));
    CHECK_FALSE(may_retry(error_of(code, true, true), {true, true, false}));
  }
  base::Error by_client = base::client_error(ErrorCode::reset);
  by_client.unsent = true;
  CHECK_FALSE(may_retry(by_client, {true, true, false}));
}

TEST_CASE("the budget allows its floor, and its share of the exchanges above that") {
  RetryBudget budget{config::Retries{}};
  for (int i = 0; i < 3; ++i) CHECK(budget.begin_retry());
  CHECK_FALSE(budget.begin_retry());
  for (int i = 0; i < 100; ++i) budget.begin_exchange();
  for (int i = 3; i < 20; ++i) CHECK(budget.begin_retry());
  CHECK_FALSE(budget.begin_retry());
  budget.end_retry();
  CHECK(budget.begin_retry());
  for (int i = 0; i < 50; ++i) budget.end_exchange();
  budget.end_retry();
  CHECK_FALSE(budget.begin_retry());
}
