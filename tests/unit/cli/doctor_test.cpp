// The doctor's checks of a model, where no certificate is needed: each finds its own, and what is right
// is ok.
#include "doctor.hpp"

#include <filesystem>
#include <fstream>

#include "sallyport/config/load.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::cli;

namespace {

constexpr const char* kGood =
    "version: 1\n"
    "listeners: [{ name: https, address: '[::]:443', allow: [cloudflare] }]\n"
    "hosts: [{ names: [a.example], tls: { certificates: [{ chain: a.pem, key: a.key }] }, "
    "routes: [{ upstream: web }] }]\n"
    "upstreams: { web: { endpoints: ['127.0.0.1:1'] } }\n";

config::Model model(const std::string& text = kGood) {
  config::Loaded loaded = config::load_text(text, "test.yaml");
  for (const config::Problem& problem : loaded.problems) UNSCOPED_INFO(config::to_string(problem));
  REQUIRE(loaded.problems.empty());
  return std::move(loaded.model);
}

// "fail idle 520", of what is not ok.
std::vector<std::string> wrong(const config::Model& of) {
  Report report;
  examine({of, nullptr, nullptr, base::WallClock::now()}, report);
  std::vector<std::string> found;
  for (const Finding& finding : report.findings()) {
    CHECK(finding.remedy.empty() == (finding.severity == Severity::ok));
    if (finding.severity == Severity::ok || finding.check == "origin_pull") continue;
    found.push_back(std::string(to_string(finding.severity)) + " " + finding.check + " " +
                    std::to_string(finding.code));
  }
  return found;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("the defaults are right for Cloudflare") {
  CHECK(wrong(model()).empty());
}

TEST_CASE("each limit has its border") {
  config::Model m = model();
  auto& trusted = m.listeners[0].trusted;
  trusted.timeouts.idle = config::Milliseconds(900'000);
  CHECK(wrong(m) == Words{"fail idle 520"});
  trusted.timeouts.idle = config::Milliseconds(900'001);
  CHECK(wrong(m).empty());
  trusted.limits.header_bytes = 128 * config::kKiB - 1;
  CHECK(wrong(m) == Words{"warn headers 0"});
  trusted.limits.header_bytes = 128 * config::kKiB;
  trusted.limits.url = 16 * config::kKiB - 1;
  CHECK(wrong(m) == Words{"warn url 0"});
  trusted.limits.url = 16 * config::kKiB;
  trusted.limits.h2.streams = 199;
  CHECK(wrong(m) == Words{"warn streams 0"});
  trusted.limits.h2.streams = 200;
  CHECK(wrong(m).empty());
  trusted.limits.connection_age = config::Milliseconds(1);
  CHECK(wrong(m) == Words{"warn connection_life 520"});
}

TEST_CASE("first bytes and tries against 524") {
  config::Model m = model();
  auto& upstream = m.upstreams[0];
  const auto with = [&](int first_byte, int connect, int total) {
    upstream.timeouts.first_byte = config::Milliseconds(first_byte * 1000);
    upstream.timeouts.connect = config::Milliseconds(connect * 1000);
    upstream.timeouts.total = config::Milliseconds(total * 1000);
    return wrong(m);
  };
  CHECK(with(99, 3, 0).empty());
  CHECK(with(100, 3, 0) == Words{"warn first_byte 524"});
  CHECK(with(119, 3, 0) == Words{"warn first_byte 524"});
  CHECK(with(120, 3, 0) == Words{"fail first_byte 524"});
  CHECK(with(120, 3, 90).empty());                         // our 504 comes by `total`
  CHECK(with(60, 20, 0) == Words{"warn first_byte 524"});  // three tries
  CHECK(with(60, 19, 0).empty());
  upstream.retries.count = 0;
  CHECK(with(60, 20, 0).empty());
  upstream.tls.emplace();
  upstream.timeouts.tls = config::Milliseconds(40'000);
  CHECK(with(60, 20, 0) == Words{"warn first_byte 524"});
}

TEST_CASE("uploads that nobody takes against 524") {
  config::Model m = model();
  auto& timeouts = m.upstreams[0].timeouts;
  const auto with = [&](int send, int first_byte, int total) {
    timeouts.send = config::Milliseconds(send * 1000);
    timeouts.first_byte = config::Milliseconds(first_byte * 1000);
    timeouts.total = config::Milliseconds(total * 1000);
    return wrong(m);
  };
  CHECK(with(29, 60, 0).empty());
  CHECK(with(30, 60, 0) == Words{"fail send 524"});
  CHECK(with(0, 60, 0) == Words{"fail send 524"});
  CHECK(with(0, 29, 0).empty());   // our 504 comes by first_byte …
  CHECK(with(0, 60, 29).empty());  // … or by `total`
}

TEST_CASE("ports, each for its protocol") {
  config::Model m = model();
  const auto with = [&](config::ListenerProtocol protocol, std::uint16_t port) {
    m.listeners[0].protocol = protocol;
    m.listeners[0].address.port = port;
    return wrong(m);
  };
  using enum config::ListenerProtocol;
  CHECK(with(https, 443).empty());
  CHECK(with(https, 2053) == Words{"warn https 0"});
  CHECK(with(https, 80) == Words{"fail port 520"});
  CHECK(with(https, 4433) == Words{"fail port 521"});
  CHECK(with(https, 0) == Words{"warn port 0"});
  CHECK(with(http, 8443) == Words{"fail https 521", "fail port 525"});
  CHECK(with(http, 2095) == Words{"fail https 521"});
}

TEST_CASE("Cloudflare may be listed by ranges, by halves of ranges and by sets of other names") {
  config::Model m = model();
  auto& allow = m.listeners[0].allow;
  CHECK(Addresses(m, {"cloudflare"}).has_all_of_cloudflare());
  CHECK(Addresses(m, {"0.0.0.0/0", "::/0"}).has_all_of_cloudflare());
  CHECK(Addresses(m, {"0.0.0.0/0"}).missing_of_cloudflare().size() == 7);
  CHECK(Addresses(m, {"104.16.0.0/14", "104.20.0.0/14"}).missing_of_cloudflare().size() == 21);
  CHECK_FALSE(Addresses(m, {"104.16.0.0/14"}).has_some_of_cloudflare());
  CHECK_FALSE(Addresses(m, {}).has_some_of_cloudflare());
  allow = {"0.0.0.0/0", "::/0"};
  CHECK(wrong(m).empty());
  allow = {"0.0.0.0/0"};
  CHECK(wrong(m) == Words{"fail allow 521"});
  config::AddressSet mine;
  mine.name = "mine";
  mine.ranges = {"0.0.0.0/0", "::/0"};
  m.address_sets.push_back(mine);
  allow = {"mine"};
  CHECK(wrong(m).empty());
}

TEST_CASE("addresses that nothing is counted by need no exemption") {
  config::Model m = model();
  m.process_limits.exempt_addresses.clear();
  CHECK(wrong(m) == Words{"fail exempt_addresses 522"});
  auto& limits = m.listeners[0].trusted.limits;
  limits.connections_per_address = 0;
  limits.handshakes_per_address = 0;
  limits.abuse.offences = 0;
  CHECK(wrong(m).empty());
}

TEST_CASE("a file of ranges grows old") {
  const auto file = std::filesystem::temp_directory_path() / "sallyport-doctor-ranges";
  std::ofstream(file) << "0.0.0.0/0\n::/0\n";
  config::Model m = model();
  m.address_sets.front().files = {file};
  CHECK(wrong(m).empty());
  using namespace std::chrono;
  const auto written = std::filesystem::last_write_time(file);
  std::filesystem::last_write_time(file, written - hours(24 * 29));
  CHECK(wrong(m).empty());
  std::filesystem::last_write_time(file, written - hours(24 * 31));
  CHECK(wrong(m) == Words{"warn ranges_age 0"});
  std::filesystem::remove(file);
}

TEST_CASE("words for times and sizes") {
  CHECK(text_of(config::Milliseconds(960'000)) == "960 s");
  CHECK(text_of(config::Milliseconds(1500)) == "1500 ms");
  CHECK(size_text(128 * config::kKiB) == "128 KiB");
  CHECK(size_text(config::kMiB) == "1 MiB");
  CHECK(size_text(1000) == "1000 bytes");
  CHECK(joined({"a", "b", "c"}, ", ", 2) == "a, b and 1 more");
}
