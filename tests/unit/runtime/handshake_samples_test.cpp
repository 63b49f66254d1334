// Successful handshakes are logged as asked: exactly one in so many, never more a second, and what
// is held back is told. Ids of TLS connections are their own.
#include "handshake_samples.hpp"

#include <unordered_set>
#include <vector>

#include "catch.hpp"
#include "tls_ids.hpp"

using namespace sallyport;
using runtime::HandshakeSamples;
using runtime::TlsIds;

namespace {

const base::Instant kStart{base::Seconds(1000)};

std::vector<int> chosen(HandshakeSamples& samples, int count) {
  std::vector<int> passed;
  for (int i = 0; i < count; ++i) {
    if (samples.next(kStart).pass) passed.push_back(i);
  }
  return passed;
}

}  // namespace

TEST_CASE("one in n is the first and every n-th after it") {
  HandshakeSamples samples;
  samples.use({5, 100});
  CHECK(chosen(samples, 16) == std::vector<int>{0, 5, 10, 15});
}

TEST_CASE("0 is none and 1 is every one") {
  HandshakeSamples none;
  CHECK(chosen(none, 10).empty());
  none.use({0, 100});
  CHECK(chosen(none, 10).empty());
  HandshakeSamples all;
  all.use({1, 100});
  CHECK(chosen(all, 10).size() == 10);
}

TEST_CASE("what is over the rate is held back and told with the next that passes") {
  HandshakeSamples samples;
  samples.use({1, 2});
  CHECK(chosen(samples, 10) == std::vector<int>{0, 1});
  const auto later = samples.next(kStart + base::Milliseconds(500));
  CHECK(later.pass);
  CHECK(later.held_back == 8);
  CHECK_FALSE(samples.next(kStart + base::Milliseconds(500)).pass);
}

TEST_CASE("a reload with the same wish goes on counting, another begins anew") {
  HandshakeSamples samples;
  samples.use({4, 100});
  CHECK(chosen(samples, 3) == std::vector<int>{0});
  samples.use({4, 100});
  CHECK(chosen(samples, 2) == std::vector<int>{1});
  samples.use({3, 100});
  CHECK(chosen(samples, 4) == std::vector<int>{0, 3});
}

TEST_CASE("ids differ within a process, between workers and from run to run") {
  std::unordered_set<std::uint64_t> seen;
  for (const std::uint64_t process : {0x1234'5678'9abc'def0ULL, 0xfedc'ba98'7654'3210ULL}) {
    for (std::uint32_t worker = 0; worker < 8; ++worker) {
      TlsIds ids(process, worker);
      for (int i = 0; i < 1000; ++i) seen.insert(ids.next());
    }
  }
  CHECK(seen.size() == 2 * 8 * 1000);
  CHECK(seen.count(0) == 0);
}
