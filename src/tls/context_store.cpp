#include "sallyport/tls/context_store.hpp"

#include <algorithm>

#include "sallyport/net/address.hpp"
#include "sallyport/tls/hello.hpp"

#include "openssl.hpp"
#include "rules_check.hpp"

namespace sallyport::tls {

namespace {

std::string host_item(std::uint32_t index, const char* field = "") {
  return "hosts[" + std::to_string(index) + "]" + field;
}

std::string canonical(std::string_view name) {
  std::string text(name);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (text.ends_with('.')) text.pop_back();
  return text;
}

bool is_name_pattern(std::string_view name) {
  if (name == "*") return true;
  if (name.starts_with("*.")) name.remove_prefix(2);
  return is_host_name(name);
}

Terms terms_of(const HostEntry& host, const HostSpec& spec, std::shared_ptr<const ServerContext> context) {
  Hasher hasher;
  hasher.add("host");
  if (!spec.resume_after_rotation) {
    std::vector<Digest> leaves;
    for (const auto& certificate : host.certificates) leaves.push_back(certificate->fingerprint());
    std::sort(leaves.begin(), leaves.end());
    hasher.add("certificates").add(static_cast<std::uint64_t>(leaves.size()));
    for (const Digest& leaf : leaves) hasher.add(leaf);
  }
  for (const std::string& name : host.names) hasher.add(name);
  const Policy& policy = context->policy();
  Terms terms;
  terms.auth_rule = policy.auth_rule;
  terms.session_id_context = hasher.add(policy.digest).add(policy.auth_rule).finish();
  terms.context = std::move(context);
  return terms;
}

bool share_a_listener(const HostEntry& a, const HostEntry& b) {
  if (a.listeners.empty() || b.listeners.empty()) return true;
  return std::any_of(a.listeners.begin(), a.listeners.end(), [&](std::uint32_t l) { return b.on(l); });
}

}  // namespace

bool HostEntry::on(std::uint32_t listener) const noexcept {
  return listeners.empty() || std::find(listeners.begin(), listeners.end(), listener) != listeners.end();
}

bool HostEntry::stands_for(std::string_view auth_rule) const noexcept {
  // Behind the rule may stand by which way another store came to it.
  if (one_auth_rule) return auth_rule.substr(0, auth_rule.find('/')) == own.auth_rule;
  return auth_rule == own.auth_rule || std::any_of(picked.begin(), picked.end(), [&](const Terms& terms) {
           return terms.context != nullptr && terms.auth_rule == auth_rule;
         });
}

std::shared_ptr<const ContextStore> ContextStore::build(const StoreSpec& spec,
                                                        std::shared_ptr<TicketKeys> keys, Notes& notes) {
  const std::size_t errors_before = notes.errors();
  const std::shared_ptr<ContextStore> store(new ContextStore);
  store->add_policies(spec, std::move(keys), notes);
  store->hosts_.reserve(spec.hosts.size());
  for (std::uint32_t i = 0; i < spec.hosts.size(); ++i) store->add_host(spec.hosts[i], i, notes);
  store->unknown_ = store->rule(spec.unknown_sni, "unknown_sni", notes);
  store->missing_ = store->rule(spec.missing_sni, "missing_sni", notes);
  if (notes.errors() != errors_before) return nullptr;
  store->check_rules(spec, notes);
  if (notes.errors() != errors_before) return nullptr;
  return store;
}

void ContextStore::add_policies(const StoreSpec& spec, std::shared_ptr<TicketKeys> keys, Notes& notes) {
  const auto add = [&](const PolicySpec& policy_spec, const std::string& where) {
    Notes own;
    std::shared_ptr<const ServerContext> context;
    if (auto policy = resolve_policy(policy_spec, own))
      context = ServerContext::make(std::move(policy), keys, own);
    for (const Note& note : own.items()) {
      const std::string at = note.where.empty() ? where : where + "." + note.where;
      if (note.severity == Note::Severity::error) {
        notes.error(at, note.text);
      } else {
        notes.warning(at, note.text);
      }
    }
    // A broken one stays in the table, so that its hosts are not blamed as well.
    if (!contexts_.emplace(policy_spec.name, std::move(context)).second) {
      notes.error(where + ".name", "'" + policy_spec.name + "' is the name of another policy too");
    }
  };
  for (std::size_t i = 0; i < spec.policies.size(); ++i) {
    add(spec.policies[i], "policies[" + std::to_string(i) + "]");
  }
  if (!contexts_.contains("default")) add(PolicySpec{}, "policies.default");
}

void ContextStore::add_host(const HostSpec& spec, std::uint32_t index, Notes& notes) {
  HostEntry host;
  host.index = index;
  host.listeners = spec.listeners;
  for (const auto& certificate : spec.certificates) {
    if (certificate == nullptr) continue;
    const auto same_type = [&](const auto& other) { return other->key_type() == certificate->key_type(); };
    if (std::any_of(host.certificates.begin(), host.certificates.end(), same_type)) {
      notes.error(host_item(index, ".certificates"),
                  "two certificates have a key of type " + std::string(to_string(certificate->key_type())) +
                      ": only one of a type can be shown; name further ones in a host of their own");
    }
    host.certificates.push_back(certificate);
  }
  for (const std::string& name : spec.names) host.names.push_back(canonical(name));
  if (host.names.empty()) {
    for (const auto& certificate : host.certificates) {
      host.names.insert(host.names.end(), certificate->dns_names().begin(), certificate->dns_names().end());
    }
  }
  host.name = !spec.name.empty() ? spec.name : host.names.empty() ? std::string() : host.names.front();
  std::sort(host.names.begin(), host.names.end());
  host.names.erase(std::unique(host.names.begin(), host.names.end()), host.names.end());

  if (const auto policy = contexts_.find(spec.policy); policy == contexts_.end()) {
    notes.error(host_item(index, ".policy"), "there is no policy '" + spec.policy + "'");
  } else {
    host.own.context = policy->second;
  }
  if (host.names.empty()) {
    notes.error(host_item(index, ".names"),
                "there is no name: give names, or a certificate with DNS names in it");
  }
  if (host.own.context != nullptr) add_terms(host, spec);
  hosts_.push_back(std::move(host));
  const HostEntry& added = hosts_.back();
  if (added.certificates.empty()) return;
  for (const std::string& name : added.names) add_name(added, name, host_item(index, ".names"), notes);
}

void ContextStore::add_terms(HostEntry& host, const HostSpec& spec) const {
  host.own = terms_of(host, spec, host.own.context);
  const Rules& rules = host.own.policy().rules;
  for (const Rule& rule : rules) {
    const auto found = contexts_.find(rule.policy);
    const bool usable = found != contexts_.end() && found->second != nullptr;
    host.picked.push_back(usable ? terms_of(host, spec, found->second) : Terms{});
    if (usable && host.picked.back().auth_rule != host.own.auth_rule) host.one_auth_rule = false;
  }
  if (host.one_auth_rule) return;
  for (std::size_t i = 0; i < rules.size(); ++i) host.picked[i].auth_rule += "/" + rules.way(i);
  host.own.auth_rule += "/" + rules.way(std::nullopt);
}

// What only hosts and policies together show.
void ContextStore::check_rules(const StoreSpec& spec, Notes& notes) const {
  for (std::size_t p = 0; p < spec.policies.size(); ++p) {
    const auto context = contexts_.find(spec.policies[p].name);
    const Rules& rules = context->second->policy().rules;
    if (rules.empty()) continue;
    const std::string where = "policies[" + std::to_string(p) + "]";
    for (std::size_t r = 0; r < rules.size(); ++r) {
      if (rules[r].refuses()) continue;
      const std::string at = where + ".rules[" + std::to_string(r) + "]";
      const auto picked = contexts_.find(rules[r].policy);
      if (picked == contexts_.end()) {
        notes.error(at, "there is no policy '" + rules[r].policy + "'");
      } else {
        check_pick(rules[r], picked->second->policy(), at, notes);
      }
    }
    ReachableNames names;
    for (const HostEntry& host : hosts_) {
      if (host.own.context != context->second || host.certificates.empty()) continue;
      names.patterns.insert(names.patterns.end(), host.names.begin(), host.names.end());
      names.any = names.any || (unknown_ && *unknown_ == host.index);
      names.none_sent = names.none_sent || (missing_ && *missing_ == host.index);
    }
    if (names.empty() && spec.policies[p].has_twin) continue;
    tls::check_names(rules, names, where, notes);
  }
}

void ContextStore::add_name(const HostEntry& host, const std::string& name, const std::string& where,
                            Notes& notes) {
  if (!is_name_pattern(name)) {
    notes.error(where, "'" + name + "' is no host name (a name, or a wildcard such as *.example.com)");
    return;
  }
  const bool wild = name.starts_with('*');
  const std::string key = name == "*" ? std::string() : wild ? name.substr(2) : name;
  std::vector<std::uint32_t>& owners = (wild ? wildcard_ : exact_)[key];
  for (const std::uint32_t owner : owners) {
    if (!share_a_listener(hosts_[owner], host)) continue;
    notes.error(where, "'" + name + "' is served by host '" + hosts_[owner].name + "' already");
    return;
  }
  owners.push_back(host.index);
  const bool covered =
      wild || std::any_of(host.certificates.begin(), host.certificates.end(),
                          [&](const auto& certificate) { return certificate->covers(name); });
  if (covered) return;
  std::string files;
  for (const auto& certificate : host.certificates) {
    files += (files.empty() ? "" : ", ") + certificate->chain_file();
  }
  notes.warning(where, "'" + name + "' is in none of the host's certificates (" + files +
                           "): clients will refuse them");
}

std::optional<std::uint32_t> ContextStore::rule(const std::string& value, const char* key,
                                                Notes& notes) const {
  if (value.empty()) return std::nullopt;
  const std::string name = canonical(value);
  for (const HostEntry& host : hosts_) {
    const bool named =
        host.name == value || std::find(host.names.begin(), host.names.end(), name) != host.names.end();
    if (named && !host.certificates.empty()) return host.index;
  }
  notes.error(key, "there is no host '" + value + "' with a certificate");
  return std::nullopt;
}

const HostEntry* ContextStore::pick(const Names& names, std::string_view key,
                                    std::uint32_t listener) const noexcept {
  const auto found = names.find(key);
  if (found == names.end()) return nullptr;
  for (const std::uint32_t index : found->second) {
    if (hosts_[index].on(listener)) return &hosts_[index];
  }
  return nullptr;
}

const HostEntry* ContextStore::find_named(std::string_view name, std::uint32_t listener) const noexcept {
  if (const HostEntry* host = pick(exact_, name, listener)) return host;
  const std::size_t dot = name.find('.');
  if (dot != std::string_view::npos) {
    if (const HostEntry* host = pick(wildcard_, name.substr(dot + 1), listener)) return host;
  }
  return pick(wildcard_, {}, listener);
}

const HostEntry* ContextStore::by_rule(std::optional<std::uint32_t> host,
                                       std::uint32_t listener) const noexcept {
  return host && hosts_[*host].on(listener) ? &hosts_[*host] : nullptr;
}

const HostEntry* ContextStore::find(std::string_view sni, std::uint32_t listener) const noexcept {
  if (sni.empty()) return by_rule(missing_, listener);
  const HostEntry* host = find_named(sni, listener);
  return host != nullptr ? host : by_rule(unknown_, listener);
}

const HostEntry* ContextStore::rematch(std::string_view sni, std::uint32_t listener,
                                       std::string_view auth_rule) const noexcept {
  const HostEntry* host = find(sni, listener);
  return host != nullptr && host->stands_for(auth_rule) ? host : nullptr;
}

bool ContextStore::serves(std::string_view authority_host, std::uint32_t listener, const HostEntry& handshake,
                          std::string_view sni) const noexcept {
  // The usual case: `handshake` was found by that very name.
  if (authority_host == sni && !sni.empty()) return true;
  // A literal's last label is a number or holds a colon; no host name has either.
  const std::string_view name = is_host_name(authority_host) ? authority_host : std::string_view();
  if (find(name, listener) != &handshake) return false;
  const Rules& rules = handshake.own.policy().rules;
  return rules.empty() || rules.alike(sni, name);
}

}  // namespace sallyport::tls
