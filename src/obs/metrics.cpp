#include "sallyport/obs/metrics.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "families.hpp"

namespace sallyport::obs {

namespace {

using namespace std::string_view_literals;

constexpr std::array kProtos = {"http/1.0"sv, "http/1.1"sv, "h2"sv, "none"sv};
constexpr std::array kTlsVersions = {"1.2"sv, "1.3"sv, "other"sv};
constexpr std::array kAlpns = {"none"sv, "http/1.1"sv, "h2"sv};
constexpr std::array kNoYes = {"false"sv, "true"sv};
constexpr std::array kCertResults = {"ok"sv,      "absent"sv,  "untrusted"sv,
                                     "expired"sv, "revoked"sv, "pin_mismatch"sv};
constexpr std::array kPeers = {"cloudflare"sv, "trusted"sv, "other"sv};
constexpr std::array kRejects = {"not_allowed"sv, "limit"sv,         "memory"sv, "draining"sv,
                                 "proxy_proto"sv, "address_limit"sv, "abuse"sv};
constexpr std::array kPauses = {"files"sv, "memory"sv};
constexpr std::array kSheds = {"stream"sv, "request"sv, "idle_connection"sv};
constexpr std::array kClosers = {"peer"sv, "idle"sv, "max_age"sv, "error"sv, "drain"sv, "abuse"sv};
constexpr std::array kConnects = {"ok"sv,  "refused"sv,    "timeout"sv,   "unreachable"sv,
                                  "dns"sv, "tls_verify"sv, "tls_other"sv, "other"sv};
constexpr std::array kPoolStates = {"active"sv, "idle"sv, "connecting"sv};
constexpr std::array kEndpointStates = {"healthy"sv, "unhealthy"sv, "ejected"sv, "draining"sv};
constexpr std::array kRetries = {"success"sv, "exhausted"sv, "budget"sv};
constexpr std::array kEjections = {"connect"sv, "errors"sv, "health_check"sv};
constexpr std::array kSides = {"client"sv, "upstream"sv};
constexpr std::array kDirs = {"rx"sv, "tx"sv};
constexpr std::array kIpSources = {"cf_connecting_ip"sv, "true_client_ip"sv, "xff"sv, "proxy_proto"sv,
                                   "peer"sv};
constexpr std::array kIpVerdicts = {"used"sv, "stripped_untrusted"sv};
constexpr std::array kTriggers = {"start"sv, "sighup"sv, "api"sv, "watch"sv};
constexpr std::array kReloadResults = {"ok"sv, "rejected"sv, "partial"sv};
constexpr std::array kPhases = {"parse"sv, "load"sv, "swap"sv};
constexpr std::array kCodeClasses = {"none"sv, "1xx"sv, "2xx"sv, "3xx"sv, "4xx"sv, "5xx"sv};
// RFC 9113 §7; a code that it does not define counts as the last.
constexpr std::array kH2Errors = {"no_error"sv,
                                  "protocol_error"sv,
                                  "internal_error"sv,
                                  "flow_control_error"sv,
                                  "settings_timeout"sv,
                                  "stream_closed"sv,
                                  "frame_size_error"sv,
                                  "refused_stream"sv,
                                  "cancel"sv,
                                  "compression_error"sv,
                                  "connect_error"sv,
                                  "enhance_your_calm"sv,
                                  "inadequate_security"sv,
                                  "http_1_1_required"sv,
                                  "other"sv};

template <class E>
constexpr std::size_t index_of(E e) noexcept {
  return static_cast<std::size_t>(e);
}

// 0: no status, or one that HTTP does not define.
constexpr std::size_t class_of(unsigned status) noexcept {
  return status >= 100 && status < 600 ? status / 100 : 0;
}

// Index of a word in one of the tables above, from a number that counts through several.
struct Digits {
  std::size_t rest;
  std::string_view operator()(std::span<const std::string_view> table) noexcept {
    const std::size_t i = rest % table.size();
    rest /= table.size();
    return table[i];
  }
};

std::size_t h2_index(Side side, Dir dir, std::uint32_t code) noexcept {
  const std::size_t error = std::min<std::size_t>(code, kH2Errors.size() - 1);
  return (index_of(side) * kDirs.size() + index_of(dir)) * kH2Errors.size() + error;
}

// A listener or upstream that has no HTTP yet is said to speak HTTP/1.1.
std::size_t pool_proto(Proto proto) noexcept {
  return proto == Proto::h2 ? 1 : 0;
}
constexpr std::array kPoolProtos = {"http/1.1"sv, "h2"sv};

double unix_seconds(base::WallTime t) {
  return std::chrono::duration<double>(t.time_since_epoch()).count();
}

template <std::size_t N>
std::array<CounterId, N> counters(Registry& registry, Registry::FamilyRef family, std::string_view owner,
                                  const std::array<std::string_view, N>& words) {
  std::array<CounterId, N> ids;
  for (std::size_t i = 0; i < N; ++i) ids[i] = registry.counter(family, {owner, words[i]});
  return ids;
}

template <std::size_t N>
std::array<GaugeId, N> gauges(Registry& registry, Registry::FamilyRef family, std::string_view owner,
                              const std::array<std::string_view, N>& words) {
  std::array<GaugeId, N> ids;
  for (std::size_t i = 0; i < N; ++i) ids[i] = registry.gauge(family, {owner, words[i]});
  return ids;
}

NamedCounters named(Registry& registry, Registry::FamilyRef family, std::string owner) {
  return NamedCounters([&registry, family, owner = std::move(owner)](const std::string* name) {
    return registry.counter(family, {owner, name != nullptr ? std::string_view(*name) : kOther});
  });
}

}  // namespace

LazyCounters::LazyCounters(std::size_t size, Register make)
    : size_(size), slots_(std::make_unique<std::atomic<std::uint32_t>[]>(size)), register_(std::move(make)) {}

std::uint32_t LazyCounters::resolve(std::size_t index) const {
  const std::uint32_t slot = register_(index).slot;
  slots_[index].store(slot, std::memory_order_release);
  return slot;
}

LazyHistograms::LazyHistograms(std::size_t size, const Buckets& buckets, Register make)
    : size_(size),
      buckets_(&buckets),
      slots_(std::make_unique<std::atomic<std::uint32_t>[]>(size)),
      register_(std::move(make)) {}

std::uint32_t LazyHistograms::resolve(std::size_t index) const {
  const std::uint32_t slot = register_(index).slot;
  slots_[index].store(slot, std::memory_order_release);
  return slot;
}

template <class Key>
CounterId KeyedCounters<Key>::resolve(const Key& key) const {
  const std::lock_guard lock(mutex_);
  const std::size_t size = size_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < size; ++i) {
    if (entries_[i].key == key) return entries_[i].id;
  }
  if (size == kMax) return register_(nullptr);
  entries_[size].id = register_(&key);
  entries_[size].key = key;
  size_.store(size + 1, std::memory_order_release);
  return entries_[size].id;
}
template class KeyedCounters<std::string>;
template class KeyedCounters<std::uint32_t>;

HostMetrics::HostMetrics(Metrics& metrics, const std::string& listener, const std::string& host)
    : reasons_(metrics.vocabulary_.handshake_reasons.size()),
      handshakes_(kTlsVersions.size() * kAlpns.size() * kNoYes.size(),
                  [&metrics, listener, host](std::size_t index) {
                    Digits word{index};
                    const auto resumed = word(kNoYes);
                    const auto alpn = word(kAlpns);
                    return metrics.registry_.counter(metrics.families_->handshakes,
                                                     {listener, host, word(kTlsVersions), alpn, resumed});
                  }),
      failures_(metrics.vocabulary_.handshake_stages.size() * reasons_,
                [&metrics, listener, host](std::size_t index) {
                  Digits word{index};
                  const auto reason = word(metrics.vocabulary_.handshake_reasons);
                  const auto stage = word(metrics.vocabulary_.handshake_stages);
                  return metrics.registry_.counter(metrics.families_->handshake_failures,
                                                   {listener, host, stage, reason});
                }),
      client_certs_(kCertResults.size(),
                    [&metrics, listener, host](std::size_t index) {
                      return metrics.registry_.counter(metrics.families_->client_cert,
                                                       {listener, host, kCertResults[index]});
                    }),
      health_(1, kHealthBuckets, [&metrics, listener, host](std::size_t) {
        return metrics.registry_.histogram(metrics.families_->health, {listener, host});
      }) {}

void HostMetrics::handshake(Shard& shard, TlsVersion version, Alpn alpn, bool resumed) const {
  const std::size_t index =
      (index_of(version) * kAlpns.size() + index_of(alpn)) * kNoYes.size() + (resumed ? 1 : 0);
  handshakes_.add(shard, index);
}

void HostMetrics::handshake_failed(Shard& shard, std::size_t stage, std::size_t reason) const {
  if (reason < reasons_) failures_.add(shard, stage * reasons_ + reason);
}

void HostMetrics::client_cert(Shard& shard, CertResult result) const {
  client_certs_.add(shard, index_of(result));
}

void HostMetrics::health(Shard& shard, unsigned score) const {
  health_.observe(shard, 0, base::Seconds(score));
}

ListenerMetrics::ListenerMetrics(Metrics& metrics, const std::string& listener)
    : connections_total_(
          counters(metrics.registry_, metrics.families_->listener_connections_total, listener, kPeers)),
      connections_(gauges(metrics.registry_, metrics.families_->listener_connections, listener, kPeers)),
      rejected_(counters(metrics.registry_, metrics.families_->listener_rejected, listener, kRejects)),
      paused_(counters(metrics.registry_, metrics.families_->accept_paused, listener, kPauses)),
      closed_(kProtos.size() * kClosers.size(),
              [&metrics, listener](std::size_t index) {
                Digits word{index};
                const auto by = word(kClosers);
                return metrics.registry_.counter(metrics.families_->connection_closed,
                                                 {listener, word(kProtos), by});
              }),
      in_progress_(metrics.registry_.gauge(metrics.families_->handshakes_in_progress, {listener})),
      duration_{metrics.registry_.histogram(metrics.families_->handshake_duration, {listener, kNoYes[0]}),
                metrics.registry_.histogram(metrics.families_->handshake_duration, {listener, kNoYes[1]})},
      cpu_(metrics.registry_.counter(metrics.families_->handshake_cpu, {listener})),
      hello_retry_(metrics.registry_.counter(metrics.families_->hello_retry_requests, {listener})),
      segmented_(metrics.registry_.counter(metrics.families_->hello_segmented, {listener})),
      ciphers_(named(metrics.registry_, metrics.families_->ciphers, listener)),
      groups_(named(metrics.registry_, metrics.families_->groups, listener)),
      sigalgs_(named(metrics.registry_, metrics.families_->sigalgs, listener)),
      unmatched_(metrics.host(listener, kUnmatched)) {}

void ListenerMetrics::accepted(Shard& shard, PeerKind peer) const {
  shard.add(connections_total_[index_of(peer)]);
  shard.add(connections_[index_of(peer)], 1);
}

void ListenerMetrics::closed(Shard& shard, PeerKind peer, Proto proto, ClosedBy by) const {
  shard.add(connections_[index_of(peer)], -1);
  closed_.add(shard, index_of(proto) * kClosers.size() + index_of(by));
}

void ListenerMetrics::rejected(Shard& shard, RejectReason reason) const {
  shard.add(rejected_[index_of(reason)]);
}

void ListenerMetrics::accept_paused(Shard& shard, PauseReason reason) const {
  shard.add(paused_[index_of(reason)]);
}

void ListenerMetrics::handshake_duration(Shard& shard, bool resumed, base::Duration took) const {
  shard.observe(duration_[resumed ? 1 : 0], took);
}

RouteMetrics::RouteMetrics(Metrics& metrics, const std::string& route)
    : methods_(metrics.vocabulary_.methods.size()),
      reasons_(metrics.vocabulary_.reply_reasons.size()),
      in_flight_(metrics.registry_.gauge(metrics.families_->in_flight, {route})),
      request_bytes_(metrics.registry_.counter(metrics.families_->request_bytes, {route})),
      response_bytes_(metrics.registry_.counter(metrics.families_->response_bytes, {route})),
      requests_(kProtos.size() * methods_ * kCodeClasses.size(),
                [&metrics, route](std::size_t index) {
                  Digits word{index};
                  const auto code = word(kCodeClasses);
                  const auto method = word(metrics.vocabulary_.methods);
                  return metrics.registry_.counter(metrics.families_->requests,
                                                   {route, word(kProtos), method, code});
                }),
      cut_off_(reasons_,
               [&metrics, route](std::size_t reason) {
                 return metrics.registry_.counter(metrics.families_->cut_off,
                                                  {route, metrics.vocabulary_.reply_reasons[reason]});
               }),
      duration_(kCodeClasses.size(), metrics.buckets_.request,
                [&metrics, route](std::size_t index) {
                  return metrics.registry_.histogram(metrics.families_->request_duration,
                                                     {route, kCodeClasses[index]});
                }),
      first_byte_(
          kCodeClasses.size(), metrics.buckets_.request,
          [&metrics, route](std::size_t index) {
            return metrics.registry_.histogram(metrics.families_->first_byte, {route, kCodeClasses[index]});
          }),
      local_replies_([&metrics, route](const std::uint32_t* key) {
        if (key == nullptr)
          return metrics.registry_.counter(metrics.families_->local_replies, {route, kOther, kOther});
        return metrics.registry_.counter(
            metrics.families_->local_replies,
            {route, std::to_string(*key >> 16), metrics.vocabulary_.reply_reasons[*key & 0xffff]});
      }) {}

void RouteMetrics::ended(Shard& shard, Proto proto, std::size_t method, unsigned status,
                         base::Duration took) const {
  const std::size_t code = class_of(status);
  shard.add(in_flight_, -1);
  if (method < methods_)
    requests_.add(shard, (index_of(proto) * methods_ + method) * kCodeClasses.size() + code);
  duration_.observe(shard, code, took);
}

void RouteMetrics::first_byte(Shard& shard, unsigned status, base::Duration took) const {
  first_byte_.observe(shard, class_of(status), took);
}

void RouteMetrics::local_reply(Shard& shard, unsigned status, std::size_t reason) const {
  if (reason >= reasons_ || class_of(status) == 0) return;
  local_replies_.add(shard, static_cast<std::uint32_t>(status << 16 | reason));
}

void RouteMetrics::cut_off(Shard& shard, std::size_t reason) const {
  if (reason < reasons_) cut_off_.add(shard, reason);
}

UpstreamMetrics::UpstreamMetrics(Metrics& metrics, const std::string& upstream)
    : connected_(kProtos.size() * kConnects.size(),
                 [&metrics, upstream](std::size_t index) {
                   Digits word{index};
                   const auto result = word(kConnects);
                   return metrics.registry_.counter(metrics.families_->upstream_connections_total,
                                                    {upstream, word(kProtos), result});
                 }),
      connect_(metrics.registry_.histogram(metrics.families_->upstream_connect, {upstream})),
      tls_(metrics.registry_.histogram(metrics.families_->upstream_tls, {upstream})),
      response_(metrics.registry_.histogram(metrics.families_->upstream_response, {upstream})),
      requests_(kCodeClasses.size() * kNoYes.size(),
                [&metrics, upstream](std::size_t index) {
                  Digits word{index};
                  const auto reused = word(kNoYes);
                  return metrics.registry_.counter(metrics.families_->upstream_requests,
                                                   {upstream, word(kCodeClasses), reused});
                }),
      retries_(
          base::kErrorCodes * kRetries.size(),
          [&metrics, upstream](std::size_t index) {
            Digits word{index};
            const auto result = word(kRetries);
            const auto cause = base::to_string(static_cast<base::ErrorCode>(word.rest));
            return metrics.registry_.counter(metrics.families_->upstream_retries, {upstream, cause, result});
          }),
      failures_(base::kErrorCodes,
                [&metrics, upstream](std::size_t index) {
                  return metrics.registry_.counter(
                      metrics.families_->upstream_failures,
                      {upstream, base::to_string(static_cast<base::ErrorCode>(index))});
                }),
      pending_(metrics.registry_.gauge(metrics.families_->upstream_pending, {upstream})),
      ejections_(counters(metrics.registry_, metrics.families_->upstream_ejections, upstream, kEjections)),
      endpoints_(
          gauges(metrics.registry_, metrics.families_->upstream_endpoints, upstream, kEndpointStates)) {
  for (std::size_t p = 0; p < kPoolProtos.size(); ++p) {
    for (std::size_t s = 0; s < kPoolStates.size(); ++s) {
      connections_[p][s] = metrics.registry_.gauge(metrics.families_->upstream_connections,
                                                   {upstream, kPoolProtos[p], kPoolStates[s]});
    }
  }
}

void UpstreamMetrics::connected(Shard& shard, Proto proto, ConnectResult result) const {
  connected_.add(shard, index_of(proto) * kConnects.size() + index_of(result));
}

void UpstreamMetrics::connections(Shard& shard, Proto proto, PoolState state, std::int64_t delta) const {
  shard.add(connections_[pool_proto(proto)][index_of(state)], delta);
}

void UpstreamMetrics::request(Shard& shard, unsigned status, bool reused) const {
  requests_.add(shard, class_of(status) * kNoYes.size() + (reused ? 1 : 0));
}

void UpstreamMetrics::retry(Shard& shard, base::ErrorCode cause, RetryResult result) const {
  retries_.add(shard, index_of(cause) * kRetries.size() + index_of(result));
}

void UpstreamMetrics::failed(Shard& shard, base::ErrorCode cause) const {
  failures_.add(shard, index_of(cause));
}

void UpstreamMetrics::ejected(Shard& shard, EjectionKind kind) const {
  shard.add(ejections_[index_of(kind)]);
}

void UpstreamMetrics::endpoints(Shard& shard, EndpointState state, std::int64_t delta) const {
  shard.add(endpoints_[index_of(state)], delta);
}

Metrics::Metrics(const Vocabulary& vocabulary, const HistogramBuckets& buckets)
    : vocabulary_(vocabulary),
      buckets_(buckets),
      control_(registry_.new_shard()),
      families_(std::make_unique<Families>(registry_, buckets_)) {
  add_process_families(registry_);
  const auto h2 = [this](Registry::FamilyRef family) {
    return std::make_unique<LazyCounters>(kSides.size() * kDirs.size() * kH2Errors.size(),
                                          [this, family](std::size_t index) {
                                            Digits word{index};
                                            const auto error = word(kH2Errors);
                                            const auto dir = word(kDirs);
                                            return registry_.counter(family, {word(kSides), dir, error});
                                          });
  };
  stream_resets_ = h2(families_->stream_resets);
  goaways_ = h2(families_->goaways);
  for (const std::string_view flood : vocabulary_.floods)
    floods_.push_back(registry_.counter(families_->floods, {flood}));
  for (std::size_t i = 0; i < shed_.size(); ++i) shed_[i] = registry_.counter(families_->shed, {kSheds[i]});
  for (std::size_t i = 0; i < client_ip_.size(); ++i) {
    Digits word{i};
    const auto verdict = word(kIpVerdicts);
    client_ip_[i] = registry_.counter(families_->client_ip_source, {word(kIpSources), verdict});
  }
  for (const auto& [code, cause] : vocabulary_.cf_risks)
    cf_risks_.push_back(registry_.counter(families_->cf_risk, {code, cause}));
  slow_clients_ = {registry_.counter(families_->slow_clients, {"request_body"}),
                   registry_.counter(families_->slow_clients, {"response"})};
  loop_lag_ = registry_.histogram(families_->loop_lag, {});
  ticket_rotations_ = registry_.counter(families_->ticket_rotations, {});
  for (const auto result : kReloadResults) registry_.add(families_->reloads, {kTriggers[1], result}, 0);
}

Metrics::~Metrics() = default;

template <class T, class... Names>
std::shared_ptr<const T> Metrics::shared(std::map<std::string, std::weak_ptr<const T>>& cache,
                                         std::string key, Names... names) {
  {
    const std::lock_guard lock(cache_mutex_);
    if (auto held = cache[key].lock()) return held;
  }
  auto made = std::make_shared<const T>(*this, std::string(names)...);
  const std::lock_guard lock(cache_mutex_);
  // Now and then: to look at all of them for each new one takes a second with ten thousand hosts.
  if (std::has_single_bit(cache.size())) {
    std::erase_if(cache, [](const auto& entry) { return entry.second.expired(); });
  }
  cache[std::move(key)] = made;
  return made;
}

std::shared_ptr<const ListenerMetrics> Metrics::listener(std::string_view name) {
  return shared(listeners_, std::string(name), name);
}

std::shared_ptr<const HostMetrics> Metrics::host(std::string_view listener, std::string_view host) {
  return shared(hosts_, std::string(listener) + '\n' + std::string(host), listener, host);
}

std::shared_ptr<const RouteMetrics> Metrics::route(std::string_view name) {
  return shared(routes_, std::string(name), name);
}

std::shared_ptr<const UpstreamMetrics> Metrics::upstream(std::string_view name) {
  return shared(upstreams_, std::string(name), name);
}

void Metrics::cf_risk(Shard& shard, std::size_t risk) const {
  if (risk < cf_risks_.size()) shard.add(cf_risks_[risk]);
}

CounterId Metrics::tls_rule(std::string_view policy, std::string_view rule, std::string_view outcome) {
  return registry_.counter(families_->tls_rules, {policy, rule, outcome});
}

void Metrics::stream_reset(Shard& shard, Side side, Dir dir, std::uint32_t error_code) const {
  stream_resets_->add(shard, h2_index(side, dir, error_code));
}

void Metrics::goaway(Shard& shard, Side side, Dir dir, std::uint32_t error_code) const {
  goaways_->add(shard, h2_index(side, dir, error_code));
}

void Metrics::shed(Shard& shard, Shed what, std::uint64_t n) const {
  shard.add(shed_[index_of(what)], n);
}

void Metrics::flood(Shard& shard, std::size_t kind) const {
  if (kind < floods_.size()) shard.add(floods_[kind]);
}

void Metrics::client_ip(Shard& shard, IpSource source, IpVerdict verdict) const {
  shard.add(client_ip_[index_of(source) * kIpVerdicts.size() + index_of(verdict)]);
}

void Metrics::build(const BuildFacts& facts) {
  registry_.set(families_->build_info, {facts.version, facts.commit, facts.openssl, facts.nghttp2}, 1);
}

void Metrics::certificates(std::span<const CertificateFacts> in_use) {
  const auto rows = [in_use](base::WallTime CertificateFacts::*when) {
    std::vector<Registry::Row> out;
    for (const auto& c : in_use) out.push_back({{c.host, c.key_type, c.serial_hash}, unix_seconds(c.*when)});
    return out;
  };
  registry_.replace(families_->certificate_not_after, rows(&CertificateFacts::not_after));
  registry_.replace(families_->certificate_not_before, rows(&CertificateFacts::not_before));
  registry_.replace(families_->certificate_loaded, rows(&CertificateFacts::loaded));
  std::vector<Registry::Row> staples;
  for (const auto& c : in_use) {
    if (c.staple_next_update)
      staples.push_back({{c.host, c.key_type, c.serial_hash}, unix_seconds(*c.staple_next_update)});
  }
  registry_.replace(families_->staple_next_update, std::move(staples));
}

void Metrics::reloaded(ReloadTrigger trigger, ReloadResult result, base::WallTime when) {
  const bool taken = result != ReloadResult::rejected;
  registry_.set(families_->reload_successful, {}, taken ? 1 : 0);
  if (taken) registry_.set(families_->reload_success_time, {}, unix_seconds(when));
  if (trigger != ReloadTrigger::start)
    registry_.add(families_->reloads, {kTriggers[index_of(trigger)], kReloadResults[index_of(result)]}, 1);
}

void Metrics::address_set(std::string_view name, std::size_t blocks, base::WallTime loaded) {
  registry_.set(families_->trusted_ranges, {name}, static_cast<double>(blocks));
  registry_.set(families_->trusted_ranges_loaded, {name}, unix_seconds(loaded));
}

void Metrics::reload_phase(ReloadPhase phase, base::Duration took) {
  control_.observe(registry_.histogram(families_->reload_duration, {kPhases[index_of(phase)]}), took);
}

void Metrics::generation(std::uint64_t number) {
  registry_.set(families_->generation, {}, static_cast<double>(number));
}

void Metrics::memory_pressure(std::uint32_t level) {
  registry_.set(families_->memory_pressure, {}, level);
}

void Metrics::generations_alive(std::function<double()> read) {
  registry_.pull(families_->generations_alive, {}, std::move(read));
}

void Metrics::memory_pool(std::string_view pool, std::function<double()> bytes) {
  registry_.pull(families_->memory, {pool}, std::move(bytes));
}

void Metrics::addresses_untracked(std::function<double()> count) {
  registry_.pull(families_->addresses_untracked, {}, std::move(count));
}
void Metrics::access_log_dropped(std::string_view reason, std::function<double()> count) {
  registry_.pull(families_->access_log_dropped, {reason}, std::move(count));
}

}  // namespace sallyport::obs
