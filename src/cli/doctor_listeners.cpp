// What Cloudflare needs of the process and of each listener: ports, whom it lets in and believes,
// how long a connection lives, how much it may send.
#include <algorithm>
#include <array>
#include <chrono>
#include <system_error>

#include "sallyport/config/cloudflare.hpp"

#include "doctor.hpp"

namespace sallyport::cli {

namespace {

namespace cloudflare = config::cloudflare;
using config::Listener;

constexpr config::Milliseconds kMinHandshake{5000};
constexpr config::Milliseconds kMinDrain{10'000};
constexpr std::uint32_t kMinFields = 100;
constexpr std::size_t kMaxRate = 4 * config::kKiB;
constexpr auto kOldFile = std::chrono::hours(24 * 30);

template <std::size_t N>
std::string ports_text(const std::array<std::uint16_t, N>& ports) {
  std::vector<std::string> list;
  list.reserve(N);
  for (const std::uint16_t port : ports) list.push_back(std::to_string(port));
  return joined(list);
}

template <std::size_t N>
bool is_one_of(const std::array<std::uint16_t, N>& ports, std::uint16_t port) {
  return std::find(ports.begin(), ports.end(), port) != ports.end();
}

void port(const Listener& listener, Scribe& scribe) {
  const bool tls = listener.protocol == config::ListenerProtocol::https;
  const std::uint16_t number = listener.address.port;
  const bool of_https = is_one_of(cloudflare::kHttpsPorts, number);
  const bool of_http = is_one_of(cloudflare::kHttpPorts, number);
  const std::string own = tls ? ports_text(cloudflare::kHttpsPorts) : ports_text(cloudflare::kHttpPorts);
  const std::string scheme = tls ? "https" : "http";
  if (tls ? of_https : of_http) {
    scribe.ok("port", "Cloudflare proxies " + scheme + " to port " + std::to_string(number));
  } else if (number == 0) {
    scribe.warn("port", "the system picks the port: Cloudflare cannot know it", "listen on one of " + own);
  } else if (of_http || of_https) {
    scribe.fail("port",
                "Cloudflare speaks " + std::string(tls ? "plain http" : "https") + " to port " +
                    std::to_string(number) + ", and this listener speaks " + scheme,
                "listen on one of " + own, tls ? 520 : 525);
  } else {
    scribe.fail("port", "Cloudflare does not proxy to port " + std::to_string(number),
                "listen on one of " + own +
                    ", forward one of them to it, or name this port as destination in an Origin Rule",
                521);
  }
}

// Whether the listener is Cloudflare's at all.
bool allow(const Patient& patient, const Listener& listener, Scribe& scribe) {
  if (listener.allow.empty()) {
    scribe.warn("allow", "whoever knows this machine's address gets past Cloudflare",
                "allow: [cloudflare] closes all other connections before any TLS work");
    return true;
  }
  const std::vector<std::string> missing = Addresses(patient.model, listener.allow).missing_of_cloudflare();
  if (missing.empty()) {
    scribe.ok("allow", "Cloudflare is let in, others only as listed: " + joined(listener.allow));
    return true;
  }
  if (admits_cloudflare(patient.model, listener)) {
    scribe.fail("allow",
                "connections from some of Cloudflare's ranges are closed: " + joined(missing, ", ", 4),
                "allow: [cloudflare]", 521);
    return true;
  }
  if (!trusts_cloudflare(patient.model, listener)) {
    scribe.ok("allow", "not for Cloudflare, which is neither allowed nor trusted: nothing more is judged");
    return false;
  }
  scribe.fail("allow", "Cloudflare is trusted and not let in", "add cloudflare to allow", 521);
  return false;
}

bool trust(const Patient& patient, const Listener& listener, Scribe& scribe) {
  const std::vector<std::string> missing = Addresses(patient.model, listener.trust).missing_of_cloudflare();
  if (missing.empty()) {
    scribe.ok("trust", "Cloudflare's fields are believed, and it has the limits of `trusted`");
    return true;
  }
  const std::string which =
      trusts_cloudflare(patient.model, listener)
          ? "some of Cloudflare's ranges are not trusted (" + joined(missing, ", ", 4) + ")"
          : "Cloudflare is not trusted";
  scribe.fail("trust",
              which + ": its connections close after " + text_of(listener.timeouts.idle) +
                  " of silence, while it uses them again after up to " + text_of(cloudflare::kIdle) +
                  ", and every visitor has one of its addresses",
              "trust: [cloudflare]", 520);
  return false;
}

void client_address(const Listener& listener, Scribe& scribe) {
  switch (listener.client_address) {
    case config::ClientAddress::cf_connecting_ip:
      scribe.ok("client_address", "visitors' addresses are taken from CF-Connecting-IP");
      return;
    case config::ClientAddress::x_forwarded_for:
      scribe.ok("client_address", "visitors' addresses are taken from X-Forwarded-For, from the right");
      return;
    case config::ClientAddress::true_client_ip:
      scribe.warn("client_address",
                  "True-Client-IP comes with Enterprise zones alone, and passes from one CDN to the next",
                  "client_address: cf_connecting_ip");
      return;
    case config::ClientAddress::peer:
      break;
  }
  scribe.warn("client_address", "every visitor has Cloudflare's address, in rate limits and logs too",
              "client_address: cf_connecting_ip");
}

void proxy_protocol(const Patient& patient, const Listener& listener, Scribe& scribe) {
  if (!listener.proxy_protocol) return;
  if (!Addresses(patient.model, listener.proxy_protocol->from).has_some_of_cloudflare()) {
    scribe.ok("proxy_protocol",
              "expected of others than Cloudflare: " + joined(listener.proxy_protocol->from));
    return;
  }
  scribe.warn("proxy_protocol",
              "Cloudflare must send a PROXY header here, which it does for Spectrum applications alone",
              "leave its ranges out of proxy_protocol.from, unless this is a Spectrum application", 525);
}

void life(const config::TrustedClients& terms, Scribe& scribe) {
  if (terms.timeouts.idle <= cloudflare::kIdle) {
    scribe.fail("idle",
                "a silent connection is closed after " + text_of(terms.timeouts.idle) +
                    ", and Cloudflare uses it again after up to " + text_of(cloudflare::kIdle),
                "trusted.timeouts.idle: 960s", 520);
  } else {
    scribe.ok("idle", "silent connections are kept for " + text_of(terms.timeouts.idle) + ", longer than " +
                          text_of(cloudflare::kIdle));
  }
  if (terms.limits.requests_per_connection != 0 || terms.limits.connection_age != config::Milliseconds(0)) {
    scribe.warn("connection_life",
                "connections of Cloudflare are closed after a number of requests or an age",
                "trusted.limits: { requests_per_connection: 0, connection_age: 0 }", 520);
  } else {
    scribe.ok("connection_life", "neither requests nor age end a connection");
  }
  if (terms.timeouts.handshake < kMinHandshake) {
    scribe.warn("handshake",
                "a handshake may take " + text_of(terms.timeouts.handshake) +
                    ", which is little from a far data centre with a second hello",
                "trusted.timeouts.handshake: 10s", 525);
  } else {
    scribe.ok("handshake", "a handshake may take " + text_of(terms.timeouts.handshake));
  }
}

void sizes(const config::ClientLimits& limits, Scribe& scribe) {
  if (limits.header_bytes < cloudflare::kHeaderBytes ||
      limits.header_field_bytes < cloudflare::kHeaderFieldBytes || limits.header_count < kMinFields) {
    scribe.warn("headers",
                "a request's head may have " + size_text(limits.header_bytes) + ", a field " +
                    size_text(limits.header_field_bytes) + ", in " + std::to_string(limits.header_count) +
                    " fields, and Cloudflare passes on up to " + size_text(cloudflare::kHeaderBytes) +
                    ": visitors get 431",
                "trusted.limits: { header_bytes: 128KiB, header_field_bytes: 32KiB, header_count: 256 }");
  } else {
    scribe.ok("headers", "heads of " + size_text(limits.header_bytes) + ", all that Cloudflare passes on");
  }
  if (limits.url < cloudflare::kUrl) {
    scribe.warn("url",
                "a URL may have " + size_text(limits.url) + ", and Cloudflare passes on " +
                    size_text(cloudflare::kUrl) + ": visitors get 414",
                "trusted.limits.url: 16KiB");
  } else {
    scribe.ok("url", "URLs of " + size_text(limits.url));
  }
  if (limits.h2.streams < cloudflare::kStreams) {
    scribe.warn("streams",
                std::to_string(limits.h2.streams) +
                    " requests at once on a connection, where Cloudflare has up to " +
                    std::to_string(cloudflare::kStreams) + ": it opens more connections",
                "trusted.limits.h2.streams: 256");
  } else {
    scribe.ok("streams", std::to_string(limits.h2.streams) + " requests at once on a connection");
  }
  if (std::max(limits.min_rate.request_body, limits.min_rate.response) > kMaxRate) {
    scribe.warn("min_rate", "visitors with a slow line are cut: Cloudflare passes their pace on",
                "trusted.limits.min_rate: { request_body: 240B, response: 240B }", 520);
  }
}

void examine_listener(const Patient& patient, const Listener& listener, Report& report) {
  Scribe scribe(report, "listener " + listener.name, listener.origin);
  if (!allow(patient, listener, scribe)) return;
  port(listener, scribe);
  proxy_protocol(patient, listener, scribe);
  if (!trust(patient, listener, scribe)) return;
  client_address(listener, scribe);
  life(listener.trusted, scribe);
  sizes(listener.trusted.limits, scribe);
}

// Whether anything is counted by the peer's address where Cloudflare comes in.
bool counts_addresses(const Patient& patient) {
  return std::any_of(
      patient.model.listeners.begin(), patient.model.listeners.end(), [&](const Listener& one) {
        if (!admits_cloudflare(patient.model, one)) return false;
        const auto& limits = trusts_cloudflare(patient.model, one) ? one.trusted.limits : one.limits;
        return limits.connections_per_address != 0 || limits.handshakes_per_address != 0 ||
               limits.abuse.offences != 0;
      });
}

void exempt(const Patient& patient, Scribe& scribe) {
  const auto missing =
      Addresses(patient.model, patient.model.process_limits.exempt_addresses).missing_of_cloudflare();
  if (missing.empty()) {
    scribe.ok("exempt_addresses", "nothing is counted by Cloudflare's addresses");
  } else if (!counts_addresses(patient)) {
    scribe.ok("exempt_addresses", "nothing is counted by address");
  } else {
    scribe.fail(
        "exempt_addresses",
        "connections are counted by Cloudflare's addresses, each of which stands for many visitors (" +
            joined(missing, ", ", 4) + ")",
        "add cloudflare to limits.exempt_addresses", 522);
  }
}

// What is wrong with a listener of Cloudflare's is told there; here, that there is none, or none on 443.
void entry(const Patient& patient, Scribe& scribe) {
  bool any = false;
  bool elsewhere = false;
  bool usual = false;
  for (const Listener& listener : patient.model.listeners) {
    if (listener.protocol != config::ListenerProtocol::https) continue;
    const bool admits = admits_cloudflare(patient.model, listener);
    any = any || admits || trusts_cloudflare(patient.model, listener);
    const std::uint16_t port = listener.address.port;
    usual = usual || (admits && port == 443);
    elsewhere = elsewhere || (admits && is_one_of(cloudflare::kHttpsPorts, port));
  }
  if (!any) {
    scribe.fail("https", "no https listener lets Cloudflare in: Full (strict) needs one",
                "add a listener with protocol https on port 443", 521);
  } else if (elsewhere && !usual) {
    scribe.warn("https",
                "no https listener has port 443: Cloudflare goes there unless the visitor named a port, and "
                "for gRPC always",
                "listen on 443, or forward it");
  } else if (usual) {
    scribe.ok("https", "an https listener on port 443 lets Cloudflare in");
  }
}

void examine_set(const Patient& patient, const config::AddressSet& set, Report& report) {
  Scribe scribe(report, "address set " + set.name, set.origin);
  const bool cloudflares = set.name == config::kCloudflare;
  if (set.files.empty()) {
    if (cloudflares && set.ranges.empty())
      scribe.ok("ranges", "Cloudflare's ranges as built in, published in 2026");
  }
  for (const std::filesystem::path& file : set.files) {
    std::error_code error;
    const auto written = std::filesystem::last_write_time(file, error);
    if (error) continue;  // told by what loads it
    const auto age = patient.now - std::chrono::file_clock::to_sys(written);
    const auto days = std::to_string(std::chrono::duration_cast<std::chrono::hours>(age).count() / 24);
    if (age > kOldFile) {
      scribe.warn("ranges_age", file.string() + " was written " + days + " days ago",
                  "fetch it anew, by a timer: https://www.cloudflare.com/ips-v4 and ips-v6");
    } else {
      scribe.ok("ranges_age", file.string() + " was written " + days + " days ago");
    }
  }
  if (!cloudflares || (set.files.empty() && set.ranges.empty())) return;
  const auto missing = Addresses(patient.model, {set.name}).missing_of_cloudflare();
  if (missing.empty()) {
    scribe.ok("ranges", "all of Cloudflare's ranges as of 2026 are in it");
  } else {
    scribe.warn("ranges", "some of Cloudflare's ranges as of 2026 are not in it: " + joined(missing, ", ", 4),
                "take the lists as Cloudflare publishes them, both IPv4 and IPv6", 522);
  }
}

}  // namespace

void examine_gateway(const Patient& patient, Report& report) {
  const config::Model& model = patient.model;
  Scribe scribe(report, "gateway", {});
  entry(patient, scribe);
  exempt(patient, scribe);
  if (model.access_log.path.kind == config::LogTarget::Kind::off) {
    scribe.warn("access_log", "there is none: CF-Ray, by which Cloudflare finds a request, is lost",
                "access_log: { path: /var/log/sallyport/access.jsonl }");
  } else {
    scribe.ok("access_log", "requests are logged with their CF-Ray");
  }
  if (!model.tls.tickets) {
    scribe.warn("tickets", "sessions are not resumed, and any of Cloudflare's data centres may connect",
                "tls.tickets: true");
  } else {
    scribe.ok("tickets", "sessions are resumed");
  }
  if (model.drain < kMinDrain) {
    scribe.warn("drain", "requests have " + text_of(model.drain) + " to end when the gateway stops",
                "timeouts.drain: 30s", 520);
  } else {
    scribe.ok("drain", "requests have " + text_of(model.drain) + " to end when the gateway stops");
  }
}

void examine_address_sets(const Patient& patient, Report& report) {
  for (const config::AddressSet& set : patient.model.address_sets) examine_set(patient, set, report);
}

void examine_listeners(const Patient& patient, Report& report) {
  for (const config::Listener& listener : patient.model.listeners)
    examine_listener(patient, listener, report);
}

}  // namespace sallyport::cli
