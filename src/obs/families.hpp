// Every metric that Sallyport exposes: its name, help, labels and buckets, in one place.
//
// Owned by Metrics. Names follow Prometheus' rules: base units, unit as suffix, counters end in
// _total, no label that a client can choose.
#pragma once

#include "sallyport/obs/metrics.hpp"
#include "sallyport/obs/registry.hpp"

namespace sallyport::obs {

inline constexpr Buckets kLagBuckets = Buckets::of_seconds({.0001, .0005, .001, .005, .01, .05, .1, .5, 1});

// A score counts as so many seconds, so that a histogram of durations holds it.
inline constexpr Buckets kHealthBuckets = Buckets::of_seconds({10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100});

struct Families {
  using Ref = Registry::FamilyRef;
  // `buckets` lives as long as the registry.
  Families(Registry& registry, const HistogramBuckets& buckets);

  Ref build_info;
  Ref handshakes, handshake_failures, handshake_duration, handshake_cpu, ciphers, groups, sigalgs;
  Ref hello_retry_requests, hello_segmented, handshakes_in_progress, client_cert;
  Ref certificate_not_after, certificate_not_before, certificate_loaded, ticket_rotations;
  Ref staple_next_update, tls_rules, health;
  Ref reloads, reload_successful, reload_success_time, generation, generations_alive, reload_duration;
  Ref listener_connections_total, listener_connections, listener_rejected, connection_closed;
  Ref addresses_untracked;
  Ref accept_paused, memory_pressure, shed;
  Ref requests, request_duration, first_byte, in_flight, request_bytes, response_bytes, local_replies,
      cut_off;
  Ref stream_resets, goaways, floods, slow_clients;
  Ref upstream_connections_total, upstream_connections, upstream_connect, upstream_tls, upstream_response;
  Ref upstream_failures;
  Ref upstream_requests, upstream_retries, upstream_pending, upstream_endpoints, upstream_ejections;
  Ref cf_risk, trusted_ranges, trusted_ranges_loaded;
  Ref client_ip_source, access_log_dropped, memory, loop_lag;
};

// process_*: read from /proc at each scrape.
void add_process_families(Registry& registry);

}  // namespace sallyport::obs
