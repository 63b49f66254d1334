#include <string>
#include <thread>
#include <vector>

#include <boost/json/src.hpp>

#include "sallyport/obs/access_log.hpp"

#include "catch.hpp"

using namespace sallyport;
using namespace sallyport::obs;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kRing = 64 * 1024;

std::string take(AccessRing& ring) {
  const auto r = ring.readable();
  std::string out(r.first.begin(), r.first.end());
  out.append(r.second.begin(), r.second.end());
  ring.release();
  return out;
}

std::string line_of(const AccessRecord& record) {
  AccessRing ring(kRing, [] {});
  REQUIRE(ring.write(record));
  return take(ring);
}

// The line's "target" as it stands between the quotes.
std::string escaped(std::string_view text) {
  AccessRecord r;
  r.target = text;
  const std::string line = line_of(r);
  const std::string key = "\"target\":\"";
  const std::size_t at = line.find(key);
  REQUIRE(at != std::string::npos);
  const std::size_t end = line.find("\",\"status\"", at);
  return line.substr(at + key.size(), end - at - key.size());
}

AccessRecord full() {
  AccessRecord r;
  r.time = base::WallTime(1700000000s + 1234567us);
  r.connection_id = 77;
  r.tls_id = "t1";
  r.client = "203.0.113.9";
  r.peer = "198.51.100.1";
  r.listener = "https";
  r.host = "*.example.com";
  r.route = "web";
  r.method = "GET";
  r.authority = "www.example.com";
  r.target = "/a?b=c";
  r.proto = "HTTP/2.0";
  r.status = 502;
  r.bytes_in = 1;
  r.bytes_out = 18446744073709551615U;
  r.duration = 12'345'678ns;
  r.first_byte = 2s;
  r.upstream = "api";
  r.endpoint = "10.0.0.5:8443";
  r.upstream_connect = 1ms;
  r.upstream_first_byte = 90s + 7us;
  r.upstream_status = 500;
  r.upstream_reused = true;
  r.retries = 2;
  r.error = "reset";
  r.fault = "upstream";
  r.reason = "upstream_reset";
  r.request_id = "0af7";
  r.cf_ray = "8a-FRA";
  r.user_agent = "curl/8";
  r.referer = "https://e/";
  r.sni = "www.example.com";
  r.tls_version = "TLSv1.3";
  r.tls_cipher = "TLS_AES_128_GCM_SHA256";
  return r;
}

}  // namespace

TEST_CASE("a full record is one line of JSON with every field") {
  CHECK(line_of(full()) ==
        R"({"time":"2023-11-14T22:13:21.234567Z","connection":77,"tls_id":"t1","client":"203.0.113.9",)"
        R"("peer":"198.51.100.1","listener":"https","host":"*.example.com","route":"web","method":"GET",)"
        R"("authority":"www.example.com","target":"/a?b=c","proto":"HTTP/2.0","status":502,"bytes_in":1,)"
        R"("bytes_out":18446744073709551615,"duration_s":0.012345,"first_byte_s":2.000000,"upstream":"api",)"
        R"("endpoint":"10.0.0.5:8443","upstream_connect_s":0.001000,"upstream_first_byte_s":90.000007,)"
        R"("upstream_status":500,"upstream_reused":true,"retries":2,"error":"reset","fault":"upstream",)"
        R"("reason":"upstream_reset","request_id":"0af7","cf_ray":"8a-FRA","user_agent":"curl/8",)"
        R"("referer":"https://e/","sni":"www.example.com","tls_version":"TLSv1.3",)"
        R"("tls_cipher":"TLS_AES_128_GCM_SHA256"})"
        "\n");
}

TEST_CASE("what is not known is left out") {
  CHECK(line_of(AccessRecord{}) ==
        R"({"time":"1970-01-01T00:00:00.000000Z","connection":0,"status":0,"bytes_in":0,"bytes_out":0,)"
        R"("duration_s":0.000000})"
        "\n");
}

TEST_CASE("the time is right across seconds, days and leap years") {
  AccessRing ring(kRing, [] {});
  const auto at = [&ring](std::int64_t second) {
    AccessRecord r;
    r.time = base::WallTime(base::Seconds(second));
    REQUIRE(ring.write(r));
    return take(ring).substr(9, 27);
  };
  CHECK(at(951782399) == "2000-02-28T23:59:59.000000Z");
  CHECK(at(951782400) == "2000-02-29T00:00:00.000000Z");
  CHECK(at(951782399) == "2000-02-28T23:59:59.000000Z");
  CHECK(at(4102444799) == "2099-12-31T23:59:59.000000Z");
  CHECK(at(-1) == "1969-12-31T23:59:59.000000Z");
}

TEST_CASE("text of a client cannot break out of its string, forge a line or reach a terminal") {
  CHECK(escaped("/plain/ascii~") == "/plain/ascii~");
  CHECK(escaped("a\"b\\c") == "a\\\"b\\\\c");
  CHECK(escaped("x\n{\"forged\":1}") == "x\\n{\\\"forged\\\":1}");
  CHECK(escaped("\r\t\b\f") == "\\r\\t\\u0008\\u000c");
  CHECK(escaped(std::string_view("\0\x1f\x7f", 3)) == "\\u0000\\u001f\\u007f");
  CHECK(escaped("\x1b[2J") == "\\u001b[2J");
  CHECK(escaped("\xc2\x9b"
                "2J") == "\\u009b2J");  // C1: CSI
}

TEST_CASE("UTF-8 passes, and bytes that are not UTF-8 become U+FFFD one by one") {
  CHECK(escaped("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc2\xa0") ==
        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc2\xa0");
  const std::string bad = "\\ufffd";
  CHECK(escaped("\xff") == bad);
  CHECK(escaped("\x80z") == bad + "z");
  CHECK(escaped("\xc3") == bad);
  CHECK(escaped("\xc3(") == bad + "(");
  CHECK(escaped("\xc0\xaf") == bad + bad);                      // overlong '/'
  CHECK(escaped("\xe0\x80\xaf") == bad + bad + bad);            // overlong
  CHECK(escaped("\xed\xa0\x80") == bad + bad + bad);            // surrogate
  CHECK(escaped("\xf4\x90\x80\x80") == bad + bad + bad + bad);  // above U+10FFFF
  CHECK(escaped("\xf0\x9f\x98") == bad + bad + bad);
  CHECK(escaped("\xe2\x82") == bad + bad);
}

TEST_CASE("every byte at every place of a word gives valid JSON of one line") {
  for (int byte = 0; byte < 256; ++byte) {
    for (std::size_t at = 0; at < 19; ++at) {
      std::string text(19, 'x');
      text[at] = static_cast<char>(byte);
      AccessRecord r;
      r.user_agent = text;
      const std::string line = line_of(r);
      INFO(byte << " at " << at << ": " << line);
      REQUIRE(line.find('\n') == line.size() - 1);
      for (const char c : line.substr(0, line.size() - 1))
        REQUIRE((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
      boost::json::error_code error;
      const auto parsed = boost::json::parse(line, error);
      REQUIRE(!error);
      const std::string back(parsed.as_object().at("user_agent").as_string().c_str(),
                             parsed.as_object().at("user_agent").as_string().size());
      if (byte < 0x80) REQUIRE(back == text);
      if (byte >= 0x80) REQUIRE(back == text.substr(0, at) + "\xef\xbf\xbd" + text.substr(at + 1));
    }
  }
}

TEST_CASE("long text is cut, and not within a character") {
  CHECK(escaped(std::string(2 * AccessRecord::kMaxTarget, 'a')).size() == AccessRecord::kMaxTarget);
  std::string text(AccessRecord::kMaxTarget - 2, 'a');
  CHECK(escaped(text + "\xe2\x82\xac!") == text);
  CHECK(escaped(text + "\xc3\xa9!") == text + "\xc3\xa9");
  // Nothing but continuation bytes: the cut is near the limit all the same.
  CHECK(escaped(std::string(AccessRecord::kMaxTarget + 9, '\x80')).size() >=
        6 * (AccessRecord::kMaxTarget - 3));
}

TEST_CASE("the worst text that a client can send stays within what was reserved") {
  AccessRecord r = full();
  const std::string worst(AccessRecord::kMaxTarget, '\x01');
  for (std::string_view* field :
       {&r.tls_id,  &r.client,    &r.peer,        &r.listener,   &r.host,     &r.route,
        &r.method,  &r.authority, &r.target,      &r.proto,      &r.upstream, &r.endpoint,
        &r.error,   &r.fault,     &r.reason,      &r.request_id, &r.cf_ray,   &r.user_agent,
        &r.referer, &r.sni,       &r.tls_version, &r.tls_cipher}) {
    *field = worst;
  }
  r.duration = r.first_byte = r.upstream_connect = r.upstream_first_byte = base::Duration::max();
  r.connection_id = r.bytes_in = r.bytes_out = UINT64_MAX;
  r.status = r.upstream_status = r.retries = UINT16_MAX;
  r.time = base::WallTime::max();
  AccessRing ring(256 * 1024, [] {});
  REQUIRE(ring.write(r));
  const std::string line = take(ring);
  boost::json::error_code error;
  (void)boost::json::parse(line, error);
  CHECK(!error);
  CHECK(line.size() < 6 * (21 * AccessRecord::kMaxText + AccessRecord::kMaxTarget) + 1280);
  CHECK_FALSE(AccessRing(kRing, [] {}).write(r));  // larger than the ring: dropped, not written past it
}

TEST_CASE("a full ring drops and counts, and takes records again once it was emptied") {
  AccessRing ring(kRing, [] {});
  AccessRecord r;
  std::size_t written = 0;
  for (r.connection_id = 0; ring.write(r); ++r.connection_id) ++written;
  CHECK(written > 300);
  CHECK(ring.dropped() == 1);
  CHECK_FALSE(ring.write(r));
  CHECK(ring.dropped() == 2);
  const std::string lines = take(ring);
  CHECK(static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n')) == written);
  CHECK(ring.write(r));
  CHECK(ring.dropped() == 2);
}

TEST_CASE("lines wrap around the ring whole and in order, at every offset") {
  AccessRing ring(8192, [] {});
  const std::string filler(700, 'f');
  std::uint64_t next = 0, seen = 0;
  for (int round = 0; round < 4000; ++round) {
    for (int i = 0; i <= round % 4; ++i) {
      AccessRecord r;
      r.connection_id = next;
      r.referer = std::string_view(filler).substr(0, static_cast<std::size_t>(round * 37 % 701));
      if (ring.write(r)) ++next;
    }
    const std::string lines = take(ring);
    for (std::size_t at = 0; at < lines.size();) {
      const std::size_t end = lines.find('\n', at);
      REQUIRE(end != std::string::npos);
      const std::string id = "\"connection\":" + std::to_string(seen++) + ",";
      REQUIRE(lines.compare(at, 9, "{\"time\":\"") == 0);
      REQUIRE(lines.substr(at, end - at).find(id) != std::string::npos);
      REQUIRE(lines[end - 1] == '}');
      at = end + 1;
    }
    REQUIRE(seen == next);
  }
  CHECK(next > 4000);
}

TEST_CASE("the writer is woken once when a ring is half full, not for each record") {
  int wakes = 0;
  AccessRing ring(kRing, [&wakes] { ++wakes; });
  AccessRecord r;
  REQUIRE(ring.write(r));
  CHECK(wakes == 0);
  while (ring.write(r)) {
  }
  CHECK(wakes == 1);
  (void)take(ring);
  while (ring.write(r)) {
  }
  CHECK(wakes == 2);
}

TEST_CASE("a ring that is off takes nothing and drops nothing") {
  AccessRing ring(kRing, [] {});
  ring.enable(false);
  CHECK(ring.write(AccessRecord{}));
  CHECK(take(ring).empty());
  CHECK(ring.dropped() == 0);
  ring.enable(true);
  CHECK(ring.write(AccessRecord{}));
  CHECK_FALSE(take(ring).empty());
}

TEST_CASE("a worker and a writer at once lose no line but those counted, in order") {
  AccessRing ring(16 * 1024, [] {});
  constexpr std::uint64_t kRecords = 60'000;
  std::atomic<bool> done{false};
  std::thread worker([&] {
    const std::string filler(300, 'f');
    for (std::uint64_t i = 0; i < kRecords; ++i) {
      AccessRecord r;
      r.connection_id = i;
      r.user_agent = std::string_view(filler).substr(0, i * 31 % 300);
      (void)ring.write(r);
    }
    done.store(true);
  });
  std::uint64_t lines = 0;
  std::int64_t last = -1;
  for (bool ended = false; !ended;) {
    ended = done.load();
    const std::string text = take(ring);
    for (std::size_t at = 0; at < text.size(); ++lines) {
      const std::size_t end = text.find('\n', at);
      REQUIRE(end != std::string::npos);
      const std::size_t id = text.find("\"connection\":", at) + 13;
      REQUIRE(id < end);
      const std::int64_t n = std::stoll(text.substr(id));
      REQUIRE(n > last);
      last = n;
      at = end + 1;
    }
  }
  worker.join();
  CHECK(lines + ring.dropped() == kRecords);
}
