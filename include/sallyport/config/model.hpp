// The configuration as plain values: what the YAML file says, with every default filled in.
//
// Made by load(), checked by validate(), read by the builder of the snapshot; never changed
// after that. Durations are Milliseconds, sizes are std::size_t bytes, counts are uint32_t;
// where 0 means "no limit" the field says so. File paths are absolute or relative to the
// process, for load() has resolved them against the config file's folder.
// Every entity keeps its Origin, so that a check made later (a key that does not match its
// certificate) can still point at the line. Two models compare equal when they mean the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "sallyport/config/model_base.hpp"
#include "sallyport/config/model_tls.hpp"
#include "sallyport/config/model_trust.hpp"

namespace sallyport::config {

// A literal address to listen on. "[::]" takes both families; any other IPv6 address takes IPv6.
struct ListenAddress {
  std::string ip;          // without brackets, e.g. "::" or "127.0.0.1"
  std::uint16_t port = 0;  // 0: the system picks one (tests)
  bool v6 = false;
  bool operator==(const ListenAddress&) const = default;
};
[[nodiscard]] std::string to_string(const ListenAddress& address);  // "[::]:443"

// ---- towards clients -------------------------------------------------------------------

// Deadlines towards clients. A listener's are the global ones with its own laid over.
struct ClientTimeouts {
  Milliseconds handshake = 5s;  // TCP accept to TLS finished: stops slow hellos; several far roundtrips fit
  Milliseconds request_head = 10s;  // first byte of a head to its end: stops slow headers
  Milliseconds request_body = 30s;  // without a byte of a body that was announced
  Milliseconds idle = 75s;          // a connection without a request; longer than common pools upstream of us
  Milliseconds send = 60s;  // bytes are waiting and the client takes none: stops readers that never read
  bool operator==(const ClientTimeouts&) const = default;
};

// A token bucket for frames that cost the peer nothing and us something.
struct Budget {
  std::uint32_t burst = 0;       // tokens at most, and at the start
  std::uint32_t per_second = 0;  // tokens that come back
  bool operator==(const Budget&) const = default;
};

// An address whose connections are closed for attacks, such as floods of HTTP/2 frames, is refused
// for a while, so that the budgets hold for a client and not only for each of its connections.
struct Abuse {
  std::uint32_t offences = 10;  // connections closed so within `window`; 0 = never refused
  Milliseconds window = 60s;
  Milliseconds refused = 60s;  // short: behind one address may be many people
  bool operator==(const Abuse&) const = default;
};

// What a client must keep up on average over the stall timeout (timeouts.request_body or .send),
// counting only the time in which it could: otherwise a byte now and then would hold a stream
// forever. As Kestrel and IIS have it; below a modem of 1990.
struct MinRate {
  std::size_t request_body = 240;  // bytes a second; 0 = any byte will do
  std::size_t response = 240;
  bool operator==(const MinRate&) const = default;
};

struct H2Limits {
  std::uint32_t streams = 100;  // SETTINGS_MAX_CONCURRENT_STREAMS; RFC 9113 §6.5.2 recommends 100
  std::size_t stream_window =
      64 * kKiB;  // bytes a stream may send ahead at first; bounds its buffer, as it grows
  std::size_t connection_window =
      1 * kMiB;                      // given back on receipt, so that one stalled stream stops no other
  std::uint32_t continuations = 64;  // CONTINUATION frames a head (CVE-2024-27316); 64 KiB need 4
  Budget resets{200, 20};            // RST_STREAM by the client: rapid reset (CVE-2023-44487)
  Budget provoked_resets{200, 20};   // RST_STREAM by us, for the client's fault (CVE-2025-8671)
  Budget pings{50, 10};              // each costs us an answer (CVE-2019-9512)
  Budget settings{20, 2};            // each costs us an ACK (CVE-2019-9515)
  Budget priorities{500, 100};       // old browsers send one with every stream (CVE-2019-9513)
  Budget empty_frames{100, 20};      // DATA or HEADERS without content (CVE-2019-9518)
  Budget window_updates{2000, 200};  // and ten for every DATA frame that we send
  Budget unknown_frames{256, 32};    // of types that we ignore; greasing sends a few
  bool operator==(const H2Limits&) const = default;
};

// What one client connection may cost. A listener's are the global ones with its own laid over.
struct ClientLimits {
  std::size_t header_bytes = 64 * kKiB;        // a head in all: name + value + 32 a field (RFC 9113 §10.5.1)
  std::size_t header_field_bytes = 16 * kKiB;  // one field, name and value
  std::uint32_t header_count = 128;            // fields of a head
  std::size_t url = 8 * kKiB;                  // the request target
  std::size_t request_body = 100 * kMiB;       // 0 = no limit; a host or a route may set its own
  std::size_t stream_buffer = 64 * kKiB;  // body bytes held a stream and direction: memory = this x streams
  std::uint32_t requests_per_connection =
      10'000;                        // 0 = no limit; spreads long-lived clients after a scale-out
  Milliseconds connection_age = 1h;  // 0 = no limit; the same, by time
  // Of one client address over all listeners; 0 = no limit. A fiftieth of limits.connections, and
  // yet enough for a large office or a carrier's NAT.
  std::uint32_t connections_per_address = 1'000;
  std::uint32_t handshakes_per_address = 200;  // a twentieth of limits.handshakes
  Abuse abuse;
  MinRate min_rate;
  H2Limits h2;
  bool operator==(const ClientLimits&) const = default;
};

// What is made of a request's path before routing, rewriting and the upstream see it
// (http/path.hpp). A listener's rules are the global ones with its own laid over.
enum class DotSegments : std::uint8_t { resolve, reject, keep };
enum class EscapedSlashes : std::uint8_t { keep, decode, reject };
enum class RepeatedSlashes : std::uint8_t { keep, merge, reject };
enum class Escapes : std::uint8_t { normalize, keep };
struct Paths {
  DotSegments dot_segments = DotSegments::resolve;  // else /x/../admin passes a rule for /admin
  // Names with slashes are common (packages, branches) and an origin may tell %2F from a slash.
  EscapedSlashes escaped_slashes = EscapedSlashes::keep;
  RepeatedSlashes repeated_slashes = RepeatedSlashes::keep;  // RFC 3986 takes // and / for different paths
  Escapes escapes = Escapes::normalize;                      // else /%61dmin passes a rule for /admin
  bool operator==(const Paths&) const = default;
};

// CGI and its heirs read X_Forwarded_For and X-Forwarded-For as one variable.
enum class Underscores : std::uint8_t { drop, reject, keep };

// What the whole process may hold.
struct ProcessLimits {
  std::uint32_t connections =
      50'000;  // client connections over all listeners: about 1.5 GiB when all are idle h2
  std::uint32_t handshakes =
      4'000;  // TLS handshakes in progress: about 50 KiB each, and the CPU they will want
  std::uint32_t connections_per_worker = 0;  // 0 = limits.connections alone
  std::uint32_t ipv6_prefix =
      64;  // bits that are one client: a single host is given a /64 and may use it all
  // CIDRs and address sets to which nothing that is counted by address applies: whoever stands for
  // many clients. A proxy or tunnel on this machine does, and a CDN.
  std::vector<std::string> exempt_addresses{"127.0.0.0/8", "::1", std::string(kCloudflare)};
  // Resident bytes, near which load is shed rather than the process killed; none given: by what the
  // control group and the machine have. 0 = no limit.
  std::optional<std::size_t> memory;
  bool operator==(const ProcessLimits&) const = default;
};

// Towards the peers that a listener trusts: a CDN keeps few and fat connections, for long, and must
// never find one closed that it was about to use. Cloudflare's own limits decide: it reuses a
// connection for 900 s, lets 128 KiB of headers and URLs of 16 KiB through, opens 200 streams and
// gives up on a write after 30 s.
struct TrustedClients {
  ClientTimeouts timeouts = cloudflare_timeouts();
  ClientLimits limits = cloudflare_limits();
  bool operator==(const TrustedClients&) const = default;

  static ClientTimeouts cloudflare_timeouts() {
    ClientTimeouts to;
    to.handshake = 10s;
    to.request_body = 25s;
    to.idle = 960s;
    return to;
  }
  static ClientLimits cloudflare_limits() {
    ClientLimits to;
    to.header_bytes = 128 * kKiB;
    to.header_field_bytes = 32 * kKiB;
    to.header_count = 256;
    to.url = 16 * kKiB;
    to.request_body = 512 * kMiB;  // of its plans but Enterprise
    to.stream_buffer = 256 * kKiB;
    to.requests_per_connection = 0;
    to.connection_age = 0ms;
    to.h2.streams = 256;
    to.h2.stream_window = 256 * kKiB;
    to.h2.connection_window = 4 * kMiB;
    return to;
  }
};

struct TcpKeepalive {
  Milliseconds idle = 30s;      // silence before the first probe; a CDN in front probes at 30 s as well
  Milliseconds interval = 15s;  // between probes
  std::uint32_t count = 4;      // unanswered probes: a dead peer is gone after 90 s
  bool operator==(const TcpKeepalive&) const = default;
};

struct ProxyProtocol {
  std::vector<std::string> from;  // CIDRs that must send a v1 or v2 header; from all others it is not read
  Origin origin;
  bool operator==(const ProxyProtocol&) const = default;
};

// ---- routes ----------------------------------------------------------------------------

// One header field or query parameter.
struct ValueMatch {
  enum class Kind : std::uint8_t { exact, regex, present, absent };
  std::string name;  // header names in lower case
  Kind kind = Kind::exact;
  std::string text;  // the value, or a regular expression (pattern.hpp) for the whole of it
  Origin origin;
  bool operator==(const ValueMatch&) const = default;
};

// All that is given must match; nothing given matches everything.
struct RouteMatch {
  std::optional<std::string> path;  // the whole path, byte by byte
  std::optional<std::string>
      path_prefix;                        // "/api/" matches /api/x; "/api" matches /api and /api/x, not /apix
  std::optional<std::string> path_regex;  // pattern.hpp; for the whole path
  std::vector<std::string> methods;       // "GET", …; empty = any
  std::vector<ValueMatch> headers;
  std::vector<ValueMatch> query;  // compared after percent-decoding; + is a +
  Origin origin;
  bool operator==(const RouteMatch&) const = default;
};

// Whether a path is under a prefix as path_prefix means it: "/api" takes /api and /api/x, not
// /apix; "/api/" takes /api/ and /api/x.
[[nodiscard]] bool has_prefix(std::string_view path, std::string_view prefix) noexcept;

using HeaderList = std::vector<std::pair<std::string, std::string>>;  // names in lower case

// Applied in this order: remove, set, add.
struct HeaderEdit {
  HeaderList set;  // replaces all fields of the name
  HeaderList add;
  std::vector<std::string> remove;  // lower case
  Origin origin;
  bool operator==(const HeaderEdit&) const = default;
};

struct ToUpstream {
  std::string name;
  bool operator==(const ToUpstream&) const = default;
};

// Either `to` (taken as it is), or the request's URL with the given parts replaced.
struct Redirect {
  std::optional<std::string> to;
  std::optional<std::string> scheme;  // http | https
  std::optional<std::string> host;    // with :port where it is not the scheme's own
  std::optional<std::string> path;    // the query stays
  std::uint16_t code = 308;           // 301, 302, 303, 307 or 308; 308 keeps method and body
  Origin origin;
  bool operator==(const Redirect&) const = default;
};

struct Reply {
  std::uint16_t status = 200;  // 200-599
  std::string body;
  HeaderList headers;  // content-type is text/plain; charset=utf-8 unless given
  Origin origin;
  bool operator==(const Reply&) const = default;
};

struct Rewrite {
  std::optional<std::string> prefix;  // stands instead of the path_prefix that matched
  std::optional<std::string> host;    // the authority that the upstream sees; the client's when left out
  Origin origin;
  bool operator==(const Rewrite&) const = default;
};

// Laid over the upstream's; what is empty is the upstream's.
struct RouteTimeouts {
  std::optional<Milliseconds> connect, send, first_byte, idle, tunnel, total;
  bool operator==(const RouteTimeouts&) const = default;
};

// A token bucket for each client address, or for each value of a header.
struct RateLimit {
  std::string header;          // lower case; empty: by client address, as is a request without it
  std::uint32_t requests = 0;  // in the long run, within `per`
  Milliseconds per = 1s;
  std::uint32_t burst = 0;  // at once, after a while without; 0 = `requests`
  Origin origin;
  bool operator==(const RateLimit&) const = default;
};

struct Route {
  RouteMatch match;
  std::variant<ToUpstream, Redirect, Reply> action;
  HeaderEdit request_headers;   // on the way to the upstream
  HeaderEdit response_headers;  // on the way to the client; also of replies and redirects
  Rewrite rewrite;
  RouteTimeouts timeouts;
  std::optional<std::size_t>
      request_body;                     // the route's, else its host's; empty = the listener's. 0 = no limit
  bool websocket = true;                // false: an upgrade is answered with 403
  std::optional<RateLimit> rate_limit;  // beside the host's; above it: 429
  Origin origin;
  bool operator==(const Route&) const = default;
};

// ---- listeners -------------------------------------------------------------------------

enum class ListenerProtocol : std::uint8_t { https, http };

struct Listener {
  std::string name;
  ListenerProtocol protocol = ListenerProtocol::https;
  ListenAddress address;
  bool redirect = false;              // `redirect: https`, of an http listener: to the same URL over https
  std::uint16_t redirect_code = 308;  // keeps method and body
  std::uint16_t redirect_port = 443;  // the port that the redirect names; 443 is left out of the URL
  std::vector<Route> routes;     // for every host, tried before the redirect and before the hosts' routes
  std::uint32_t backlog = 4096;  // a socket, of which each worker has one; the kernel caps it at somaxconn
  std::uint32_t max_connections = 0;  // of this listener over all workers; 0 = limits.connections alone
  TcpKeepalive tcp_keepalive;
  std::optional<ProxyProtocol> proxy_protocol;
  std::vector<std::string> allow;  // CIDRs and address sets; others are closed at once; empty = everybody
  // CIDRs and address sets: these are believed about their clients, and have `trusted` for limits.
  std::vector<std::string> trust{std::string(kCloudflare)};
  ClientAddress client_address = ClientAddress::cf_connecting_ip;
  TrustedClients trusted;                       // effective
  ClientTimeouts timeouts;                      // effective
  ClientLimits limits;                          // effective
  Paths paths;                                  // effective
  Underscores underscores = Underscores::drop;  // effective
  Origin origin;
  bool operator==(const Listener&) const = default;
};

// ---- hosts -----------------------------------------------------------------------------

struct Host {
  // Lower case, without a trailing dot: "example.com", "*.example.com" (one label), "*" (what no
  // other host has). Empty: the SANs of its certificates; the builder fills them in.
  std::vector<std::string> names;
  std::vector<std::string> listeners;  // names; empty = all
  std::string policy = "default";      // tls.policy
  std::vector<Certificate> certificates;
  // Whether a ticket resumes once the host has another certificate than the one that it was made under.
  bool resume_after_rotation = true;
  std::optional<std::size_t> request_body;  // limits.request_body; empty = the listener's. 0 = no limit
  std::optional<RateLimit> rate_limit;      // of all its routes together; above it: 429
  std::vector<Route> routes;                // the first that matches wins
  OriginPull origin_pull;
  Origin origin;
  bool operator==(const Host&) const = default;
};

// ---- upstreams -------------------------------------------------------------------------

enum class UpstreamProtocol : std::uint8_t { automatic, h1, h2 };
enum class Balance : std::uint8_t { round_robin, least_request };

struct UpstreamTls {
  std::string server_name;   // SNI and the name that is verified; empty = the endpoint's own host
  std::filesystem::path ca;  // PEM; empty = the system's
  bool verify = true;        // false is a loud warning: anyone in between can read and change everything
  std::optional<Certificate> certificate;  // ours, where the upstream asks for one
  TlsVersion min_version = TlsVersion::tls12;
  Origin origin;
  bool operator==(const UpstreamTls&) const = default;
};

struct UpstreamEndpoint {
  std::string host;          // a name or a literal address without brackets
  std::uint16_t port = 0;    // 1-65535
  std::uint32_t weight = 1;  // 1-1000; its share of the traffic
  Origin origin;
  bool operator==(const UpstreamEndpoint&) const = default;
};

struct UpstreamTimeouts {
  Milliseconds connect = 3s;  // TCP; with two retries still far inside any client's patience
  Milliseconds tls = 5s;      // the handshake after it
  // A request's body of which the upstream takes nothing: meanwhile we do not read from the client, and
  // a CDN gives up on that after 30 s. 0 = off, the others below rule.
  Milliseconds send = 25s;
  Milliseconds first_byte = 60s;  // request sent to response head: our own 504 comes before a CDN's 524
  Milliseconds idle = 300s;       // a body without a byte in either direction (SSE, gRPC streams)
  Milliseconds tunnel = 1h;       // a WebSocket without a byte in either direction
  Milliseconds total = 0ms;       // the whole exchange; 0 = no limit, for streams have no natural end
  bool operator==(const UpstreamTimeouts&) const = default;
};

// Per worker and endpoint group.
struct Pool {
  std::uint32_t max_connections = 1024;  // open connections of this upstream, a worker
  std::uint32_t max_idle = 128;          // of them idle, a worker; the oldest is closed first
  // Exchanges that wait, a worker; above that 503 at once. Those for which a connection is being dialed
  // (HTTP/1.1: one each, HTTP/2: max_streams each) are not counted.
  std::uint32_t max_pending = 1024;
  std::uint32_t max_streams =
      100;                         // exchanges at once on one h2 connection; the peer's SETTINGS may say less
  std::uint32_t max_requests = 0;  // exchanges over the life of a connection; 0 = no limit
  Milliseconds idle_timeout = 55s;  // below the 60 s after which common servers close
  Milliseconds max_age = 0ms;       // 0 = no limit; set it where a load balancer stands behind one address
  bool operator==(const Pool&) const = default;
};

// What one response's head may cost. Above it: 502, or a cut response, and the connection is dropped.
struct ResponseLimits {
  std::size_t header_bytes = 128 * kKiB;       // a head in all, likewise trailers
  std::size_t header_field_bytes = 32 * kKiB;  // one field: cookies and policies of applications grow long
  std::uint32_t header_count = 256;            // fields of a head
  std::uint32_t informational = 32;  // 1xx heads before the final one: each may have to be passed on
  bool operator==(const ResponseLimits&) const = default;
};

struct Retries {
  std::uint32_t count = 2;  // tries after the first, only of what is provably unsent or safe to repeat
  Percent budget{20};       // retries in progress, as a share of the exchanges in progress, …
  std::uint32_t budget_floor =
      3;  // … or this many where that is more: a storm of retries never adds to an outage
  bool operator==(const Retries&) const = default;
};

// Passive: an endpoint that fails is passed over for a while.
struct Ejection {
  std::uint32_t failures = 5;    // in a row; 0 = never eject
  Milliseconds time = 10s;       // the first time; doubles with each ejection in a row …
  Milliseconds max_time = 300s;  // … up to this
  Percent max_ejected{50};       // of the endpoints at most: a fault of ours must not take out all of them
  bool operator==(const Ejection&) const = default;
};

struct Resolve {
  Milliseconds interval = 30s;  // names are looked up again after this, on the control loop
  Milliseconds timeout = 5s;    // a look-up that takes longer failed; the last good addresses stay
  bool operator==(const Resolve&) const = default;
};

struct Upstream {
  std::string name;
  UpstreamProtocol protocol = UpstreamProtocol::automatic;  // ALPN over TLS, HTTP/1.1 in clear text
  std::optional<UpstreamTls> tls;                           // empty = clear text
  std::vector<UpstreamEndpoint> endpoints;
  Balance balance = Balance::round_robin;
  UpstreamTimeouts timeouts;
  Pool pool;
  ResponseLimits limits;
  Retries retries;
  Ejection ejection;
  Resolve resolve;
  Origin origin;
  bool operator==(const Upstream&) const = default;
};

// ---- beside the way --------------------------------------------------------------------

// /metrics, /healthz, /readyz. Loopback or a unix socket only: it tells about everything.
struct Admin {
  ListenAddress address;
  std::filesystem::path unix_path;  // when not empty, instead of the address
  Origin origin;
  bool operator==(const Admin&) const = default;
};

struct LogTarget {
  enum class Kind : std::uint8_t { off, standard_output, standard_error, file };
  Kind kind = Kind::standard_output;
  std::filesystem::path file;  // reopened on SIGUSR1
  bool operator==(const LogTarget&) const = default;
};

enum class AccessLogFormat : std::uint8_t { json };
struct AccessLog {
  LogTarget path{LogTarget::Kind::standard_output, {}};  // stdout | off | a file
  AccessLogFormat format = AccessLogFormat::json;        // one object a line
  std::size_t ring =
      1 * kMiB;  // bytes a worker holds for the writer; what does not fit is dropped and counted
  Origin origin;
  bool operator==(const AccessLog&) const = default;
};

enum class LogLevel : std::uint8_t { debug, info, warn, error };
enum class LogFormat : std::uint8_t { text, json };
struct Log {
  LogTarget path{LogTarget::Kind::standard_error, {}};  // stderr | stdout | off | a file
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
  Origin origin;
  bool operator==(const Log&) const = default;
};

// Reloads by themselves, when the config file or a file that it names has changed.
struct Watch {
  bool enabled = false;
  Milliseconds settle = 1s;  // nothing may have changed for so long: a pair is written file by file
  Milliseconds poll = 30s;   // looked at this often besides the kernel's word, which some file systems lack
  bool operator==(const Watch&) const = default;
};

// Upper bounds of the histograms, in seconds, ascending.
struct Buckets {
  std::vector<double> handshake{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
  std::vector<double> request{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 90, 120};
  std::vector<double> reload{.01, .05, .1, .5, 1, 5, 30};
  bool operator==(const Buckets&) const = default;
};
struct Metrics {
  Buckets buckets;
  bool operator==(const Metrics&) const = default;
};

// ---- all of it -------------------------------------------------------------------------

struct Model {
  std::filesystem::path file;  // as given to load(); no part of the meaning
  std::uint32_t version = 1;
  std::uint32_t workers = 0;  // threads; 0 = auto: one a core
  ClientTimeouts timeouts;
  Milliseconds drain = 30s;              // timeouts.drain: from SIGTERM to closing what still runs
  ProcessLimits process_limits;          // limits.connections, limits.handshakes
  ClientLimits limits;                   // the rest of limits
  std::vector<AddressSet> address_sets;  // load() makes sure that there is one named "cloudflare"
  TrustedClients trusted;
  CdnLoop cdn_loop;
  Paths paths;
  // Fields whose names are ours, or some route's request_headers', once _ is read as -.
  Underscores underscores = Underscores::drop;
  std::vector<Listener> listeners;
  std::optional<Admin> admin;  // empty = no admin listener
  AccessLog access_log;
  Log log;
  Metrics metrics;
  Watch watch;
  Tls tls;
  std::vector<Host> hosts;
  std::vector<Upstream> upstreams;
  bool operator==(const Model&) const = default;
};

}  // namespace sallyport::config
