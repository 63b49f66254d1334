// Upstreams.
#include "tables.hpp"

namespace sallyport::config {

const Words<UpstreamProtocol>& words_of(UpstreamProtocol) {
  static const Words<UpstreamProtocol> words{
      {"auto", UpstreamProtocol::automatic}, {"h1", UpstreamProtocol::h1}, {"h2", UpstreamProtocol::h2}};
  return words;
}
const Words<Balance>& words_of(Balance) {
  static const Words<Balance> words{{"round_robin", Balance::round_robin},
                                    {"least_request", Balance::least_request}};
  return words;
}

namespace {

// Of a certificate that we show as a client, where there is nothing to staple.
const Keys<Certificate>& client_certificate_keys() {
  static const Keys<Certificate> keys = [] {
    Keys<Certificate> all = keys_of(static_cast<const Certificate*>(nullptr));
    std::erase_if(all, [](const Key<Certificate>& k) { return k.name == "ocsp"; });
    return all;
  }();
  return keys;
}

void read_client_certificate(Reader& reader, const Node& node, UpstreamTls& to) {
  Certificate certificate;
  certificate.origin = reader.origin(node);
  if (!read_keys(reader, node, certificate, client_certificate_keys())) return;
  finish(reader, node, certificate);
  to.certificate = std::move(certificate);
}

}  // namespace

const Keys<UpstreamTls>& keys_of(const UpstreamTls*) {
  using T = UpstreamTls;
  static const Keys<T> keys{
      key("server_name", &T::server_name, "sent as SNI and verified; left out: the endpoint's own host"),
      key("ca", &T::ca, "PEM file; left out: the system's CAs"),
      key("verify", &T::verify, "false is for tests: anyone in between can read and change everything"),
      {"certificate", "ours, where the upstream asks for one", &read_client_certificate,
       [] { return schema_of(client_certificate_keys()); }},
      key("min_version", &T::min_version, "\"1.2\" or \"1.3\""),
  };
  return keys;
}

const Keys<UpstreamTimeouts>& keys_of(const UpstreamTimeouts*) {
  using T = UpstreamTimeouts;
  static const Keys<T> keys{
      key("connect", &T::connect, "to a new TCP connection", kPositive),
      key("tls", &T::tls, "to a finished handshake after it", kPositive),
      key("send", &T::send, "a request's body of which the upstream takes nothing; 0 = off"),
      key("first_byte", &T::first_byte, "from the request sent to the response's head", kPositive),
      key("idle", &T::idle, "a body without a byte in either direction", kPositive),
      key("tunnel", &T::tunnel, "a WebSocket without a byte in either direction", kPositive),
      key("total", &T::total, "the whole exchange; 0 = no limit"),
  };
  return keys;
}

const Keys<Pool>& keys_of(const Pool*) {
  using T = Pool;
  static const Keys<T> keys{
      key("max_connections", &T::max_connections, "connections to this upstream, a worker", kPositive),
      key("max_idle", &T::max_idle, "of them idle, a worker"),
      key("max_pending", &T::max_pending,
          "requests that wait and have no connection dialed for them, a worker; above that: 503"),
      key("max_streams", &T::max_streams, "requests at once on one h2 connection", kPositive),
      key("max_requests", &T::max_requests, "requests over the life of a connection; 0 = no limit"),
      key("idle_timeout", &T::idle_timeout, "an idle connection is closed", kPositive),
      key("max_age", &T::max_age, "then a connection is closed once it is idle; 0 = no limit"),
  };
  return keys;
}

const Keys<ResponseLimits>& keys_of(const ResponseLimits*) {
  using T = ResponseLimits;
  static const Keys<T> keys{
      key("header_bytes", &T::header_bytes, "a response's head in all", Range{1024, 16 * kMiB}),
      key("header_field_bytes", &T::header_field_bytes, "one field, name and value", Range{256, 65'535}),
      key("header_count", &T::header_count, "fields of a head", Range{8, 10'000}),
      key("informational", &T::informational, "1xx heads before the final one", Range{0, 1000}),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, ResponseLimits& limits) {
  if (limits.header_field_bytes > limits.header_bytes)
    reader.error(node, "header_field_bytes is above header_bytes");
}

const Keys<Retries>& keys_of(const Retries*) {
  using T = Retries;
  static const Keys<T> keys{
      key("count", &T::count, "tries after the first, of what is provably unsent or safe to repeat",
          Range{0, 10}),
      key("budget", &T::budget, "retries in progress, as a share of the requests in progress"),
      key("budget_floor", &T::budget_floor, "or this many, where that is more"),
  };
  return keys;
}

const Keys<Ejection>& keys_of(const Ejection*) {
  using T = Ejection;
  static const Keys<T> keys{
      key("failures", &T::failures, "in a row, after which an endpoint is passed over; 0 = never"),
      key("time", &T::time, "for how long at first; doubles each time", kPositive),
      key("max_time", &T::max_time, "for how long at most", kPositive),
      key("max_ejected", &T::max_ejected, "the share of the endpoints that may be passed over at once"),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, Ejection& ejection) {
  if (ejection.time > ejection.max_time) reader.error(node, "time is above max_time");
}

const Keys<Resolve>& keys_of(const Resolve*) {
  static const Keys<Resolve> keys{
      key("interval", &Resolve::interval, "the names of endpoints are looked up again", Range{1000}),
      key("timeout", &Resolve::timeout, "a look-up that takes longer failed; the last addresses stay",
          kPositive),
  };
  return keys;
}

const Keys<Upstream>& keys_of(const Upstream*) {
  using T = Upstream;
  static const Keys<T> keys{
      key("protocol", &T::protocol, "h1, h2 (over TLS or in clear text) or auto (ALPN over TLS, else h1)"),
      key("tls", &T::tls, "TLS to the endpoints, {} for the defaults; clear text when left out"),
      required(key("endpoints", &T::endpoints, "host:port, or { address: host:port, weight: 2 }")),
      key("balance", &T::balance, "round_robin or least_request (the less busy of two picked at random)"),
      key("timeouts", &T::timeouts, "a route may set its own"),
      key("pool", &T::pool, "connections that are kept, a worker"),
      key("limits", &T::limits, "what a response may cost; above it: 502"),
      key("retries", &T::retries, "another try on another connection"),
      key("ejection", &T::ejection, "an endpoint that fails is passed over for a while"),
      key("resolve", &T::resolve, "names of endpoints"),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, Upstream& upstream) {
  const Node* endpoints = node.find("endpoints");
  if (endpoints && endpoints->kind == Node::Kind::sequence && endpoints->items.empty())
    reader.error(*endpoints, "an empty list: an upstream needs an endpoint");
  if (upstream.tls && !upstream.tls->verify) {
    reader.warning(*node.find("tls"),
                   "verify: false: whoever stands between the gateway and this upstream can "
                   "read and change everything; give its ca instead");
  }
}

}  // namespace sallyport::config
