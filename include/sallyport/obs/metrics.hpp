// The gateway's metrics by their meaning: one object per listener, host, route and upstream,
// resolved when a configuration is built; the data path adds by index.
//
// Metrics is owned by the server and outlives all workers. The objects it makes are immutable
// to their users, shared by all workers and kept by the snapshot; a worker passes its own Shard.
// Series with many labels are registered at first use (a lock, once); after that every call is
// an array look-up and one or two plain stores. Label values come from the enums here, from
// configuration, or from the Vocabulary's static tables: never from a client.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/obs/registry.hpp"

namespace sallyport::obs {

enum class Proto : std::uint8_t { http10, http11, h2, none };  // begins as http::Version does
enum class TlsVersion : std::uint8_t { tls12, tls13, other };
enum class Alpn : std::uint8_t { none, http11, h2 };
enum class CertResult : std::uint8_t { ok, absent, untrusted, expired, revoked, pin_mismatch };
enum class PeerKind : std::uint8_t { cloudflare, trusted, other };
enum class RejectReason : std::uint8_t {
  not_allowed,
  limit,
  memory,
  draining,
  proxy_proto,
  address_limit,
  abuse
};
enum class PauseReason : std::uint8_t { files, memory };
enum class Shed : std::uint8_t { stream, request, idle_connection };
enum class ClosedBy : std::uint8_t { peer, idle, max_age, error, drain, abuse };
enum class ConnectResult : std::uint8_t {
  ok,
  refused,
  timeout,
  unreachable,
  dns,
  tls_verify,
  tls_other,
  other
};
enum class PoolState : std::uint8_t { active, idle, connecting };
enum class EndpointState : std::uint8_t { healthy, unhealthy, ejected, draining };
enum class RetryResult : std::uint8_t { success, exhausted, budget };
enum class EjectionKind : std::uint8_t { connect, errors, health_check };
enum class Side : std::uint8_t { client, upstream };
enum class Dir : std::uint8_t { rx, tx };
enum class IpSource : std::uint8_t { cf_connecting_ip, true_client_ip, xff, proxy_proto, peer };
enum class IpVerdict : std::uint8_t { used, stripped_untrusted };
enum class ReloadTrigger : std::uint8_t { start, sighup, api, watch };
enum class ReloadResult : std::uint8_t { ok, rejected, partial };
enum class ReloadPhase : std::uint8_t { parse, load, swap };

// Closed sets that rooms above own: word i belongs to the enum value i there. Static storage.
struct Vocabulary {
  std::span<const std::string_view> handshake_stages;
  std::span<const std::string_view> handshake_reasons;
  std::span<const std::string_view> methods;        // in http::Method's order
  std::span<const std::string_view> reply_reasons;  // why we answered ourselves
  std::span<const std::string_view> floods;         // HTTP/2 abuse budgets
  // Status codes of Cloudflare's with the cause that we know: "524" and "first_byte".
  std::span<const std::pair<std::string_view, std::string_view>> cf_risks{};
};

// Upper bounds of the histograms, of the configuration that the process started with.
struct HistogramBuckets {
  Buckets handshake =
      Buckets::of_seconds({.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10});
  // Up to the 120 s after which Cloudflare gives up (524), so that the risk is visible.
  Buckets request =
      Buckets::of_seconds({.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 90, 120});
  Buckets reload = Buckets::of_seconds({.01, .05, .1, .5, 1, 5, 30});
};

// The host label where no host was found for a ClientHello.
inline constexpr std::string_view kUnmatched = "_unmatched";
// Above so many hosts the per-host label would be most of a scrape: all share the label "_all".
inline constexpr std::size_t kHostLabelLimit = 500;
[[nodiscard]] constexpr std::string_view host_label(std::string_view name, std::size_t hosts) noexcept {
  return hosts > kHostLabelLimit ? std::string_view("_all") : name;
}

// Counters by index, each registered when it is first counted.
class LazyCounters {
 public:
  using Register = std::function<CounterId(std::size_t index)>;
  LazyCounters(std::size_t size, Register make);
  void add(Shard& shard, std::size_t index, std::uint64_t n = 1) const {
    if (index >= size_) return;
    std::uint32_t slot = slots_[index].load(std::memory_order_acquire);
    if (slot == 0) slot = resolve(index);
    shard.add(CounterId{slot}, n);
  }

 private:
  std::uint32_t resolve(std::size_t index) const;
  std::size_t size_;
  std::unique_ptr<std::atomic<std::uint32_t>[]> slots_;
  Register register_;
};

// Histograms by index, each registered when it is first observed.
class LazyHistograms {
 public:
  using Register = std::function<HistogramId(std::size_t index)>;
  LazyHistograms(std::size_t size, const Buckets& buckets, Register make);
  void observe(Shard& shard, std::size_t index, base::Duration value) const {
    if (index >= size_) return;
    std::uint32_t slot = slots_[index].load(std::memory_order_acquire);
    if (slot == 0) slot = resolve(index);
    shard.observe(HistogramId{slot, buckets_}, value);
  }

 private:
  std::uint32_t resolve(std::size_t index) const;
  std::size_t size_;
  const Buckets* buckets_;
  std::unique_ptr<std::atomic<std::uint32_t>[]> slots_;
  Register register_;
};

// Counters by a key out of a closed set that no table here lists (a cipher's name, a status and
// a reason). Looked up without a lock in a short append-only list, which suits the handful of
// keys that really occur; past kMax keys everything is one series, "_other".
template <class Key>
class KeyedCounters {
 public:
  static constexpr std::size_t kMax = 48;
  // nullptr: for "_other".
  using Register = std::function<CounterId(const Key* key)>;
  explicit KeyedCounters(Register make) : register_(std::move(make)) {}

  template <class Sought>
  void add(Shard& shard, const Sought& key) const {
    const std::size_t size = size_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < size; ++i) {
      if (entries_[i].key == key) return shard.add(entries_[i].id);
    }
    shard.add(resolve(Key(key)));
  }

 private:
  struct Entry {
    Key key{};
    CounterId id;
  };
  [[nodiscard]] CounterId resolve(const Key& key) const;

  Register register_;
  mutable std::mutex mutex_;
  mutable std::array<Entry, kMax> entries_;
  mutable std::atomic<std::size_t> size_{0};  // entries below it never change
};
using NamedCounters = KeyedCounters<std::string>;
extern template class KeyedCounters<std::string>;
extern template class KeyedCounters<std::uint32_t>;

class Metrics;
struct Families;

// Handshakes of one host on one listener.
class HostMetrics {
 public:
  HostMetrics(Metrics& metrics, const std::string& listener, const std::string& host);
  void handshake(Shard& shard, TlsVersion version, Alpn alpn, bool resumed) const;
  // Indices into Vocabulary::handshake_stages and handshake_reasons.
  void handshake_failed(Shard& shard, std::size_t stage, std::size_t reason) const;
  void client_cert(Shard& shard, CertResult result) const;
  void health(Shard& shard, unsigned score) const;  // 0-100

 private:
  std::size_t reasons_;
  LazyCounters handshakes_, failures_, client_certs_;
  LazyHistograms health_;
};

class ListenerMetrics {
 public:
  ListenerMetrics(Metrics& metrics, const std::string& listener);
  void accepted(Shard& shard, PeerKind peer) const;  // counts it and raises the gauge
  // Ends what accepted() began.
  void closed(Shard& shard, PeerKind peer, Proto proto, ClosedBy by) const;
  void rejected(Shard& shard, RejectReason reason) const;
  void accept_paused(Shard& shard, PauseReason reason) const;

  void handshake_begun(Shard& shard) const { shard.add(in_progress_, 1); }
  void handshake_ended(Shard& shard) const { shard.add(in_progress_, -1); }
  void handshake_duration(Shard& shard, bool resumed, base::Duration took) const;
  void handshake_cpu(Shard& shard, base::Duration used) const {
    shard.add(cpu_, used.count() > 0 ? static_cast<std::uint64_t>(used.count()) : 0);
  }
  void hello_retry_request(Shard& shard) const { shard.add(hello_retry_); }
  void hello_segmented(Shard& shard) const { shard.add(segmented_); }
  void cipher(Shard& shard, std::string_view name) const { ciphers_.add(shard, name); }
  void group(Shard& shard, std::string_view name) const { groups_.add(shard, name); }
  void sigalg(Shard& shard, std::string_view name) const { sigalgs_.add(shard, name); }

  // For handshakes that ended before a host was found.
  [[nodiscard]] const HostMetrics& unmatched() const noexcept { return *unmatched_; }

 private:
  std::array<CounterId, 3> connections_total_;  // by PeerKind
  std::array<GaugeId, 3> connections_;
  std::array<CounterId, 7> rejected_;  // by RejectReason
  std::array<CounterId, 2> paused_;    // by PauseReason
  LazyCounters closed_;
  GaugeId in_progress_;
  std::array<HistogramId, 2> duration_;  // full, resumed
  CounterId cpu_, hello_retry_, segmented_;
  NamedCounters ciphers_, groups_, sigalgs_;
  std::shared_ptr<const HostMetrics> unmatched_;
};

class RouteMetrics {
 public:
  RouteMetrics(Metrics& metrics, const std::string& route);
  void begun(Shard& shard) const { shard.add(in_flight_, 1); }
  // Once per request; ends begun(). Status 0: no response head was sent. `method` is an index of
  // Vocabulary::methods.
  void ended(Shard& shard, Proto proto, std::size_t method, unsigned status, base::Duration took) const;
  // From the request's first byte to the response's first byte.
  void first_byte(Shard& shard, unsigned status, base::Duration took) const;
  void request_bytes(Shard& shard, std::uint64_t n) const { shard.add(request_bytes_, n); }
  void response_bytes(Shard& shard, std::uint64_t n) const { shard.add(response_bytes_, n); }
  // A reply of our own; `reason` is an index of Vocabulary::reply_reasons.
  void local_reply(Shard& shard, unsigned status, std::size_t reason) const;
  // Ended without a whole response; `reason` likewise.
  void cut_off(Shard& shard, std::size_t reason) const;

 private:
  std::size_t methods_, reasons_;
  GaugeId in_flight_;
  CounterId request_bytes_, response_bytes_;
  LazyCounters requests_, cut_off_;
  LazyHistograms duration_, first_byte_;
  KeyedCounters<std::uint32_t> local_replies_;  // status << 16 | reason
};

class UpstreamMetrics {
 public:
  UpstreamMetrics(Metrics& metrics, const std::string& upstream);
  void connected(Shard& shard, Proto proto, ConnectResult result) const;
  // The gauge of connections by state: +1 on entering it, -1 on leaving.
  void connections(Shard& shard, Proto proto, PoolState state, std::int64_t delta) const;
  void connect_duration(Shard& shard, base::Duration took) const { shard.observe(connect_, took); }
  void tls_duration(Shard& shard, base::Duration took) const { shard.observe(tls_, took); }
  // From the request's last sent byte of its head to the response head.
  void response_duration(Shard& shard, base::Duration took) const { shard.observe(response_, took); }
  void request(Shard& shard, unsigned status, bool reused) const;
  void retry(Shard& shard, base::ErrorCode cause, RetryResult result) const;
  // A request failed for it at last: it was answered by us, or its response was cut.
  void failed(Shard& shard, base::ErrorCode cause) const;
  void pending(Shard& shard, std::int64_t delta) const { shard.add(pending_, delta); }
  void ejected(Shard& shard, EjectionKind kind) const;
  // Endpoints by state: +1 / -1 on a change.
  void endpoints(Shard& shard, EndpointState state, std::int64_t delta) const;

 private:
  LazyCounters connected_;
  std::array<std::array<GaugeId, 3>, 2> connections_;  // HTTP/1.1 | h2, by PoolState
  HistogramId connect_, tls_, response_;
  LazyCounters requests_, retries_, failures_;
  GaugeId pending_;
  std::array<CounterId, 3> ejections_;
  std::array<GaugeId, 4> endpoints_;
};

// One certificate that is in use, for the expiry gauges.
struct CertificateFacts {
  std::string host;
  std::string key_type;     // "ecdsa" | "rsa"
  std::string serial_hash;  // a few hex digits: tells two certificates apart, names no secret
  base::WallTime not_before{}, not_after{}, loaded{};
  std::optional<base::WallTime> staple_next_update{};  // of the OCSP answer that is shown with it
};

struct BuildFacts {
  std::string version, commit, openssl, nghttp2;
};

class Metrics {
 public:
  explicit Metrics(const Vocabulary& vocabulary, const HistogramBuckets& buckets = {});
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  ~Metrics();

  [[nodiscard]] Registry& registry() noexcept { return registry_; }
  [[nodiscard]] const Vocabulary& vocabulary() const noexcept { return vocabulary_; }
  [[nodiscard]] Shard& new_shard() { return registry_.new_shard(); }
  // For the control thread, which has one too.
  [[nodiscard]] Shard& control_shard() noexcept { return control_; }
  [[nodiscard]] std::string text() const { return registry_.text(); }

  // While a configuration is built; any thread. The same names give the same object as long as
  // somebody holds it.
  [[nodiscard]] std::shared_ptr<const ListenerMetrics> listener(std::string_view name);
  [[nodiscard]] std::shared_ptr<const HostMetrics> host(std::string_view listener, std::string_view host);
  [[nodiscard]] std::shared_ptr<const RouteMetrics> route(std::string_view name);
  [[nodiscard]] std::shared_ptr<const UpstreamMetrics> upstream(std::string_view name);
  // Handshakes that a rule of a TLS policy decided; `outcome` is the policy it picked, or "refused".
  [[nodiscard]] CounterId tls_rule(std::string_view policy, std::string_view rule, std::string_view outcome);

  // On a worker, with its shard.
  void stream_reset(Shard& shard, Side side, Dir dir, std::uint32_t error_code) const;
  void goaway(Shard& shard, Side side, Dir dir, std::uint32_t error_code) const;
  void shed(Shard& shard, Shed what, std::uint64_t n = 1) const;
  void flood(Shard& shard, std::size_t kind) const;  // index of Vocabulary::floods
  // Cut, since it sent a request's body or took a response too slowly.
  void slow_client(Shard& shard, bool reading) const { shard.add(slow_clients_[reading ? 1 : 0]); }
  void client_ip(Shard& shard, IpSource source, IpVerdict verdict) const;
  // What a visitor behind Cloudflare would have seen, or saw, but for us; index of Vocabulary::cf_risks.
  void cf_risk(Shard& shard, std::size_t risk) const;
  void loop_lag(Shard& shard, base::Duration lag) const { shard.observe(loop_lag_, lag); }

  // On the control thread.
  void build(const BuildFacts& facts);
  void certificates(std::span<const CertificateFacts> in_use);
  void ticket_keys_rotated() { control_.add(ticket_rotations_); }
  // `partial`: taken over but for what needs a restart. `start` does not count as a reload.
  void reloaded(ReloadTrigger trigger, ReloadResult result, base::WallTime when);
  void reload_phase(ReloadPhase phase, base::Duration took);
  void generation(std::uint64_t number);
  void memory_pressure(std::uint32_t level);
  void address_set(std::string_view name, std::size_t blocks, base::WallTime loaded);

  // Read at each scrape, on the scraping thread; must be thread-safe and live as long as this.
  void generations_alive(std::function<double()> read);
  void memory_pool(std::string_view pool, std::function<double()> bytes);
  void addresses_untracked(std::function<double()> count);
  void access_log_dropped(std::string_view reason, std::function<double()> count);

 private:
  friend class HostMetrics;
  friend class ListenerMetrics;
  friend class RouteMetrics;
  friend class UpstreamMetrics;

  template <class T, class... Names>
  std::shared_ptr<const T> shared(std::map<std::string, std::weak_ptr<const T>>& cache, std::string key,
                                  Names... names);

  Vocabulary vocabulary_;
  HistogramBuckets buckets_;
  Registry registry_;
  Shard& control_;
  std::unique_ptr<Families> families_;
  std::unique_ptr<LazyCounters> stream_resets_, goaways_;
  std::vector<CounterId> floods_;
  std::array<CounterId, 3> shed_;  // by Shed
  std::array<CounterId, 10> client_ip_;
  std::vector<CounterId> cf_risks_;
  std::array<CounterId, 2> slow_clients_;  // sending, reading
  HistogramId loop_lag_;
  CounterId ticket_rotations_;

  std::mutex cache_mutex_;
  std::map<std::string, std::weak_ptr<const ListenerMetrics>> listeners_;
  std::map<std::string, std::weak_ptr<const HostMetrics>> hosts_;
  std::map<std::string, std::weak_ptr<const RouteMetrics>> routes_;
  std::map<std::string, std::weak_ptr<const UpstreamMetrics>> upstreams_;
};

}  // namespace sallyport::obs
