// What Cloudflare needs of hosts, routes and upstreams: Authenticated Origin Pulls, gRPC, WebSockets,
// and an answer of ours before it gives up on the upstream (524).
#include <algorithm>
#include <variant>

#include "sallyport/config/cloudflare.hpp"
#include "sallyport/tls/certificate_set.hpp"
#include "sallyport/tls/chain.hpp"

#include "doctor.hpp"

namespace sallyport::cli {

namespace {

namespace cloudflare = config::cloudflare;
using config::Milliseconds;
using config::OriginPullMode;

// ---- Authenticated Origin Pulls ----

constexpr std::uint16_t kPullRefused = 520;

// Why the CA can verify nothing, or nothing.
std::string trouble_of(const tls::CertificateSet& ca, base::WallTime now) {
  bool good = false;
  std::string trouble;
  for (const tls::CertificateRef& certificate : ca.all()) {
    const auto finding = tls::examine_dates(certificate.get(), now, base::Seconds(0));
    good = good || !finding;
    if (finding) trouble = "\"" + tls::describe(certificate.get()).subject + "\" " + finding->text;
  }
  return good ? std::string() : trouble;
}

bool is_global(const tls::CertificateSet& ca) {
  return std::any_of(ca.all().begin(), ca.all().end(), [](const tls::CertificateRef& certificate) {
    return tls::describe(certificate.get()).subject.find(cloudflare::kGlobalOriginPullCa) !=
           std::string::npos;
  });
}

void origin_pull(const Patient& patient, const config::Host& host, Report& report) {
  const config::OriginPull& pull = host.origin_pull;
  Scribe scribe(report, subject_of(host), pull.origin.line > 0 ? pull.origin : host.origin);
  if (pull.mode == OriginPullMode::off) {
    scribe.warn(
        "origin_pull",
        "Authenticated Origin Pulls are off: every customer of Cloudflare can send requests from its "
        "addresses",
        "origin_pull: { mode: require, ca: FILE }, with a CA and certificate of the zone or host name");
    return;
  }
  bool global = pull.ca.empty();
  if (!pull.ca.empty()) {
    std::string why;
    const auto ca = tls::CertificateSet::load(pull.ca.string(), why);
    const std::string trouble = ca == nullptr ? why : trouble_of(*ca, patient.now);
    if (!trouble.empty()) {
      scribe.fail("origin_pull", pull.ca.string() + ": " + trouble,
                  "give the CA that issued the certificate which Cloudflare shows", kPullRefused);
      return;
    }
    global = is_global(*ca);
  }
  if (global) {
    scribe.warn("origin_pull", "with Cloudflare's own CA, whose certificate all its customers share",
                "ca: FILE, with a CA and certificate of the zone or host name, uploaded to Cloudflare");
  } else if (pull.mode == OriginPullMode::report) {
    scribe.warn("origin_pull", "told of in metrics and logs, and not enforced yet",
                "mode: require, once the metric counts no failures");
  } else {
    scribe.ok("origin_pull", "required, by the CA in " + pull.ca.string() +
                                 (pull.except.empty() ? "" : ", but for " + joined(pull.except)));
  }
}

// ---- gRPC and WebSockets ----

std::vector<std::string> h2_upstreams(const Patient& patient, const config::Host& host) {
  std::vector<std::string> names;
  for (const config::Route& route : host.routes) {
    const auto* to = std::get_if<config::ToUpstream>(&route.action);
    const config::Upstream* upstream = to == nullptr ? nullptr : find_upstream(patient.model, to->name);
    if (upstream == nullptr || upstream->protocol != config::UpstreamProtocol::h2) continue;
    if (std::find(names.begin(), names.end(), to->name) == names.end()) names.push_back(to->name);
  }
  return names;
}

void grpc(const Patient& patient, const config::Host& host, Scribe& scribe) {
  const config::TlsPolicy* policy = find_policy(patient.model, host.policy);
  if (policy == nullptr) return;
  const bool h2 = std::find(policy->alpn.begin(), policy->alpn.end(), "h2") != policy->alpn.end();
  const std::vector<std::string> names = h2_upstreams(patient, host);
  if (!h2 && !names.empty()) {
    scribe.fail("grpc",
                "upstream " + joined(names) + " speaks HTTP/2, and h2 is not in the ALPN list of policy " +
                    policy->name + ": Cloudflare passes no gRPC on",
                "alpn: [h2, http/1.1]", 520);
  } else if (h2) {
    scribe.ok("grpc", names.empty() ? "h2 is offered; no upstream is HTTP/2 alone, as gRPC servers are"
                                    : "h2 is offered, and spoken to upstream " + joined(names));
  }
}

void websocket(const config::Host& host, Scribe& scribe) {
  const auto refusing = std::count_if(host.routes.begin(), host.routes.end(), [](const config::Route& route) {
    return std::holds_alternative<config::ToUpstream>(route.action) && !route.websocket;
  });
  scribe.ok("websocket", refusing == 0 ? std::string("allowed on every route to an upstream")
                                       : "refused on " + std::to_string(refusing) + " routes, as configured");
}

// ---- time ----

// What an exchange may wait for a response's head when every try comes to its limits.
struct Patience {
  config::UpstreamTimeouts timeouts;
  bool tls = false;
  std::uint32_t tries = 1;

  [[nodiscard]] Milliseconds dial() const {
    return timeouts.connect + (tls ? timeouts.tls : Milliseconds(0));
  }
  [[nodiscard]] Milliseconds worst() const {
    const Milliseconds sum = dial() * tries + timeouts.first_byte;
    return timeouts.total == Milliseconds(0) ? sum : std::min(sum, timeouts.total);
  }
  [[nodiscard]] Milliseconds first_byte() const {
    return timeouts.total == Milliseconds(0) ? timeouts.first_byte
                                             : std::min(timeouts.first_byte, timeouts.total);
  }
  // What an upload may wait for the upstream to take more of it; before the response's head
  // first_byte bounds it too.
  [[nodiscard]] Milliseconds send() const {
    return timeouts.send == Milliseconds(0) ? first_byte() : std::min(timeouts.send, first_byte());
  }
};

constexpr std::uint16_t kTimeout = 524;

void first_byte(const Patience& patience, Scribe& scribe) {
  const std::string limit =
      "an upstream may take " + text_of(patience.first_byte()) + " to answer, and Cloudflare ";
  const std::string remedy = "first_byte: 90s or less, so that our 504 with its reason comes first";
  const std::string sum = std::to_string(patience.tries) + " tries to connect of " +
                          text_of(patience.dial()) + " and first_byte " +
                          text_of(patience.timeouts.first_byte);
  if (patience.first_byte() >= cloudflare::kReadTimeout) {
    scribe.fail("first_byte", limit + "gives up after " + text_of(cloudflare::kReadTimeout), remedy,
                kTimeout);
  } else if (patience.first_byte() >= cloudflare::kReadTimeoutOfOldZones) {
    scribe.warn("first_byte",
                limit + "gives up after " + text_of(cloudflare::kReadTimeoutOfOldZones) + " in older zones",
                remedy, kTimeout);
  } else if (patience.worst() >= cloudflare::kReadTimeout) {
    scribe.warn("first_byte",
                sum + " are " + text_of(patience.worst()) + ", and Cloudflare gives up after " +
                    text_of(cloudflare::kReadTimeout),
                "shorten them, or set total: 90s where no response is a stream", kTimeout);
  } else {
    scribe.ok("first_byte", "an answer, or our 504, within " + text_of(patience.worst()) + ": " + sum);
  }
}

void send(const Patience& patience, Scribe& scribe) {
  if (patience.send() >= cloudflare::kWriteTimeout) {
    const std::string off = patience.timeouts.send == Milliseconds(0) ? "send is off: " : "";
    scribe.fail("send",
                off + "an upstream may take " + text_of(patience.send()) +
                    " to take more of an upload, and Cloudflare gives up writing it after " +
                    text_of(cloudflare::kWriteTimeout),
                "send: 25s, so that our 504 with its reason comes first", kTimeout);
  } else {
    scribe.ok("send", "an upload that the upstream does not take ends with our 504 within " +
                          text_of(patience.send()));
  }
}

Patience patience_of(const config::Upstream& upstream) {
  return {upstream.timeouts, upstream.tls.has_value(), upstream.retries.count + 1};
}

std::string path_of(const config::RouteMatch& match) {
  if (match.path) return *match.path;
  if (match.path_prefix) return *match.path_prefix;
  return match.path_regex ? "~" + *match.path_regex : "/";
}

// Only where it does not do as its upstream says.
void examine_route(const Patient& patient, const std::string& owner, const config::Route& route,
                   Report& report) {
  const auto* to = std::get_if<config::ToUpstream>(&route.action);
  const config::Upstream* upstream = to == nullptr ? nullptr : find_upstream(patient.model, to->name);
  const config::RouteTimeouts& own = route.timeouts;
  if (upstream == nullptr || !(own.connect || own.send || own.first_byte || own.total)) return;
  Patience patience = patience_of(*upstream);
  patience.timeouts.connect = own.connect.value_or(patience.timeouts.connect);
  patience.timeouts.send = own.send.value_or(patience.timeouts.send);
  patience.timeouts.first_byte = own.first_byte.value_or(patience.timeouts.first_byte);
  patience.timeouts.total = own.total.value_or(patience.timeouts.total);
  Scribe scribe(report, "route " + owner + path_of(route.match), route.origin);
  first_byte(patience, scribe);
  send(patience, scribe);
}

}  // namespace

void examine_hosts(const Patient& patient, Report& report) {
  for (const config::Listener& listener : patient.model.listeners) {
    if (!admits_cloudflare(patient.model, listener)) continue;
    for (const config::Route& route : listener.routes)
      examine_route(patient, listener.name + ":", route, report);
  }
  for (const config::Host& host : patient.model.hosts) {
    if (listeners_of(patient.model, host).empty() || host.certificates.empty()) continue;
    origin_pull(patient, host, report);
    Scribe scribe(report, subject_of(host), host.origin);
    grpc(patient, host, scribe);
    websocket(host, scribe);
    const std::string name = host.names.empty() ? std::string() : host.names.front();
    for (const config::Route& route : host.routes) examine_route(patient, name, route, report);
  }
}

void examine_upstreams(const Patient& patient, Report& report) {
  for (const config::Upstream& upstream : patient.model.upstreams) {
    Scribe scribe(report, "upstream " + upstream.name, upstream.origin);
    first_byte(patience_of(upstream), scribe);
    send(patience_of(upstream), scribe);
    if (upstream.limits.header_bytes > cloudflare::kHeaderBytes) {
      scribe.warn("response_headers",
                  "a response's head may have " + size_text(upstream.limits.header_bytes) +
                      ", and Cloudflare takes " + size_text(cloudflare::kHeaderBytes),
                  "limits.header_bytes: 128KiB, so that we answer with a reason", 520);
    } else {
      scribe.ok("response_headers", "heads of responses up to " + size_text(upstream.limits.header_bytes));
    }
  }
}

}  // namespace sallyport::cli
