// The top of the file, and what stands beside the way of a request.
#include <algorithm>

#include "tables.hpp"

namespace sallyport::config {
namespace {

constexpr std::uint32_t kMaxWorkers = 1024;

void read_version(Reader& reader, const Node& node, Model& to) {
  if (!Codec<std::uint32_t>::read(reader, node, to.version, {}) || to.version == 1) return;
  reader.error(node, "this build reads version: 1, found " + in_quotes(node.text));
}

void read_workers(Reader& reader, const Node& node, Model& to) {
  if (node.kind == Node::Kind::scalar && node.text == "auto") {
    to.workers = 0;
  } else {
    Codec<std::uint32_t>::read(reader, node, to.workers, Range{1, kMaxWorkers});
  }
}

constexpr Range kMemory{32 * kMiB, std::size_t{1} << 50};

void read_memory(Reader& reader, const Node& node, ProcessLimits& to) {
  if (node.kind == Node::Kind::scalar && node.text == "auto") {
    to.memory.reset();
  } else if (node.kind == Node::Kind::scalar && node.text == "0") {
    to.memory = 0;
  } else if (std::size_t bytes = 0; Codec<std::size_t>::read(reader, node, bytes, kMemory)) {
    to.memory = bytes;
  }
}

// Each listener starts from the global timeouts and limits, which stand before it in the table.
void read_listeners(Reader& reader, const Node& node, Model& to) {
  Listener base;
  base.timeouts = to.timeouts;
  base.limits = to.limits;
  base.paths = to.paths;
  base.underscores = to.underscores;
  base.trusted = to.trusted;
  Codec<std::vector<Listener>>::read_onto(reader, node, to.listeners, {}, base);
  if (node.kind == Node::Kind::sequence && node.items.empty())
    reader.error(node, "an empty list: nothing would be listened on");
}

void read_admin_address(Reader& reader, const Node& node, Admin& to) {
  if (!reader.is(node, Node::Kind::scalar, "an address such as 127.0.0.1:9901")) return;
  if (node.text.starts_with("unix:")) {
    const std::filesystem::path path = node.text.substr(5);
    if (path.empty()) {
      reader.error(node, "unix: needs a path, as in unix:/run/sallyport/admin.sock");
      return;
    }
    to.unix_path = reader.resolve(path.string());
    // sockaddr_un holds 108 bytes with the final zero.
    if (to.unix_path.string().size() > 107)
      reader.error(node, "the path of a unix socket is at most 107 bytes");
    return;
  }
  if (!reader.take(node, parse_listen_address(node.text), to.address)) return;
  if (!is_loopback(to.address)) {
    reader.error(node, in_quotes(node.text) +
                           " is reachable from outside: admin listens on 127.0.0.1, [::1] or "
                           "unix:/path alone");
  }
}

Key<Buckets> bounds(std::string_view name, std::vector<double> Buckets::*member, std::string_view about) {
  return {name, about,
          [member](Reader& reader, const Node& node, Buckets& to) {
            auto& list = to.*member;
            if (!Codec<std::vector<double>>::read(reader, node, list, {})) return;
            const bool ascending =
                std::adjacent_find(list.begin(), list.end(), std::greater_equal<>()) == list.end();
            if (list.empty() || list.size() > 64 || list.front() <= 0 || !ascending)
              reader.error(node, "expected 1 to 64 positive numbers in ascending order");
          },
          [] { return Codec<std::vector<double>>::schema({}); }};
}

}  // namespace

const Words<AccessLogFormat>& words_of(AccessLogFormat) {
  static const Words<AccessLogFormat> words{{"json", AccessLogFormat::json}};
  return words;
}
const Words<LogLevel>& words_of(LogLevel) {
  static const Words<LogLevel> words{{"debug", LogLevel::debug},
                                     {"info", LogLevel::info},
                                     {"warn", LogLevel::warn},
                                     {"error", LogLevel::error}};
  return words;
}
const Words<LogFormat>& words_of(LogFormat) {
  static const Words<LogFormat> words{{"text", LogFormat::text}, {"json", LogFormat::json}};
  return words;
}

const Keys<Admin>& keys_of(const Admin*) {
  static const Keys<Admin> keys{
      required(custom<Admin, std::string>("address", "a loopback address with a port, or unix:/path",
                                          &read_admin_address)),
  };
  return keys;
}

const Keys<AccessLog>& keys_of(const AccessLog*) {
  using T = AccessLog;
  static const Keys<T> keys{
      key("path", &T::path, "stdout, stderr, off or a file, which is opened anew on SIGUSR1"),
      key("format", &T::format, "json: one object a line"),
      key("ring", &T::ring, "bytes a worker holds for the writer; what does not fit is dropped and counted",
          Range{64 * kKiB, 1024 * kMiB}),
  };
  return keys;
}

const Keys<Log>& keys_of(const Log*) {
  using T = Log;
  static const Keys<T> keys{
      key("path", &T::path, "stderr, stdout, off or a file, which is opened anew on SIGUSR1"),
      key("level", &T::level, "debug, info, warn or error"),
      key("format", &T::format, "text or json"),
  };
  return keys;
}

const Keys<Watch>& keys_of(const Watch*) {
  using T = Watch;
  static const Keys<T> keys{
      key("enabled", &T::enabled, "reload when the config file or a file that it names has changed"),
      key("settle", &T::settle, "once nothing has changed for so long", Range{10, 600'000}),
      key("poll", &T::poll, "looked at this often, where the kernel does not tell", Range{100, 86'400'000}),
  };
  return keys;
}

const Keys<Buckets>& keys_of(const Buckets*) {
  static const Keys<Buckets> keys{
      bounds("handshake", &Buckets::handshake, "TLS handshakes"),
      bounds("request", &Buckets::request, "requests, first bytes, upstream connects"),
      bounds("reload", &Buckets::reload, "reloads"),
  };
  return keys;
}

const Keys<Metrics>& keys_of(const Metrics*) {
  static const Keys<Metrics> keys{
      key("buckets", &Metrics::buckets, "upper bounds of the histograms, in seconds")};
  return keys;
}

const Keys<Model>& keys_of(const Model*) {
  using T = Model;
  static const Keys<ProcessLimits> process_limits{
      key("connections", &ProcessLimits::connections, "client connections over all listeners", kPositive),
      key("handshakes", &ProcessLimits::handshakes, "TLS handshakes in progress", kPositive),
      key("connections_per_worker", &ProcessLimits::connections_per_worker,
          "client connections of one worker; 0 = limits.connections alone"),
      key("ipv6_prefix", &ProcessLimits::ipv6_prefix, "bits of an IPv6 address that are one client",
          Range{1, 128}),
      text_key("exempt_addresses", &ProcessLimits::exempt_addresses,
               "address ranges and sets that stand for many clients: nothing counted by address applies",
               &parse_block_or_set),
      {"memory",
       "resident bytes of the process, near which load is shed; auto: by what it may have; 0 = no limit",
       &read_memory,
       [] {
         return Json().with("anyOf",
                            Json::list({schema_of_words({"auto"}), Json().with("const", Json::literal("0")),
                                        Codec<std::size_t>::schema(kMemory)}));
       }},
  };
  static const Keys<T> keys{
      required(Key<T>{"version", "of this vocabulary: 1", &read_version,
                      [] { return Json().with("const", Json::literal("1")); }}),
      {"workers", "threads, or auto: one a core; a change needs a restart", &read_workers,
       [] {
         return Json().with("anyOf", Json::list({schema_of_words({"auto"}),
                                                 Codec<std::uint32_t>::schema(Range{1, kMaxWorkers})}));
       }},
      section<T>("timeouts", "towards clients; a listener may set its own",
                 lift(&T::timeouts, keys_of(static_cast<const ClientTimeouts*>(nullptr))) +
                     Keys<T>{key("drain", &T::drain, "from SIGTERM until what still runs is closed")}),
      section<T>("limits", "of the process, and of a client connection, which a listener may set its own of",
                 lift(&T::process_limits, process_limits) +
                     lift(&T::limits, keys_of(static_cast<const ClientLimits*>(nullptr)))),
      key("paths", &T::paths,
          "what is made of a request's path before routing, rewriting and upstreams see it"),
      key("underscores", &T::underscores,
          "fields such as X_Forwarded_For, which a CGI could take for ours: drop, reject with 400, or keep"),
      {"address_sets", "by name; cloudflare is built in",
       [](Reader& reader, const Node& node, T& to) { read_named(reader, node, to.address_sets); },
       [] { return schema_of_named<AddressSet>(); }},
      key("trusted", &T::trusted, "towards the peers that a listener trusts; it may set its own"),
      key("cdn_loop", &T::cdn_loop, "requests that came by here before (RFC 8586)"),
      required(Key<T>{"listeners", "where clients connect", &read_listeners,
                      [] { return Codec<std::vector<Listener>>::schema({}); }}),
      key("admin", &T::admin, "/metrics, /healthz, /readyz; none when left out"),
      key("access_log", &T::access_log, "a line a request"),
      key("log", &T::log, "events"),
      key("metrics", &T::metrics, "what /metrics shows"),
      key("watch", &T::watch, "reloads without a signal"),
      key("tls", &T::tls, "TLS towards clients"),
      key("hosts", &T::hosts, "names, certificates and routes"),
      {"upstreams", "by name; where requests are sent",
       [](Reader& reader, const Node& node, T& to) { read_named(reader, node, to.upstreams); },
       [] { return schema_of_named<Upstream>(); }},
  };
  return keys;
}

void finish(Reader&, const Node&, Model& model) {
  auto& sets = model.address_sets;
  if (std::none_of(sets.begin(), sets.end(), [](const AddressSet& s) { return s.name == kCloudflare; })) {
    AddressSet set;
    set.name = kCloudflare;
    sets.insert(sets.begin(), std::move(set));
  }
  auto& policies = model.tls.policies;
  const bool has_default =
      std::any_of(policies.begin(), policies.end(), [](const TlsPolicy& p) { return p.name == "default"; });
  if (has_default) return;
  TlsPolicy policy;
  policy.name = "default";
  policies.insert(policies.begin(), std::move(policy));
}

}  // namespace sallyport::config
