// Comes to the running gateway as Cloudflare would, and tells what happened: its hello in two segments
// with a post-quantum key share, TLS 1.2 in its order, and a request with its fields over HTTP/2 and
// HTTP/1.1, with the certificate of Authenticated Origin Pulls if there is one.
#include "doctor_live.hpp"

#include <algorithm>

#include "sallyport/net/blocking_socket.hpp"
#include "sallyport/tls/names.hpp"
#include "sallyport/tls/probe.hpp"

#include "doctor_request.hpp"
#include "printable.hpp"

namespace sallyport::cli {

namespace {

using net::BlockingSocket;
using tls::ProbeEnd;
using tls::ProbeKind;
using tls::ProbeResult;

// One after the other, each with its waits: who has more asks for one by name.
constexpr std::size_t kMostHosts = 10;

std::string how_it_ended(const ProbeResult& result) {
  switch (result.end) {
    case ProbeEnd::alert: {
      const std::string_view name = result.alert ? tls::alert_name(*result.alert) : std::string_view();
      return "refused with the alert " +
             (name.empty() ? std::string("of an unknown number") : std::string(name));
    }
    case ProbeEnd::closed:
      return "closed within the handshake";
    case ProbeEnd::reset:
      return "reset within the handshake";
    case ProbeEnd::timeout:
      return "not answered in time";
    case ProbeEnd::not_tls:
      return "answered with something else than TLS: " + printable(result.detail);
    default:
      return "broken: " + printable(result.detail);
  }
}

std::string parameters(const ProbeResult& result) {
  std::string text = result.version + ", " + result.suite;
  if (!result.group.empty()) text += ", " + result.group;
  return text;
}

// What the system's socket says, as Cloudflare would show it.
std::uint16_t code_of(BlockingSocket::Status status) {
  if (status == BlockingSocket::Status::timeout) return 522;
  return status == BlockingSocket::Status::unreachable ? 523 : 521;
}

class Visit {
 public:
  Visit(const Patient& patient, const LiveArguments& arguments, const config::Listener& listener,
        const config::Host& host, const tls::HostEntry& entry, std::string name, net::Endpoint to,
        Report& report)
      : patient_(patient),
        arguments_(arguments),
        listener_(listener),
        host_(host),
        entry_(entry),
        name_(std::move(name)),
        to_(to),
        scribe_(report, "live " + name_ + " at " + to.to_string(), host.origin) {}

  void run() {
    if (!hello()) return;
    if (!pulled()) return;
    old_version();
    request(ProbeKind::resumption, "live_h2", true);
    request(ProbeKind::http1_only, "live_http1", false);
  }

 private:
  [[nodiscard]] base::Instant deadline() const { return base::Clock::now() + arguments_.timeout; }

  [[nodiscard]] tls::ProbeTarget target() const {
    tls::ProbeTarget to;
    to.sni = name_;
    to.host = name_;
    to.timeout = arguments_.timeout;
    to.as_cloudflare = true;
    to.certificate = arguments_.certificate;
    return to;
  }

  // A connection, or why there is none.
  bool connect(BlockingSocket& socket) {
    const BlockingSocket::Status status = socket.connect(to_, deadline());
    if (status == BlockingSocket::Status::ok) return true;
    const char* what = status == BlockingSocket::Status::refused ? "refused: nothing listens there"
                       : status == BlockingSocket::Status::timeout
                           ? "not taken in time"
                           : "impossible: no route, or an error of the system";
    scribe_.fail("live_connect", std::string("a connection is ") + what,
                 "start the gateway, or say with --connect where it is", code_of(status));
    return false;
  }

  // What comes first, and what keeps the rest from being tried.
  bool hello() {
    BlockingSocket socket;
    if (!connect(socket)) return false;
    const ProbeResult result =
        tls::ProbeConnection(std::move(socket), ProbeKind::split_hello, target()).handshake();
    const bool shut = result.end == ProbeEnd::closed || result.end == ProbeEnd::reset;
    if (shut && result.silent && !listener_.allow.empty() &&
        !Addresses(patient_.model, listener_.allow).contains(to_.address)) {
      scribe_.warn("live_connect",
                   "closed without a byte, as for any address that allow does not hold: not judged",
                   "run it with this machine's address in allow of listener " + listener_.name);
      return false;
    }
    scribe_.ok("live_connect", "connected");
    if (!result.ok()) {
      scribe_.fail("live_hello", "Cloudflare's hello, in two segments, is " + how_it_ended(result),
                   "see handshake_failed in the gateway's log, which has both offers and a hint", 525);
      return false;
    }
    const std::string text = "Cloudflare's hello, in two segments, is answered: " + parameters(result);
    if (result.hello_retry) {
      scribe_.warn("live_hello", text + ", after a second hello",
                   "groups: [X25519MLKEM768, X25519, P-256, P-384]");
    } else {
      scribe_.ok("live_hello", text);
    }
    return true;
  }

  // Whether a certificate is asked for as configured; false if the rest would only show that none is here.
  bool pulled() {
    BlockingSocket socket;
    if (!connect(socket)) return false;
    tls::ProbeConnection connection(std::move(socket), ProbeKind::resumption, target());
    const ProbeResult result = connection.handshake();
    certificate(result);
    const bool wanted = host_.origin_pull.mode != config::OriginPullMode::off;
    if (wanted && result.end == ProbeEnd::done && !result.certificate_asked) {
      scribe_.fail("live_origin_pull", "no certificate is asked for, although origin_pull is on",
                   "reload the gateway: it may serve an older configuration", 520);
    } else if (result.certificate_asked && arguments_.certificate == nullptr) {
      scribe_.warn("live_origin_pull",
                   "a certificate is asked for, and none was given here: requests are not tried",
                   "give the one that Cloudflare has with --client-cert and --client-key");
      return false;
    } else if (result.certificate_asked) {
      scribe_.ok("live_origin_pull", "the certificate is asked for and shown");
    }
    return true;
  }

  // The files may be newer than what is served.
  void certificate(const ProbeResult& result) {
    if (result.chain.empty()) return;
    const std::string shown = tls::describe(result.chain.front().get()).sha256;
    const bool known = std::any_of(entry_.certificates.begin(), entry_.certificates.end(),
                                   [&](const auto& one) { return one->fingerprint_hex() == shown; });
    if (known) {
      scribe_.ok("live_certificate", "the certificate of the file is shown");
    } else {
      scribe_.warn("live_certificate", "another certificate is shown than the file holds",
                   "reload the gateway (SIGHUP), or look at who answers at " + to_.to_string());
    }
  }

  void old_version() {
    if (!entry_.own.policy().allows(tls::Version::tls12)) return;
    BlockingSocket socket;
    if (!connect(socket)) return;
    const ProbeResult result =
        tls::ProbeConnection(std::move(socket), ProbeKind::cloudflare_12, target()).handshake();
    if (result.end == ProbeEnd::done) {
      scribe_.ok("live_tls12", "without TLS 1.3: " + parameters(result));
    } else {
      scribe_.fail("live_tls12", "without TLS 1.3 the handshake is " + how_it_ended(result),
                   "see handshake_failed in the gateway's log, which has both offers and a hint", 525);
    }
  }

  void request(ProbeKind kind, const std::string& check, bool both) {
    BlockingSocket socket;
    if (!connect(socket)) return;
    tls::ProbeConnection connection(std::move(socket), kind, target());
    const ProbeResult result = connection.handshake();
    if (result.end != ProbeEnd::done) {
      scribe_.fail(check,
                   std::string("with ALPN ") + (both ? "h2, http/1.1" : "http/1.1") + " the handshake is " +
                       how_it_ended(result),
                   "see handshake_failed in the gateway's log, which has both offers and a hint", 525);
      return;
    }
    const bool h2 = result.alpn == "h2";
    const CloudflareAnswer answer =
        h2 ? ask_h2(connection, name_, deadline()) : ask_http1(connection, name_, deadline());
    judge(check, std::string(h2 ? "HTTP/2" : "HTTP/1.1") + " over " + parameters(result), answer,
          both && !h2);
  }

  void judge(const std::string& check, const std::string& how, const CloudflareAnswer& answer,
             bool fell_back) {
    if (answer.status == 0) {
      scribe_.fail(check, how + ": " + answer.problem, "see the gateway's access and event log",
                   answer.timed_out ? 524 : 520);
      return;
    }
    std::string text = how + ": answered " + std::to_string(answer.status);
    if (answer.streams != 0) text += ", " + std::to_string(answer.streams) + " requests at once";
    if (!answer.proxy_status.empty()) text += " (" + printable(answer.proxy_status) + ")";
    if (answer.status >= 500) {
      scribe_.warn(check, text, "look at the upstream: its reason stands in the access log");
    } else if (answer.status == 421) {
      scribe_.warn(check, text,
                   "the name is not served under its own certificate: see names and origin_pull");
    } else if (fell_back) {
      scribe_.warn(check, text + ", though HTTP/2 was offered", "alpn: [h2, http/1.1]");
    } else {
      scribe_.ok(check, text);
    }
  }

  const Patient& patient_;
  const LiveArguments& arguments_;
  const config::Listener& listener_;
  const config::Host& host_;
  const tls::HostEntry& entry_;
  std::string name_;
  net::Endpoint to_;
  Scribe scribe_;
};

// Where the listener is, from this machine.
std::optional<net::Endpoint> address_of(const config::Listener& listener, const LiveArguments& arguments) {
  if (arguments.connect) return arguments.connect;
  if (listener.address.port == 0) return std::nullopt;
  std::string ip = listener.address.ip;
  if (ip == "::" || ip == "0.0.0.0") ip = "127.0.0.1";
  const auto address = net::IpAddress::parse(ip);
  if (!address) return std::nullopt;
  return net::Endpoint{*address, listener.address.port};
}

// One that a visitor could ask for: a wildcard's stands for any label.
std::string name_of(const config::Host& host) {
  for (const std::string& name : host.names) {
    if (!name.starts_with('*')) return name;
  }
  for (const std::string& name : host.names) {
    if (name.starts_with("*.")) return "www" + name.substr(1);
  }
  return {};
}

}  // namespace

void examine_live(const Patient& patient, const LiveArguments& arguments, Report& report) {
  if (patient.tls == nullptr) return;
  std::size_t visited = 0;
  std::size_t left = 0;
  for (const tls::HostEntry& entry : patient.tls->hosts()) {
    const config::Host& host = patient.model.hosts[entry.index];
    const auto listeners = listeners_of(patient.model, host);
    const std::string name = arguments.host.empty() ? name_of(host) : arguments.host;
    const bool asked =
        arguments.host.empty() || std::find(host.names.begin(), host.names.end(), name) != host.names.end();
    if (listeners.empty() || entry.certificates.empty() || name.empty() || !asked) continue;
    if (visited == kMostHosts) {
      ++left;
      continue;
    }
    ++visited;
    const auto to = address_of(*listeners.front(), arguments);
    if (!to) {
      Scribe(report, "live " + name, host.origin)
          .warn("live_connect", "the system picks the port: where the gateway is is not known",
                "give --connect ADDRESS:PORT");
      continue;
    }
    Visit(patient, arguments, *listeners.front(), host, entry, name, *to, report).run();
  }
  Scribe scribe(report, "live", {});
  if (visited == 0) {
    scribe.warn("live_connect",
                arguments.host.empty() ? std::string("there is no host that Cloudflare could ask for")
                                       : "no host that Cloudflare reaches has the name " + arguments.host,
                "give one of the configuration's names with --host");
  } else if (left > 0) {
    scribe.ok("live_connect", std::to_string(left) + " more hosts were not visited: --host picks one");
  }
}

}  // namespace sallyport::cli
