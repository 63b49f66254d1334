#include <array>
#include <string>
#include <type_traits>
#include <utility>

#include "sallyport/upstream/cluster.hpp"

namespace sallyport::upstream {

namespace {

// FNV-1a over values, each preceded by its length where it has one, so that no two sequences of
// values run together. Tells one configuration from the next; no adversary chooses the input.
class Identity {
 public:
  void add(std::string_view text) {
    add(text.size());
    for (const char c : text) byte(static_cast<unsigned char>(c));
  }
  template <class T>
  requires std::is_integral_v<T>
  void add(T value) {
    for (std::size_t i = 0; i < 8; ++i) byte(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
  }
  template <class T>
  requires std::is_enum_v<T>
  void add(T value) { add(static_cast<std::uint64_t>(value)); }
  void add(base::Milliseconds value) { add(value.count()); }
  void add(const tls::Digest& digest) {
    for (const std::uint8_t b : digest) byte(b);
  }
  [[nodiscard]] std::uint64_t value() const noexcept { return hash_; }

 private:
  void byte(std::uint64_t b) noexcept { hash_ = (hash_ ^ b) * 0x100000001b3U; }
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};

std::uint64_t identity_of(const ClusterSpec& spec) {
  Identity id;
  id.add(spec.name);
  id.add(spec.protocol);
  id.add(spec.tls != nullptr);
  if (spec.tls) id.add(spec.tls->digest());
  id.add(spec.balance);
  id.add(spec.endpoints.size());
  for (const config::UpstreamEndpoint& e : spec.endpoints) {
    id.add(e.host);
    id.add(e.port);
    id.add(e.weight);
  }
  const config::UpstreamTimeouts& t = spec.timeouts;
  for (const base::Milliseconds timeout : {t.connect, t.tls}) id.add(timeout);
  const config::Pool& p = spec.pool;
  for (const std::uint32_t cap :
       {p.max_connections, p.max_idle, p.max_pending, p.max_streams, p.max_requests}) {
    id.add(cap);
  }
  id.add(p.idle_timeout);
  id.add(p.max_age);
  for (const std::uint32_t n : {spec.retries.count, spec.retries.budget.value, spec.retries.budget_floor})
    id.add(n);
  id.add(spec.ejection.failures);
  id.add(spec.ejection.time);
  id.add(spec.ejection.max_time);
  id.add(spec.ejection.max_ejected.value);
  const session::UpstreamLimits& l = spec.limits;
  for (const std::size_t limit : {l.head_bytes, l.field_bytes, l.fields}) id.add(limit);
  id.add(l.informational);
  return id.value();
}

tls::ClientSpec tls_spec(const config::Upstream& upstream,
                         std::shared_ptr<const tls::Certificate> certificate) {
  const config::UpstreamTls& from = *upstream.tls;
  tls::ClientSpec spec;
  spec.verify = from.verify;
  spec.ca_file = from.ca.string();
  spec.server_name = from.server_name;
  spec.certificate = std::move(certificate);
  if (from.min_version == config::TlsVersion::tls13) spec.min_version = tls::Version::tls13;
  switch (upstream.protocol) {
    case config::UpstreamProtocol::h1:
      spec.alpn = {"http/1.1"};
      break;
    case config::UpstreamProtocol::h2:
      spec.alpn = {"h2"};
      break;
    case config::UpstreamProtocol::automatic:
      spec.alpn = {"h2", "http/1.1"};
      break;
  }
  return spec;
}

}  // namespace

std::shared_ptr<const ClusterSpec> make_cluster(const config::Upstream& upstream,
                                                std::shared_ptr<const tls::Certificate> certificate,
                                                std::shared_ptr<const obs::UpstreamMetrics> metrics,
                                                tls::Notes& notes) {
  auto spec = std::make_shared<ClusterSpec>();
  spec->name = upstream.name;
  spec->protocol = upstream.protocol;
  spec->balance = upstream.balance;
  spec->endpoints = upstream.endpoints;
  spec->timeouts = upstream.timeouts;
  spec->pool = upstream.pool;
  spec->retries = upstream.retries;
  spec->ejection = upstream.ejection;
  spec->resolve = upstream.resolve;
  spec->limits.head_bytes = upstream.limits.header_bytes;
  spec->limits.field_bytes = upstream.limits.header_field_bytes;
  spec->limits.fields = upstream.limits.header_count;
  spec->limits.informational = upstream.limits.informational;
  spec->limits.max_streams = upstream.pool.max_streams;
  spec->metrics = std::move(metrics);
  if (upstream.tls) {
    tls::ClientSpec wanted = tls_spec(upstream, std::move(certificate));
    spec->tls = tls::ClientContext::make(wanted, notes);
    if (spec->tls == nullptr) return nullptr;
    if (upstream.protocol == config::UpstreamProtocol::automatic) {
      wanted.alpn = {"http/1.1"};
      spec->tls_http1 = tls::ClientContext::make(wanted, notes);
      if (spec->tls_http1 == nullptr) return nullptr;
    }
  }
  spec->identity = identity_of(*spec);
  return spec;
}

}  // namespace sallyport::upstream
