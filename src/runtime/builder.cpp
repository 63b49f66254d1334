#include "sallyport/runtime/builder.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <utility>

#include "sallyport/base/memory.hpp"
#include "sallyport/tls/ocsp.hpp"

#include "client_fields.hpp"
#include "origin_pull.hpp"

namespace sallyport::runtime {

using config::Origin;
using config::Problem;

// One build under way.
struct Builder::Work {
  proxy::Snapshot& snapshot;
  Built& built;
  std::vector<Problem>& problems;
  base::WallTime now;
  std::vector<std::vector<std::shared_ptr<const tls::Certificate>>> certificates;  // by host
  bool failed = false;

  config::Model& model() { return snapshot.model; }
  void error(const Origin& origin, std::string text) {
    problems.push_back({Problem::Severity::error, origin, std::move(text)});
    failed = true;
  }
  net::CidrSet blocks(const std::vector<std::string>& texts, const Origin& origin) {
    std::vector<net::Cidr> blocks;
    for (const std::string& text : texts) {
      const auto block = net::Cidr::parse(text);
      if (block.has_error()) {
        error(origin, block.error());
      } else {
        blocks.push_back(*block);
      }
    }
    return net::CidrSet(blocks);
  }
  // Blocks, and names of address sets.
  proxy::PeerList peers(const std::vector<std::string>& texts, const Origin& origin) {
    proxy::PeerList list;
    std::vector<std::string> written;
    for (const std::string& text : texts) {
      const auto& sets = model().address_sets;
      const auto set = std::find_if(sets.begin(), sets.end(), [&](const auto& s) { return s.name == text; });
      if (set == sets.end()) {
        written.push_back(text);
      } else {
        list.sets.push_back(static_cast<std::uint32_t>(set - sets.begin()));
      }
    }
    list.blocks = blocks(written, origin);
    return list;
  }
  // `locate` turns a note's `where` into the place in the file.
  template <class Locate>
  void take(const tls::Notes& notes, const Locate& locate) {
    for (const tls::Note& note : notes.items()) {
      const bool bad = note.severity == tls::Note::Severity::error;
      problems.push_back(
          {bad ? Problem::Severity::error : Problem::Severity::warning, locate(note.where), note.text});
      failed = failed || bad;
    }
  }
};

namespace {

tls::ClientAuthMode mode_of(config::ClientAuthMode mode) {
  switch (mode) {
    case config::ClientAuthMode::off:
      return tls::ClientAuthMode::off;
    case config::ClientAuthMode::request:
      return tls::ClientAuthMode::request;
    case config::ClientAuthMode::report:
      return tls::ClientAuthMode::report;
    case config::ClientAuthMode::require:
      break;
  }
  return tls::ClientAuthMode::require;
}

tls::Version version_of(config::TlsVersion version) {
  return version == config::TlsVersion::tls12 ? tls::Version::tls12 : tls::Version::tls13;
}

tls::ClientAuthSpec client_auth_spec(const config::ClientAuth& from) {
  tls::ClientAuthSpec to;
  to.mode = mode_of(from.mode);
  to.ca_file = from.ca.string();
  to.depth = static_cast<int>(from.depth);
  for (const auto& file : from.crls) to.crl_files.push_back(file.string());
  to.sans = from.sans;
  to.spki_pins = from.spki_pins;
  for (const config::ClientCertFields fields : from.forward) to.forward |= client_fields_bit(fields);
  return to;
}

tls::PolicySpec policy_spec(const config::TlsPolicy& policy, obs::Metrics& metrics) {
  tls::PolicySpec spec;
  spec.name = policy.name;
  spec.min_version = version_of(policy.min_version);
  spec.max_version = version_of(policy.max_version);
  spec.ciphers = policy.ciphers;
  spec.cipher_suites = policy.cipher_suites;
  spec.groups = policy.groups;
  spec.alpn = policy.alpn;
  spec.client_auth = client_auth_spec(policy.client_auth);
  spec.rules = policy.rules;
  for (const config::TlsRule& rule : policy.rules) {
    spec.rule_counters.push_back(
        metrics.tls_rule(policy.name, rule.name, rule.refuse ? "refused" : rule.policy));
  }
  return spec;
}

// "hosts[3].names[0]" with prefix "hosts[" → 3.
std::optional<std::size_t> index_behind(std::string_view where, std::string_view prefix) {
  const std::size_t at = where.find(prefix);
  if (at == std::string_view::npos) return std::nullopt;
  where.remove_prefix(at + prefix.size());
  std::size_t index = 0;
  const auto [end, ec] = std::from_chars(where.data(), where.data() + where.size(), index);
  if (ec != std::errc{}) return std::nullopt;
  return index;
}

std::vector<std::uint32_t> listener_indices(const config::Model& model, const config::Host& host) {
  std::vector<std::uint32_t> indices;
  for (const std::string& name : host.listeners) {
    for (std::uint32_t i = 0; i < model.listeners.size(); ++i) {
      if (model.listeners[i].name == name) indices.push_back(i);
    }
  }
  return indices;
}

config::UpstreamTimeouts laid_over(config::UpstreamTimeouts base, const config::RouteTimeouts& over) {
  if (over.connect) base.connect = *over.connect;
  if (over.send) base.send = *over.send;
  if (over.first_byte) base.first_byte = *over.first_byte;
  if (over.idle) base.idle = *over.idle;
  if (over.tunnel) base.tunnel = *over.tunnel;
  if (over.total) base.total = *over.total;
  return base;
}

// "example.com/api/": what tells a route from the others of its owner at a glance.
std::string route_name(const std::string& owner, const config::Route& route, std::size_t index) {
  const config::RouteMatch& m = route.match;
  std::string name = owner;
  if (m.path) {
    name += *m.path;
  } else if (m.path_prefix) {
    name += *m.path_prefix;
    if (!m.path_prefix->ends_with('/')) name += "/";
  } else if (m.path_regex) {
    name += "~" + *m.path_regex;
  } else {
    name += "/";
  }
  if (!m.methods.empty() || !m.headers.empty() || !m.query.empty()) name += "#" + std::to_string(index);
  return name;
}

http2::Budgets flood_budgets(const config::H2Limits& from) {
  const auto budget = [](const config::Budget& b) { return http2::Budget{b.burst, b.per_second}; };
  http2::Budgets to;
  to.rapid_reset = budget(from.resets);
  to.ping = budget(from.pings);
  to.settings = budget(from.settings);
  to.empty_frames = budget(from.empty_frames);
  to.provoked_reset = budget(from.provoked_resets);
  to.priority = budget(from.priorities);
  to.window_update = budget(from.window_updates);
  to.unknown_frames = budget(from.unknown_frames);
  to.continuations = from.continuations;
  return to;
}

session::ClientLimits client_limits(const config::ClientLimits& from,
                                    const config::ClientTimeouts& timeouts) {
  session::ClientLimits to;
  to.head_bytes = from.header_bytes;
  to.field_bytes = from.header_field_bytes;
  to.fields = from.header_count;
  to.target_bytes = from.url;
  to.streams = from.h2.streams;
  to.body_window = from.stream_buffer;
  to.stream_window = static_cast<std::uint32_t>(from.h2.stream_window);
  to.connection_window = static_cast<std::uint32_t>(from.h2.connection_window);
  to.budgets = flood_budgets(from.h2);
  to.requests = from.requests_per_connection;
  to.max_age = from.connection_age;
  to.request_head = timeouts.request_head;
  to.request_body = timeouts.request_body;
  to.write_stall = timeouts.send;
  to.idle = timeouts.idle;
  to.body_rate = static_cast<std::uint32_t>(from.min_rate.request_body);
  to.write_rate = static_cast<std::uint32_t>(from.min_rate.response);
  return to;
}

net::AddressLimits address_limits(const config::ClientLimits& from) {
  return {from.connections_per_address, from.handshakes_per_address, from.abuse.offences, from.abuse.window,
          from.abuse.refused};
}

proxy::ListenerEntry::Terms terms_of(const config::ClientLimits& limits,
                                     const config::ClientTimeouts& timeouts) {
  return {std::make_shared<const session::ClientLimits>(client_limits(limits, timeouts)),
          address_limits(limits), timeouts.handshake, limits.request_body};
}

http::PathRules path_rules(const config::Paths& from) {
  using To = http::PathRules;
  To to;
  to.dot_segments = from.dot_segments == config::DotSegments::resolve  ? To::Dots::resolve
                    : from.dot_segments == config::DotSegments::reject ? To::Dots::reject
                                                                       : To::Dots::keep;
  to.escaped_slashes = from.escaped_slashes == config::EscapedSlashes::keep     ? To::Slashes::keep
                       : from.escaped_slashes == config::EscapedSlashes::decode ? To::Slashes::decode
                                                                                : To::Slashes::reject;
  to.repeated_slashes = from.repeated_slashes == config::RepeatedSlashes::keep    ? To::Repeated::keep
                        : from.repeated_slashes == config::RepeatedSlashes::merge ? To::Repeated::merge
                                                                                  : To::Repeated::reject;
  to.escapes = from.escapes == config::Escapes::keep ? To::Escapes::keep : To::Escapes::normalize;
  return to;
}

void note_edited(const config::Route& route, std::vector<std::string>& names) {
  const auto add = [&names](std::string name) {
    std::replace(name.begin(), name.end(), '_', '-');
    names.push_back(std::move(name));
  };
  for (const auto& [name, value] : route.request_headers.set) add(name);
  for (const auto& [name, value] : route.request_headers.add) add(name);
  for (const std::string& name : route.request_headers.remove) add(name);
}

std::vector<std::string> edited_fields(const config::Model& model) {
  std::vector<std::string> names;
  for (const config::Listener& listener : model.listeners) {
    for (const config::Route& route : listener.routes) note_edited(route, names);
  }
  for (const config::Host& host : model.hosts) {
    for (const config::Route& route : host.routes) note_edited(route, names);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void name_by_certificates(config::Host& host,
                          const std::vector<std::shared_ptr<const tls::Certificate>>& certificates) {
  for (const auto& certificate : certificates) {
    for (const std::string& name : certificate->dns_names()) {
      if (std::find(host.names.begin(), host.names.end(), name) == host.names.end())
        host.names.push_back(name);
    }
  }
}

}  // namespace

Built Builder::build(config::Model model, base::WallTime now) {
  Built built;
  const base::Apart apart(base::pages_of(generation_ + 1));
  auto counter = alive_;
  counter->fetch_add(1, std::memory_order_relaxed);
  const boost::shared_ptr<proxy::Snapshot> snapshot(new proxy::Snapshot, [counter](proxy::Snapshot* dead) {
    const base::ReturnAtOnce at_once;
    delete dead;
    counter->fetch_sub(1, std::memory_order_relaxed);
  });
  snapshot->model = std::move(model);
  snapshot->generation = generation_ + 1;
  Work work{*snapshot, built, built.problems, now, {}};
  load_address_sets(work);
  load_trust(work);
  load_certificates(work);
  if (!work.failed) {
    for (const Problem& problem : config::validate_names(work.model())) {
      work.problems.push_back(problem);
      work.failed = work.failed || problem.severity == Problem::Severity::error;
    }
  }
  if (!work.failed) build_tls(work);
  build_upstreams(work);
  if (!work.failed) build_routes(work);
  if (!work.failed) build_listeners(work);
  if (!work.failed) {
    ++generation_;
    address_sets_.commit();
    built.snapshot = snapshot;
  }
  return built;
}

void Builder::load_address_sets(Work& work) {
  const auto& sets = work.model().address_sets;
  work.snapshot.address_sets = address_sets_.load(sets, work.now, work.problems);
  const auto cloudflare =
      std::find_if(sets.begin(), sets.end(), [](const auto& set) { return set.name == config::kCloudflare; });
  work.snapshot.cloudflare = static_cast<std::uint32_t>(cloudflare - sets.begin());
}

// Before any certificate: what it is completed from and judged by.
void Builder::load_trust(Work& work) {
  const config::Model& model = work.model();
  const bool wanted = std::any_of(model.hosts.begin(), model.hosts.end(),
                                  [](const config::Host& host) { return !host.certificates.empty(); }) ||
                      !model.tls.intermediates.empty() || !model.tls.roots.empty();
  if (!wanted) return;
  tls::Notes notes;
  certificates_.trust({model.tls.intermediates.string(), model.tls.roots.string()}, notes);
  work.take(notes, [&model](std::string_view) { return model.tls.origin; });
}

// Every file is read, every time; the names of a host that gives none are its certificates'.
void Builder::load_certificates(Work& work) {
  for (config::Host& host : work.model().hosts) {
    auto& loaded = work.certificates.emplace_back();
    const std::size_t first_staple = work.built.staples.size();
    for (const config::Certificate& source : host.certificates) {
      const base::Apart apart(base::Pages::common);  // an unchanged one is of all generations
      tls::Notes notes;
      const std::string label = source.label.empty() ? source.chain.string() : source.label;
      auto certificate =
          certificates_.load({source.chain.string(), source.key.string(), label}, work.now, notes);
      work.take(notes, [&source](std::string_view) { return source.origin; });
      if (certificate == nullptr) continue;
      load_staple(work, source, certificate);
      loaded.push_back(std::move(certificate));
    }
    if (host.names.empty()) name_by_certificates(host, loaded);
    for (std::size_t i = first_staple; i < work.built.staples.size(); ++i) {
      if (!host.names.empty()) work.built.staples[i].host = host.names.front();
    }
  }
}

// The answer that its file holds, what is in the way of one, and for `check` what clients are shown.
void Builder::load_staple(Work& work, const config::Certificate& source,
                          const std::shared_ptr<const tls::Certificate>& certificate) {
  const bool fetch = work.model().tls.ocsp.fetch;
  const bool can_ask = !certificate->responder_url().empty() && certificate->issuer_certificate() != nullptr;
  const auto remark = [&](const std::string& text) {
    work.built.remarks.push_back(config::to_string(source.origin) + ": " + source.chain.string() + ": " +
                                 text);
  };
  tls::Notes notes;
  StapleWish wish{certificate, {}, nullptr};
  if (!source.ocsp.empty()) {
    wish.from_file = tls::load_staple(source.ocsp.string(), *certificate, work.now, notes);
    if (wish.from_file != nullptr) {
      remark("OCSP answer of " + source.ocsp.string() + " is good until " +
             tls::date_text(wish.from_file->next_update));
    }
  }
  if (fetch && can_ask) remark("OCSP answers will be fetched from " + certificate->responder_url());
  if (fetch && !can_ask && !certificate->responder_url().empty()) {
    notes.warning("ocsp",
                  source.chain.string() +
                      ": no OCSP answer can be fetched, since who issued it is not known: append the issuer "
                      "to the chain, or put it in tls.intermediates or tls.roots");
  }
  if (certificate->must_staple() && source.ocsp.empty() && !(fetch && can_ask)) {
    notes.warning("ocsp",
                  source.chain.string() +
                      ": it says must-staple (RFC 7633) and there is no OCSP answer to staple: clients that "
                      "honour it will refuse it; set tls.ocsp.fetch, or name an `ocsp` file" +
                      (fetch && certificate->responder_url().empty() ? " (it names no responder)" : ""));
  }
  work.take(notes, [&source](std::string_view) { return source.origin; });
  work.built.staples.push_back(std::move(wish));
}

void Builder::build_tls(Work& work) {
  const config::Model& model = work.model();
  const bool wanted =
      std::any_of(model.listeners.begin(), model.listeners.end(),
                  [](const config::Listener& l) { return l.protocol == config::ListenerProtocol::https; });
  if (!wanted) return;
  tls::StoreSpec spec;
  for (const config::TlsPolicy& policy : model.tls.policies)
    spec.policies.push_back(policy_spec(policy, metrics_));
  OriginPullPolicies origin_pull(spec.policies);
  for (std::size_t i = 0; i < model.hosts.size(); ++i) {
    const config::Host& host = model.hosts[i];
    tls::HostSpec to;
    to.name = host.names.empty() ? "" : host.names.front();
    to.names = host.names;
    to.listeners = listener_indices(model, host);
    to.policy = host.policy;
    if (host.origin_pull.mode != config::OriginPullMode::off) {
      std::string why;
      to.policy = origin_pull.twin_of(host.policy, host.origin_pull, why);
      if (to.policy.empty()) return work.error(host.origin_pull.origin, why);
    }
    to.resume_after_rotation = host.resume_after_rotation;
    to.certificates = work.certificates[i];
    spec.hosts.push_back(std::move(to));
  }
  spec.unknown_sni = model.tls.unknown_sni.host;
  spec.missing_sni = model.tls.missing_sni.host;
  // The keys outlive snapshots: a reload must not void the tickets that clients hold.
  const auto rotation = std::chrono::duration_cast<base::Seconds>(model.tls.ticket_rotation);
  if (!model.tls.tickets) {
    ticket_keys_.reset();
  } else if (ticket_keys_ == nullptr || ticket_keys_->options().rotate_every != rotation) {
    ticket_keys_ = std::make_shared<tls::TicketKeys>(tls::TicketKeys::Options{rotation, rotation}, work.now);
  }
  tls::Notes notes;
  work.snapshot.tls = tls::ContextStore::build(spec, ticket_keys_, notes);
  work.take(notes, [&model](std::string_view where) {
    const auto host = index_behind(where, "hosts[");
    if (host && *host < model.hosts.size()) return model.hosts[*host].origin;
    const auto policy = index_behind(where, "policies[");
    if (policy && *policy < model.tls.policies.size()) {
      const config::TlsPolicy& at = model.tls.policies[*policy];
      const auto rule = index_behind(where, ".rules[");
      return rule && *rule < at.rules.size() ? at.rules[*rule].origin : at.origin;
    }
    if (where.starts_with("unknown_sni")) return model.tls.unknown_sni.origin;
    if (where.starts_with("missing_sni")) return model.tls.missing_sni.origin;
    return Origin{};
  });
  if (work.snapshot.tls == nullptr) work.failed = true;
}

void Builder::build_upstreams(Work& work) {
  std::vector<std::shared_ptr<const upstream::ClusterSpec>> clusters;
  for (const config::Upstream& from : work.model().upstreams) {
    tls::Notes notes;
    std::shared_ptr<const tls::Certificate> own;
    if (from.tls && from.tls->certificate) {
      const config::Certificate& source = *from.tls->certificate;
      own = certificates_.load(
          {source.chain.string(), source.key.string(), source.label, tls::ChainUse::client}, work.now, notes);
    }
    auto cluster = upstream::make_cluster(from, std::move(own), metrics_.upstream(from.name), notes);
    work.take(notes, [&from](std::string_view) { return from.tls ? from.tls->origin : from.origin; });
    if (cluster == nullptr) {
      work.failed = true;
    } else {
      clusters.push_back(std::move(cluster));
    }
  }
  if (!work.failed) work.snapshot.clusters = upstream::Clusters(std::move(clusters));
}

void Builder::build_routes(Work& work) {
  proxy::Snapshot& snapshot = work.snapshot;
  const config::Model& model = snapshot.model;
  try {
    snapshot.routes = std::make_unique<const route::Table>(model);
  } catch (const std::invalid_argument& bad) {
    work.error({}, bad.what());
    return;
  }
  snapshot.unrouted.name = "_none";
  snapshot.unrouted.metrics = metrics_.route("_none");
  for (std::uint32_t i = 0; i < snapshot.routes->routes(); ++i) {
    const route::Table::Place place = snapshot.routes->place(i);
    const config::Route& from = snapshot.routes->route(model, i);
    proxy::RouteEntry entry;
    entry.config = &from;
    if (place.of_listener) {
      entry.name = route_name(model.listeners[place.owner].name + ":", from, place.index);
      entry.request_body = from.request_body;
    } else {
      const config::Host& host = model.hosts[place.owner];
      entry.host = host.names.empty() ? "" : host.names.front();
      entry.name = route_name(entry.host, from, place.index);
      entry.request_body = from.request_body ? from.request_body : host.request_body;
      if (host.origin_pull.mode == config::OriginPullMode::require) entry.origin_pull = &host.origin_pull;
    }
    entry.chain = chain_of(work, from, place.of_listener ? nullptr : &model.hosts[place.owner], entry.name);
    if (const auto* to = std::get_if<config::ToUpstream>(&from.action)) {
      const auto index = snapshot.clusters.index_of(to->name);
      if (!index) {
        work.error(from.origin, "there is no upstream \"" + to->name + "\"");
        continue;
      }
      entry.cluster = snapshot.clusters.at(*index);
      entry.timeouts = laid_over(entry.cluster->timeouts, from.timeouts);
    }
    entry.metrics = metrics_.route(entry.name);
    snapshot.route_entries.push_back(std::move(entry));
  }
}

// Both limits hold; the host's is one for all its routes.
filter::Chain Builder::chain_of(Work& work, const config::Route& route, const config::Host* host,
                                const std::string& name) const {
  std::vector<std::unique_ptr<const filter::Guard>> guards;
  const unsigned prefix = work.model().process_limits.ipv6_prefix;
  if (host != nullptr && host->rate_limit) {
    const std::string& first = host->names.empty() ? name : host->names.front();
    guards.push_back(filter::make_rate_limit(*host->rate_limit, "host " + first, rate_limits_, prefix));
  }
  if (route.rate_limit) {
    guards.push_back(filter::make_rate_limit(*route.rate_limit, "route " + name, rate_limits_, prefix));
  }
  return filter::Chain(route, std::move(guards));
}

void Builder::build_listeners(Work& work) {
  proxy::Snapshot& snapshot = work.snapshot;
  snapshot.edited_fields = edited_fields(snapshot.model);
  snapshot.exempt_addresses = work.peers(snapshot.model.process_limits.exempt_addresses, {});
  for (const config::Listener& from : snapshot.model.listeners) {
    proxy::ListenerEntry entry;
    entry.config = &from;
    entry.direct = terms_of(from.limits, from.timeouts);
    entry.trusted = terms_of(from.trusted.limits, from.trusted.timeouts);
    entry.allow = work.peers(from.allow, from.origin);
    entry.trust = work.peers(from.trust, from.origin);
    entry.paths = path_rules(from.paths);
    entry.metrics = metrics_.listener(from.name);
    if (from.proxy_protocol) {
      entry.takes_proxy_header = true;
      entry.proxy_senders = work.blocks(from.proxy_protocol->from, from.proxy_protocol->origin);
    }
    snapshot.listeners.push_back(std::move(entry));
  }
}

void Builder::publish_certificates(const proxy::Snapshot& snapshot) {
  std::vector<obs::CertificateFacts> facts;
  if (snapshot.tls != nullptr) {
    const std::size_t hosts = snapshot.tls->hosts().size();
    for (const tls::HostEntry& host : snapshot.tls->hosts()) {
      for (const auto& certificate : host.certificates) {
        if (certificate == nullptr) continue;
        obs::CertificateFacts fact;
        fact.host = obs::host_label(host.name, hosts);
        fact.key_type = tls::to_string(certificate->key_type());
        fact.serial_hash = certificate->fingerprint_hex().substr(0, 8);
        fact.not_before = certificate->not_before();
        fact.not_after = certificate->not_after();
        fact.loaded = certificate->loaded();
        if (const auto& staple = certificate->staple().current())
          fact.staple_next_update = staple->next_update;
        facts.push_back(std::move(fact));
      }
    }
  }
  metrics_.certificates(facts);
}

}  // namespace sallyport::runtime
