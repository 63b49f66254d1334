#include <array>
#include <atomic>
#include <cctype>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "sallyport/obs/metrics.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::obs;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

namespace {

constexpr std::array kStages = {"hello"sv, "finished"sv};
constexpr std::array kReasons = {"not_tls"sv, "timeout"sv, "internal"sv};
constexpr std::array kMethods = {"other"sv, "GET"sv, "POST"sv};
constexpr std::array kReplies = {"no_route"sv, "bad_request"sv};
constexpr std::array kFloods = {"rapid_reset"sv, "continuation"sv};
constexpr Vocabulary kWords{kStages, kReasons, kMethods, kReplies, kFloods};

bool has(const Metrics& metrics, const std::string& line) {
  return ("\n" + metrics.text()).find("\n" + line + "\n") != std::string::npos;
}

// One of everything, so that every family shows.
void touch_all(Metrics& metrics, Shard& s) {
  const auto listener = metrics.listener("https");
  listener->accepted(s, PeerKind::other);
  listener->closed(s, PeerKind::other, Proto::h2, ClosedBy::peer);
  listener->rejected(s, RejectReason::limit);
  listener->handshake_begun(s);
  listener->handshake_ended(s);
  listener->handshake_duration(s, false, 3ms);
  listener->handshake_cpu(s, 1500us);
  listener->hello_retry_request(s);
  listener->hello_segmented(s);
  listener->cipher(s, "TLS_AES_128_GCM_SHA256");
  listener->group(s, "X25519");
  listener->sigalg(s, "ecdsa_secp256r1_sha256");
  const auto host = metrics.host("https", "example.com");
  host->handshake(s, TlsVersion::tls13, Alpn::h2, true);
  host->handshake_failed(s, 1, 2);
  host->client_cert(s, CertResult::absent);
  const auto route = metrics.route("web");
  route->begun(s);
  route->ended(s, Proto::h2, 1, 204, 20ms);
  route->first_byte(s, 204, 10ms);
  route->request_bytes(s, 11);
  route->response_bytes(s, 12);
  route->local_reply(s, 404, 0);
  const auto upstream = metrics.upstream("api");
  upstream->connected(s, Proto::none, ConnectResult::refused);
  upstream->connections(s, Proto::h2, PoolState::idle, 2);
  upstream->connect_duration(s, 1ms);
  upstream->tls_duration(s, 1ms);
  upstream->response_duration(s, 1ms);
  upstream->request(s, 503, true);
  upstream->retry(s, base::ErrorCode::connect_refused, RetryResult::budget);
  upstream->pending(s, 1);
  upstream->ejected(s, EjectionKind::connect);
  upstream->endpoints(s, EndpointState::healthy, 3);
  metrics.stream_reset(s, Side::upstream, Dir::tx, 8);
  metrics.goaway(s, Side::client, Dir::rx, 0xdeadbeef);
  metrics.flood(s, 1);
  metrics.client_ip(s, IpSource::xff, IpVerdict::stripped_untrusted);
  metrics.loop_lag(s, 2ms);
  metrics.build({"0.1.0", "abc", "3.0.17", "1.52.0"});
  const std::array certificates = {CertificateFacts{"example.com", "ecdsa", "1a2b", base::WallTime(1s),
                                                    base::WallTime(2s), base::WallTime(3s)}};
  metrics.certificates(certificates);
  metrics.ticket_keys_rotated();
  metrics.reloaded(ReloadTrigger::sighup, ReloadResult::partial, base::WallTime(1700000000s));
  metrics.reload_phase(ReloadPhase::load, 30ms);
  metrics.generation(7);
  metrics.generations_alive([] { return 2.0; });
  metrics.memory_pool("buffers", [] { return 4096.0; });
  metrics.access_log_dropped("ring_full", [] { return 5.0; });
}

}  // namespace

TEST_CASE("every event is found under its metric and labels") {
  Metrics metrics(kWords);
  touch_all(metrics, metrics.new_shard());
  const std::vector<std::string> lines = {
      R"(sallyport_build_info{version="0.1.0",commit="abc",openssl="3.0.17",nghttp2="1.52.0"} 1)",
      R"(sallyport_listener_connections_total{listener="https",peer="other"} 1)",
      R"(sallyport_listener_connections{listener="https",peer="other"} 0)",
      R"(sallyport_listener_rejected_total{listener="https",reason="limit"} 1)",
      R"(sallyport_listener_rejected_total{listener="https",reason="memory"} 0)",
      R"(sallyport_connection_closed_total{listener="https",proto="h2",by="peer"} 1)",
      R"(sallyport_tls_handshakes_in_progress{listener="https"} 0)",
      R"(sallyport_tls_handshake_duration_seconds_bucket{listener="https",resumed="false",le="0.0025"} 0)",
      R"(sallyport_tls_handshake_duration_seconds_bucket{listener="https",resumed="false",le="0.005"} 1)",
      R"(sallyport_tls_handshake_duration_seconds_count{listener="https",resumed="true"} 0)",
      R"(sallyport_tls_handshake_cpu_seconds_total{listener="https"} 0.0015)",
      R"(sallyport_tls_hello_retry_requests_total{listener="https"} 1)",
      R"(sallyport_tls_client_hello_segmented_total{listener="https"} 1)",
      R"(sallyport_tls_ciphers_total{listener="https",cipher="TLS_AES_128_GCM_SHA256"} 1)",
      R"(sallyport_tls_groups_total{listener="https",group="X25519"} 1)",
      R"(sallyport_tls_sigalgs_total{listener="https",sigalg="ecdsa_secp256r1_sha256"} 1)",
      R"(sallyport_tls_handshakes_total{listener="https",host="example.com",version="1.3",alpn="h2",resumed="true"} 1)",
      R"(sallyport_tls_handshake_failures_total{listener="https",host="example.com",stage="finished",reason="internal"} 1)",
      R"(sallyport_tls_client_cert_total{listener="https",host="example.com",result="absent"} 1)",
      R"(sallyport_tls_certificate_not_before_timestamp_seconds{host="example.com",key_type="ecdsa",serial_hash="1a2b"} 1)",
      R"(sallyport_tls_certificate_not_after_timestamp_seconds{host="example.com",key_type="ecdsa",serial_hash="1a2b"} 2)",
      R"(sallyport_tls_certificate_loaded_timestamp_seconds{host="example.com",key_type="ecdsa",serial_hash="1a2b"} 3)",
      R"(sallyport_tls_ticket_key_rotations_total 1)",
      R"(sallyport_config_reloads_total{trigger="sighup",result="partial"} 1)",
      R"(sallyport_config_reloads_total{trigger="sighup",result="rejected"} 0)",
      R"(sallyport_config_last_reload_successful 1)",
      R"(sallyport_config_last_reload_success_timestamp_seconds 1700000000)",
      R"(sallyport_config_generation 7)",
      R"(sallyport_config_generations_alive 2)",
      R"(sallyport_config_reload_duration_seconds_bucket{phase="load",le="0.05"} 1)",
      R"(sallyport_http_requests_total{route="web",proto="h2",method="GET",code_class="2xx"} 1)",
      R"(sallyport_http_request_duration_seconds_bucket{route="web",code_class="2xx",le="0.025"} 1)",
      R"(sallyport_http_time_to_first_byte_seconds_bucket{route="web",code_class="2xx",le="0.01"} 1)",
      R"(sallyport_http_requests_in_flight{route="web"} 0)",
      R"(sallyport_http_request_bytes_total{route="web"} 11)",
      R"(sallyport_http_response_bytes_total{route="web"} 12)",
      R"(sallyport_http_local_replies_total{route="web",code="404",reason="no_route"} 1)",
      R"(sallyport_h2_streams_reset_total{side="upstream",dir="tx",error_code="cancel"} 1)",
      R"(sallyport_h2_goaway_total{side="client",dir="rx",error_code="other"} 1)",
      R"(sallyport_h2_flood_protection_total{kind="continuation"} 1)",
      R"(sallyport_upstream_connections_total{upstream="api",proto="none",result="refused"} 1)",
      R"(sallyport_upstream_connections{upstream="api",proto="h2",state="idle"} 2)",
      R"(sallyport_upstream_connect_duration_seconds_count{upstream="api"} 1)",
      R"(sallyport_upstream_tls_handshake_duration_seconds_count{upstream="api"} 1)",
      R"(sallyport_upstream_response_duration_seconds_count{upstream="api"} 1)",
      R"(sallyport_upstream_requests_total{upstream="api",code_class="5xx",reused="true"} 1)",
      R"(sallyport_upstream_retries_total{upstream="api",cause="connect_refused",result="budget"} 1)",
      R"(sallyport_upstream_pending_requests{upstream="api"} 1)",
      R"(sallyport_upstream_ejections_total{upstream="api",kind="connect"} 1)",
      R"(sallyport_upstream_endpoints{upstream="api",state="healthy"} 3)",
      R"(sallyport_client_ip_source_total{source="xff",verdict="stripped_untrusted"} 1)",
      R"(sallyport_accesslog_dropped_total{reason="ring_full"} 5)",
      R"(sallyport_memory_bytes{pool="buffers"} 4096)",
      R"(sallyport_event_loop_lag_seconds_bucket{le="0.005"} 1)",
  };
  for (const auto& line : lines) {
    INFO(line);
    CHECK(has(metrics, line));
  }
}

// What `promtool check metrics` and the naming rules ask for.
TEST_CASE("names, types and help satisfy Prometheus' rules") {
  Metrics metrics(kWords);
  touch_all(metrics, metrics.new_shard());
  std::istringstream in(metrics.text());
  std::set<std::string> helped, typed;
  for (std::string line; std::getline(in, line);) {
    INFO(line);
    std::istringstream words(line);
    std::string hash, what, name, rest;
    words >> hash >> what >> name;
    if (hash != "#") continue;
    if (what == "HELP") {
      CHECK(helped.insert(name).second);
      CHECK(words >> rest);
      CHECK(line.back() == '.');
      continue;
    }
    REQUIRE(what == "TYPE");
    words >> rest;
    CHECK(helped.count(name) == 1);
    CHECK(typed.insert(name).second);
    CHECK((name.starts_with("sallyport_") || name.starts_with("process_")));
    CHECK(name.ends_with("_total") == (rest == "counter"));
    for (const char c : name)
      CHECK((std::islower(static_cast<unsigned char>(c)) || std::isdigit(static_cast<unsigned char>(c)) ||
             c == '_'));
    for (const auto* bad : {"_count", "_sum", "_bucket"}) CHECK_FALSE(name.ends_with(bad));
    for (const auto* bad :
         {"_ms", "_milliseconds", "_us", "_kb", "_percent", "_counter", "_gauge", "_histogram"})
      CHECK(name.find(bad) == std::string::npos);
    if (rest == "histogram") CHECK(name.ends_with("_seconds"));
  }
  CHECK(typed.size() > 50);
}

TEST_CASE("objects of the same name are one while somebody holds them, and count on afterwards") {
  Metrics metrics(kWords);
  Shard& shard = metrics.new_shard();
  auto first = metrics.route("web");
  CHECK(metrics.route("web") == first);
  CHECK(metrics.host("a", "h") != metrics.host("b", "h"));
  first->begun(shard);
  first->ended(shard, Proto::http11, 2, 200, 1ms);
  first.reset();
  metrics.route("web")->ended(shard, Proto::http11, 2, 201, 1ms);
  CHECK(
      has(metrics,
          R"(sallyport_http_requests_total{route="web",proto="http/1.1",method="POST",code_class="2xx"} 2)"));
}

TEST_CASE("indices beyond the tables are ignored rather than counted as something else") {
  Metrics metrics(kWords);
  Shard& shard = metrics.new_shard();
  metrics.host("l", "h")->handshake_failed(shard, 0, kReasons.size());
  metrics.host("l", "h")->handshake_failed(shard, kStages.size(), 0);
  metrics.route("r")->local_reply(shard, 404, kReplies.size());
  metrics.route("r")->local_reply(shard, 0, 0);
  CHECK(metrics.text().find("handshake_failures_total{") == std::string::npos);
  CHECK(metrics.text().find("local_replies_total{") == std::string::npos);
}

TEST_CASE("a status that HTTP does not define is the class none") {
  Metrics metrics(kWords);
  Shard& shard = metrics.new_shard();
  const auto route = metrics.route("r");
  for (const unsigned status : {0U, 99U, 600U, 999U}) route->ended(shard, Proto::h2, 0, status, 1ms);
  CHECK(has(metrics,
            R"(sallyport_http_requests_total{route="r",proto="h2",method="other",code_class="none"} 4)"));
}

TEST_CASE("names past the bound of a list are counted together") {
  Metrics metrics(kWords);
  Shard& shard = metrics.new_shard();
  const auto listener = metrics.listener("l");
  for (std::size_t i = 0; i < NamedCounters::kMax + 5; ++i) listener->cipher(shard, "C" + std::to_string(i));
  listener->cipher(shard, "C0");
  CHECK(has(metrics, R"(sallyport_tls_ciphers_total{listener="l",cipher="C0"} 2)"));
  CHECK(has(metrics, R"(sallyport_tls_ciphers_total{listener="l",cipher="_other"} 5)"));
}

TEST_CASE("a certificate that was replaced is no longer shown") {
  Metrics metrics(kWords);
  const std::array before = {CertificateFacts{"h", "rsa", "old", {}, base::WallTime(5s), {}}};
  const std::array after = {CertificateFacts{"h", "rsa", "new", {}, base::WallTime(9s), {}}};
  metrics.certificates(before);
  metrics.certificates(after);
  const std::string text = metrics.text();
  CHECK(text.find("\"old\"") == std::string::npos);
  CHECK(text.find("not_after_timestamp_seconds{host=\"h\",key_type=\"rsa\",serial_hash=\"new\"} 9\n") !=
        std::string::npos);
}

TEST_CASE("a rejected reload leaves the time of the last good one, and a start is no reload") {
  Metrics metrics(kWords);
  metrics.reloaded(ReloadTrigger::start, ReloadResult::ok, base::WallTime(100s));
  metrics.reloaded(ReloadTrigger::sighup, ReloadResult::rejected, base::WallTime(200s));
  CHECK(has(metrics, "sallyport_config_last_reload_successful 0"));
  CHECK(has(metrics, "sallyport_config_last_reload_success_timestamp_seconds 100"));
  CHECK(has(metrics, R"(sallyport_config_reloads_total{trigger="sighup",result="ok"} 0)"));
  CHECK(has(metrics, R"(sallyport_config_reloads_total{trigger="sighup",result="rejected"} 1)"));
  CHECK(metrics.text().find("trigger=\"start\"") == std::string::npos);
}

TEST_CASE("the host label goes when there are too many hosts") {
  CHECK(host_label("example.com", kHostLabelLimit) == "example.com");
  CHECK(host_label("example.com", kHostLabelLimit + 1) == "_all");
}

TEST_CASE("process metrics are plausible") {
  Metrics metrics(kWords);
  const std::string text = metrics.text();
  const auto value = [&text](const std::string& name) {
    const std::size_t at = text.find("\n" + name + " ");
    REQUIRE(at != std::string::npos);
    return std::stod(text.substr(at + name.size() + 2));
  };
  CHECK(value("process_resident_memory_bytes") > 1e6);
  CHECK(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
  CHECK(value("process_open_fds") >= 3);
  CHECK(value("process_max_fds") >= value("process_open_fds"));
  CHECK(value("process_threads") >= 1);
  CHECK(value("process_cpu_seconds_total") >= 0);
  const double now = std::chrono::duration<double>(base::WallClock::now().time_since_epoch()).count();
  CHECK(value("process_start_time_seconds") > now - 3600);
  CHECK(value("process_start_time_seconds") < now + 5);
}

TEST_CASE("workers that meet a series for the first time at once lose no count") {
  Metrics metrics(kWords);
  const auto route = metrics.route("r");
  const auto listener = metrics.listener("l");
  constexpr int kWorkers = 4;
  constexpr int kRounds = 300;
  std::atomic<int> waiting{kWorkers};
  std::vector<std::thread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&, shard = &metrics.new_shard()] {
      waiting.fetch_sub(1);
      while (waiting.load() > 0) std::this_thread::yield();
      for (int i = 0; i < kRounds; ++i) {
        route->ended(*shard, static_cast<Proto>(i % 3), static_cast<std::size_t>(i) % kMethods.size(),
                     100U + 100U * static_cast<unsigned>(i % 5), 1ms);
        route->local_reply(*shard, 400U + static_cast<unsigned>(i % 7), 1);
        listener->group(*shard, "G" + std::to_string(i % 11));
      }
    });
  }
  for (int i = 0; i < 20; ++i) (void)metrics.text();
  for (auto& w : workers) w.join();
  std::istringstream in(metrics.text());
  double requests = 0, replies = 0, groups = 0;
  for (std::string line; std::getline(in, line);) {
    const double n = line.starts_with("#") ? 0 : std::stod(line.substr(line.rfind(' ')));
    if (line.starts_with("sallyport_http_requests_total{")) requests += n;
    if (line.starts_with("sallyport_http_local_replies_total{")) replies += n;
    if (line.starts_with("sallyport_tls_groups_total{")) groups += n;
  }
  CHECK(requests == kWorkers * kRounds);
  CHECK(replies == kWorkers * kRounds);
  CHECK(groups == kWorkers * kRounds);
}
