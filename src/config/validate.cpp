// What the parts of a model mean together.
#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "sallyport/config/load.hpp"

#include "coverage.hpp"
#include "scalars.hpp"

namespace sallyport::config {
namespace {

class Check {
 public:
  explicit Check(const Model& model) : model_(model) {}

  std::vector<Problem> all() {
    sets({}, model_.process_limits.exempt_addresses);
    for (const AddressSet& set : model_.address_sets) {
      if (set.name != kCloudflare && set.ranges.empty() && set.files.empty())
        error(set.origin, "the address set is empty: give ranges or files");
    }
    listeners();
    policies();
    health(model_.tls.health.weights);
    upstreams();
    for (const Listener& listener : model_.listeners) routes(listener.routes);
    for (const Host& host : model_.hosts) {
      references(host);
      routes(host.routes);
    }
    unused_upstreams();
    names();
    return finish();
  }

  std::vector<Problem> only_names() {
    names();
    return finish();
  }

 private:
  void error(const Origin& origin, std::string text) {
    problems_.push_back({Problem::Severity::error, origin, std::move(text)});
  }
  void warning(const Origin& origin, std::string text) {
    problems_.push_back({Problem::Severity::warning, origin, std::move(text)});
  }
  std::vector<Problem> finish() {
    std::stable_sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
      return std::tie(a.origin.line, a.origin.column) < std::tie(b.origin.line, b.origin.column);
    });
    return std::move(problems_);
  }
  static std::string line_of(const Origin& origin) { return "line " + std::to_string(origin.line); }

  void listeners() {
    std::unordered_map<std::string_view, const Listener*> names;
    std::unordered_map<std::string, const Listener*> addresses;
    for (const Listener& listener : model_.listeners) {
      const auto [name, fresh] = names.emplace(listener.name, &listener);
      if (!fresh) {
        error(listener.origin, "a second listener named " + in_quotes(listener.name) + ", the first is in " +
                                   line_of(name->second->origin));
      }
      listener_limits(listener);
      sets(listener.origin, listener.allow);
      sets(listener.origin, listener.trust);
      if (listener.address.port == 0) continue;
      const auto [address, free] = addresses.emplace(to_string(listener.address), &listener);
      if (!free) {
        error(listener.origin, "a second listener on " + address->first + ", the first is in " +
                                   line_of(address->second->origin));
      }
    }
  }

  void client_limits(const Listener& listener, const ClientLimits& limits, const std::string& at) {
    if (limits.header_field_bytes > limits.header_bytes)
      error(listener.origin, at + "header_field_bytes is above " + at + "header_bytes");
    if (limits.h2.stream_window > limits.h2.connection_window) {
      error(listener.origin,
            at + "h2.stream_window is above " + at + "h2.connection_window: one stream could never use it");
    }
  }

  void listener_limits(const Listener& listener) {
    client_limits(listener, listener.limits, "limits.");
    client_limits(listener, listener.trusted.limits, "trusted.limits.");
    if (listener.max_connections > model_.process_limits.connections)
      warning(listener.origin, "max_connections is above limits.connections, which is what will hold");
  }

  // A block begins with a digit or holds a colon; everything else is a name.
  void sets(const Origin& origin, const std::vector<std::string>& list) {
    std::vector<std::string_view> known;
    known.reserve(model_.address_sets.size());
    for (const AddressSet& set : model_.address_sets) known.push_back(set.name);
    for (const std::string& item : list) {
      if (item.find_first_of(".:") != std::string::npos) continue;
      if (std::find(known.begin(), known.end(), item) == known.end())
        error(origin, "no address set is named " + in_quotes(item) + did_you_mean(item, known));
    }
  }

  void policies() {
    std::unordered_set<std::string_view> used;
    for (const Host& host : model_.hosts) used.insert(host.policy);
    for (const TlsPolicy& policy : model_.tls.policies) rules(policy, used);
    for (const TlsPolicy& policy : model_.tls.policies) {
      if (policy.name != "default" && used.count(policy.name) == 0)
        warning(policy.origin, "no host uses the policy " + in_quotes(policy.name));
    }
  }

  void health(const HealthWeights& w) {
    if (w.version + w.forward_secrecy + w.suite + w.validity + w.expiry + w.chain + w.resumption != 0) return;
    error(model_.tls.origin,
          "tls.health.weights: all are 0, so there is nothing to score by: leave some as they are");
  }

  void rules(const TlsPolicy& policy, std::unordered_set<std::string_view>& used) {
    std::unordered_set<std::string_view> names;
    for (const TlsRule& rule : policy.rules) {
      if (!names.insert(rule.name).second)
        error(rule.origin, "a second rule named " + in_quotes(rule.name) + " in this policy");
      if (rule.refuse) continue;
      used.insert(rule.policy);
      policy_reference(rule.origin, rule.policy);
      if (rule.policy == policy.name)
        error(rule.origin, "the rule picks the policy that it stands in: name another, or refuse: true");
    }
  }

  void policy_reference(const Origin& origin, const std::string& name) {
    const auto& policies = model_.tls.policies;
    if (std::any_of(policies.begin(), policies.end(), [&](const TlsPolicy& p) { return p.name == name; }))
      return;
    std::vector<std::string_view> known;
    known.reserve(policies.size());
    for (const TlsPolicy& p : policies) known.push_back(p.name);
    error(origin, "no TLS policy is named " + in_quotes(name) + did_you_mean(name, known));
  }

  void upstreams() {
    for (const Upstream& upstream : model_.upstreams) {
      std::set<std::pair<std::string_view, std::uint16_t>> seen;
      for (const UpstreamEndpoint& endpoint : upstream.endpoints) {
        if (!seen.emplace(endpoint.host, endpoint.port).second)
          error(endpoint.origin, "this endpoint stands in the list twice: give it a weight instead");
      }
      if (upstream.pool.max_idle > upstream.pool.max_connections)
        warning(upstream.origin, "pool.max_idle is above pool.max_connections, which is what will hold");
    }
  }

  void references(const Host& host) {
    policy_reference(host.origin, host.policy);
    for (const std::string& name : host.listeners) {
      const auto at = std::find_if(model_.listeners.begin(), model_.listeners.end(),
                                   [&](const Listener& l) { return l.name == name; });
      if (at == model_.listeners.end()) {
        std::vector<std::string_view> known;
        for (const Listener& l : model_.listeners) known.push_back(l.name);
        error(host.origin, "no listener is named " + in_quotes(name) + did_you_mean(name, known));
      } else if (at->protocol == ListenerProtocol::https && host.certificates.empty()) {
        error(host.origin,
              "the listener " + in_quotes(name) + " speaks TLS, and this host has no certificates");
      }
    }
    const bool tls = std::any_of(model_.listeners.begin(), model_.listeners.end(),
                                 [](const Listener& l) { return l.protocol == ListenerProtocol::https; });
    if (tls && host.listeners.empty() && host.certificates.empty())
      warning(host.origin, "this host has no certificates: it is served in plain text alone");
  }

  void routes(const std::vector<Route>& list) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (const auto* to = std::get_if<ToUpstream>(&list[i].action)) reference(list[i], *to);
      const std::size_t earlier = covering_route(list, i);
      if (earlier != i) {
        warning(list[i].origin, "this route is never reached: the one in " + line_of(list[earlier].origin) +
                                    " takes all it would");
      }
    }
  }

  void reference(const Route& route, const ToUpstream& to) {
    used_upstreams_.insert(to.name);
    if (upstream_names_.empty()) {
      for (const Upstream& u : model_.upstreams) upstream_names_.insert(u.name);
    }
    if (upstream_names_.count(to.name) == 0)
      error(route.origin,
            "no upstream is named " + in_quotes(to.name) + did_you_mean(to.name, upstream_names_));
  }

  void unused_upstreams() {
    for (const Upstream& upstream : model_.upstreams) {
      if (used_upstreams_.count(upstream.name) == 0)
        warning(upstream.origin, "no route uses the upstream " + in_quotes(upstream.name));
    }
  }

  // One name, one host, on each listener.
  void names() {
    std::unordered_map<std::string, std::vector<const Host*>> owners;
    bool complete = true;
    for (const Host& host : model_.hosts) {
      complete &= !host.names.empty();
      for (const std::string& name : host.names) {
        auto& others = owners[name];
        const auto same = std::find_if(others.begin(), others.end(), [&](const Host* other) {
          return other == &host || share_listener(*other, host);
        });
        if (same != others.end() && *same == &host) {
          warning(host.origin, "the name " + in_quotes(name) + " stands in the list twice");
        } else if (same != others.end()) {
          error(host.origin, "the name " + in_quotes(name) + " belongs to the host in " +
                                 line_of((*same)->origin) + " already");
        }
        others.push_back(&host);
      }
    }
    // A host that takes its names from its certificates may yet turn out to have it.
    if (!complete) return;
    sni_rule("unknown_sni", model_.tls.unknown_sni, owners);
    sni_rule("missing_sni", model_.tls.missing_sni, owners);
  }

  static bool share_listener(const Host& a, const Host& b) {
    if (a.listeners.empty() || b.listeners.empty()) return true;
    return std::any_of(a.listeners.begin(), a.listeners.end(), [&](const std::string& name) {
      return std::find(b.listeners.begin(), b.listeners.end(), name) != b.listeners.end();
    });
  }

  void sni_rule(std::string_view key, const SniRule& rule,
                const std::unordered_map<std::string, std::vector<const Host*>>& owners) {
    if (rule.reject()) return;
    const auto at = owners.find(rule.host);
    if (at == owners.end()) {
      std::vector<std::string_view> known{"reject"};
      for (const auto& [name, hosts] : owners) known.push_back(name);
      error(rule.origin, std::string(key) + ": no host has the name " + in_quotes(rule.host) +
                             did_you_mean(rule.host, known));
    } else if (std::all_of(at->second.begin(), at->second.end(),
                           [](const Host* host) { return host->certificates.empty(); })) {
      error(rule.origin, std::string(key) + ": the host " + in_quotes(rule.host) + " has no certificates");
    }
  }

  const Model& model_;
  std::vector<Problem> problems_;
  std::set<std::string_view> used_upstreams_;
  std::set<std::string_view> upstream_names_;
};

}  // namespace

std::vector<Problem> validate(const Model& model) {
  return Check(model).all();
}
std::vector<Problem> validate_names(const Model& model) {
  return Check(model).only_names();
}

}  // namespace sallyport::config
