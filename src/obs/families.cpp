#include "families.hpp"

namespace sallyport::obs {

namespace {

using Labels = std::vector<std::string>;

struct Maker {
  Registry& registry;
  const HistogramBuckets& buckets;

  Families::Ref counter(std::string name, std::string help, Labels labels, double scale = 1) const {
    FamilyOptions o{std::move(name), std::move(help), std::move(labels)};
    o.scale = scale;
    return registry.add_family(Kind::counter, std::move(o));
  }
  Families::Ref gauge(std::string name, std::string help, Labels labels,
                      Overflow overflow = Overflow::sum) const {
    FamilyOptions o{std::move(name), std::move(help), std::move(labels)};
    o.overflow = overflow;
    return registry.add_family(Kind::gauge, std::move(o));
  }
  Families::Ref histogram(std::string name, std::string help, Labels labels, const Buckets& bounds) const {
    return registry.add_family(Kind::histogram,
                               {std::move(name), std::move(help), std::move(labels), &bounds});
  }
};

void add_tls(const Maker& make, Families& f) {
  f.handshakes = make.counter("sallyport_tls_handshakes_total", "Completed TLS handshakes with clients.",
                              {"listener", "host", "version", "alpn", "resumed"});
  f.handshake_failures =
      make.counter("sallyport_tls_handshake_failures_total", "Failed TLS handshakes with clients, by cause.",
                   {"listener", "host", "stage", "reason"});
  f.handshake_duration = make.histogram("sallyport_tls_handshake_duration_seconds",
                                        "Time from accept to the end of a completed TLS handshake.",
                                        {"listener", "resumed"}, make.buckets.handshake);
  f.handshake_cpu = make.counter("sallyport_tls_handshake_cpu_seconds_total",
                                 "CPU time spent in TLS handshakes.", {"listener"}, 1e-9);
  f.ciphers = make.counter("sallyport_tls_ciphers_total", "Completed TLS handshakes by cipher suite.",
                           {"listener", "cipher"});
  f.groups = make.counter("sallyport_tls_groups_total", "Completed TLS handshakes by key exchange group.",
                          {"listener", "group"});
  f.sigalgs =
      make.counter("sallyport_tls_sigalgs_total",
                   "Completed TLS handshakes by the algorithm of our signature.", {"listener", "sigalg"});
  f.hello_retry_requests = make.counter("sallyport_tls_hello_retry_requests_total",
                                        "HelloRetryRequests sent: no key share fitted.", {"listener"});
  f.hello_segmented =
      make.counter("sallyport_tls_client_hello_segmented_total",
                   "ClientHellos that came in more than one piece (post-quantum ones do).", {"listener"});
  f.handshakes_in_progress = make.gauge("sallyport_tls_handshakes_in_progress",
                                        "TLS handshakes that have begun and not ended.", {"listener"});
  f.client_cert =
      make.counter("sallyport_tls_client_cert_total", "Client certificates asked for, by what was found.",
                   {"listener", "host", "result"});
  const Labels certificate = {"host", "key_type", "serial_hash"};
  f.certificate_not_after = make.gauge("sallyport_tls_certificate_not_after_timestamp_seconds",
                                       "When a certificate in use expires.", certificate, Overflow::minimum);
  f.certificate_not_before =
      make.gauge("sallyport_tls_certificate_not_before_timestamp_seconds",
                 "When a certificate in use became valid.", certificate, Overflow::minimum);
  f.certificate_loaded = make.gauge("sallyport_tls_certificate_loaded_timestamp_seconds",
                                    "When a certificate in use was read.", certificate, Overflow::minimum);
  f.staple_next_update = make.gauge("sallyport_tls_ocsp_staple_next_update_timestamp_seconds",
                                    "When the OCSP answer shown with a certificate must be renewed.",
                                    certificate, Overflow::minimum);
  f.tls_rules = make.counter("sallyport_tls_policy_rules_total",
                             "Handshakes that a rule on the ClientHello gave another policy, or refused.",
                             {"policy", "rule", "outcome"});
  f.health = make.histogram("sallyport_tls_health_score", "Health of completed TLS handshakes, 0-100.",
                            {"listener", "host"}, kHealthBuckets);
  f.ticket_rotations =
      make.counter("sallyport_tls_ticket_key_rotations_total", "New session ticket keys made.", {});
}

void add_config(const Maker& make, Families& f) {
  f.reloads = make.counter("sallyport_config_reloads_total", "Configuration reloads, by outcome.",
                           {"trigger", "result"});
  f.reload_successful =
      make.gauge("sallyport_config_last_reload_successful",
                 "1 if the last load of the configuration was taken, 0 if the old one stays.", {});
  f.reload_success_time = make.gauge("sallyport_config_last_reload_success_timestamp_seconds",
                                     "When a configuration was last taken.", {});
  f.generation = make.gauge("sallyport_config_generation", "Number of the configuration in use, from 1.", {});
  f.generations_alive =
      make.gauge("sallyport_config_generations_alive", "Configurations that some exchange still holds.", {});
  f.reload_duration = make.histogram("sallyport_config_reload_duration_seconds",
                                     "Time that the parts of a reload took.", {"phase"}, make.buckets.reload);
}

void add_listeners(const Maker& make, Families& f) {
  f.listener_connections_total =
      make.counter("sallyport_listener_connections_total", "Connections accepted.", {"listener", "peer"});
  f.listener_connections =
      make.gauge("sallyport_listener_connections", "Open client connections.", {"listener", "peer"});
  f.listener_rejected = make.counter("sallyport_listener_rejected_total",
                                     "Connections closed at once, by reason.", {"listener", "reason"});
  f.addresses_untracked =
      make.counter("sallyport_addresses_untracked_total",
                   "Connections not counted by address, since the table of addresses was full.", {});
  f.accept_paused = make.counter("sallyport_listener_accept_paused_total",
                                 "Times a worker stopped to accept for a while: who connects waits.",
                                 {"listener", "reason"});
  f.connection_closed =
      make.counter("sallyport_connection_closed_total",
                   "Client connections ended, by who or what ended them.", {"listener", "proto", "by"});
}

void add_http(const Maker& make, Families& f) {
  f.requests = make.counter("sallyport_http_requests_total", "Requests ended.",
                            {"route", "proto", "method", "code_class"});
  f.request_duration = make.histogram("sallyport_http_request_duration_seconds",
                                      "Time from a request's first byte to its end.", {"route", "code_class"},
                                      make.buckets.request);
  f.first_byte = make.histogram("sallyport_http_time_to_first_byte_seconds",
                                "Time from a request's first byte to its response's first byte.",
                                {"route", "code_class"}, make.buckets.request);
  f.in_flight = make.gauge("sallyport_http_requests_in_flight", "Requests begun and not ended.", {"route"});
  f.request_bytes =
      make.counter("sallyport_http_request_bytes_total", "Bytes of request bodies received.", {"route"});
  f.response_bytes =
      make.counter("sallyport_http_response_bytes_total", "Bytes of response bodies sent.", {"route"});
  f.local_replies =
      make.counter("sallyport_http_local_replies_total", "Responses that Sallyport itself gave, by reason.",
                   {"route", "code", "reason"});
  f.cut_off = make.counter("sallyport_http_cut_off_total",
                           "Requests that ended without a whole response, by reason.", {"route", "reason"});
  f.stream_resets = make.counter("sallyport_h2_streams_reset_total", "HTTP/2 RST_STREAM frames.",
                                 {"side", "dir", "error_code"});
  f.goaways =
      make.counter("sallyport_h2_goaway_total", "HTTP/2 GOAWAY frames.", {"side", "dir", "error_code"});
  f.floods = make.counter("sallyport_h2_flood_protection_total",
                          "HTTP/2 connections ended because an abuse budget ran out.", {"kind"});
  f.slow_clients =
      make.counter("sallyport_http_slow_clients_total",
                   "Requests or connections cut, since the client kept us waiting too long.", {"waited_for"});
  f.client_ip_source = make.counter("sallyport_client_ip_source_total",
                                    "Where client addresses were taken from.", {"source", "verdict"});
}

void add_edge(const Maker& make, Families& f) {
  f.cf_risk = make.counter(
      "sallyport_cf_risk_total",
      "What visitors behind Cloudflare saw of us, or would have seen but for our own answer, by its code.",
      {"code", "cause"});
  f.trusted_ranges = make.gauge("sallyport_trusted_ranges", "Address blocks of a set.", {"set"});
  f.trusted_ranges_loaded = make.gauge("sallyport_trusted_ranges_loaded_timestamp_seconds",
                                       "When an address set was last taken.", {"set"}, Overflow::minimum);
}

void add_upstreams(const Maker& make, Families& f) {
  f.upstream_connections_total =
      make.counter("sallyport_upstream_connections_total", "Connections to upstreams tried, by result.",
                   {"upstream", "proto", "result"});
  f.upstream_connections = make.gauge("sallyport_upstream_connections", "Connections to upstreams by state.",
                                      {"upstream", "proto", "state"});
  f.upstream_connect =
      make.histogram("sallyport_upstream_connect_duration_seconds",
                     "Time that TCP connections to upstreams took.", {"upstream"}, make.buckets.request);
  f.upstream_tls =
      make.histogram("sallyport_upstream_tls_handshake_duration_seconds",
                     "Time that TLS handshakes with upstreams took.", {"upstream"}, make.buckets.handshake);
  f.upstream_response = make.histogram("sallyport_upstream_response_duration_seconds",
                                       "Time from the request's head to the upstream's response head.",
                                       {"upstream"}, make.buckets.request);
  f.upstream_requests =
      make.counter("sallyport_upstream_requests_total", "Requests sent to upstreams, by response.",
                   {"upstream", "code_class", "reused"});
  f.upstream_retries = make.counter("sallyport_upstream_retries_total",
                                    "Requests tried again, by the error before and the outcome.",
                                    {"upstream", "cause", "result"});
  f.upstream_failures =
      make.counter("sallyport_upstream_failures_total",
                   "Requests that an upstream failed: answered with 502 or 504, or cut short, by error.",
                   {"upstream", "cause"});
  f.upstream_pending =
      make.gauge("sallyport_upstream_pending_requests",
                 "Requests that wait for an upstream connection, being dialed or busy.", {"upstream"});
  f.upstream_endpoints =
      make.gauge("sallyport_upstream_endpoints", "Endpoints by state.", {"upstream", "state"});
  f.upstream_ejections = make.counter("sallyport_upstream_ejections_total",
                                      "Endpoints taken out of rotation for a while.", {"upstream", "kind"});
}

}  // namespace

Families::Families(Registry& registry, const HistogramBuckets& buckets) {
  const Maker make{registry, buckets};
  build_info = make.gauge("sallyport_build_info", "1; the labels say what is running.",
                          {"version", "commit", "openssl", "nghttp2"});
  add_tls(make, *this);
  add_config(make, *this);
  add_listeners(make, *this);
  add_http(make, *this);
  add_edge(make, *this);
  add_upstreams(make, *this);
  access_log_dropped = make.counter("sallyport_accesslog_dropped_total",
                                    "Access log lines lost rather than delay a request.", {"reason"});
  memory = make.gauge("sallyport_memory_bytes", "Memory held, by pool.", {"pool"});
  memory_pressure = make.gauge("sallyport_memory_pressure",
                               "How short of memory: 0 not, 1 nothing is accepted, 2 streams are refused, "
                               "3 requests are refused, 4 idle connections are closed.",
                               {});
  shed =
      make.counter("sallyport_memory_shed_total", "What was refused or closed for want of memory.", {"what"});
  loop_lag = make.histogram("sallyport_event_loop_lag_seconds", "How late the workers' periodic timer fires.",
                            {}, kLagBuckets);
}

}  // namespace sallyport::obs
