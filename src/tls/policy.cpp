#include "sallyport/tls/policy.hpp"

#include <algorithm>
#include <unordered_map>

#include "sallyport/config/profiles.hpp"

#include "client_rule.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

std::string item(const char* list, std::size_t i) {
  return std::string(list) + "[" + std::to_string(i) + "]";
}

std::string in_single_quotes(std::string_view text) {
  return "'" + std::string(text) + "'";
}

std::uint16_t code_point(const SSL_CIPHER* cipher) {
  return SSL_CIPHER_get_protocol_id(cipher);
}

bool is_tls13_suite(std::uint16_t id) noexcept {
  return (id >> 8) == 0x13;
}

// Every suite that this OpenSSL can do for a certificate-bearing server, by name. Asked of
// OpenSSL once per policy: its lists cannot be trusted to refuse a name they do not know.
struct Suites {
  std::unordered_map<std::string, std::uint16_t> tls12;
  std::unordered_map<std::string, std::string> standard;  // IANA's name → OpenSSL's
  std::unordered_map<std::string, std::uint16_t> tls13;
};

Suites known_suites() {
  Suites suites;
  const SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context) return suites;
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_cipher_list(context.get(), "ALL:!aNULL:!eNULL:!PSK:!SRP");
  SSL_CTX_set_ciphersuites(context.get(),
                           "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                           "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256");
  const STACK_OF(SSL_CIPHER)* ciphers = SSL_CTX_get_ciphers(context.get());
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(ciphers, i);
    const std::string name = SSL_CIPHER_get_name(cipher);
    if (is_tls13_suite(code_point(cipher))) {
      suites.tls13.emplace(name, code_point(cipher));
    } else {
      suites.tls12.emplace(name, code_point(cipher));
      if (const char* standard = SSL_CIPHER_standard_name(cipher)) suites.standard.emplace(standard, name);
    }
  }
  ERR_clear_error();
  return suites;
}

bool has_group(const char* openssl_name) {
  const SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  const bool has = context && SSL_CTX_set1_groups_list(context.get(), openssl_name) == 1;
  ERR_clear_error();
  return has;
}

void append(std::string& list, std::string_view name) {
  if (!list.empty()) list += ':';
  list += name;
}

template <class T>
bool add_once(std::vector<T>& list, const T& value) {
  if (std::find(list.begin(), list.end(), value) != list.end()) return false;
  list.push_back(value);
  return true;
}

void resolve_ciphers(const PolicySpec& spec, const Suites& suites, Policy& policy, Notes& notes) {
  for (std::size_t i = 0; i < spec.ciphers.size(); ++i) {
    const std::string& name = spec.ciphers[i];
    const auto found = suites.tls12.find(name);
    if (found != suites.tls12.end()) {
      if (add_once(policy.ciphers, found->second)) append(policy.cipher_list, name);
      continue;
    }
    std::string text = in_single_quotes(name) + " is no TLS 1.2 cipher that this OpenSSL has";
    if (const auto standard = suites.standard.find(name); standard != suites.standard.end()) {
      text = in_single_quotes(name) + " is written " + in_single_quotes(standard->second) +
             " here (OpenSSL's names)";
    } else if (suites.tls13.contains(name)) {
      text = in_single_quotes(name) + " is a TLS 1.3 suite: it belongs under cipher_suites";
    }
    notes.error(item("ciphers", i), text);
  }
  for (std::size_t i = 0; i < spec.cipher_suites.size(); ++i) {
    const std::string& name = spec.cipher_suites[i];
    const auto found = suites.tls13.find(name);
    if (found != suites.tls13.end()) {
      if (add_once(policy.cipher_suites, found->second)) append(policy.cipher_suite_list, name);
    } else if (suites.tls12.contains(name) || suites.standard.contains(name)) {
      notes.error(item("cipher_suites", i),
                  in_single_quotes(name) + " is a TLS 1.2 cipher: it belongs under ciphers");
    } else {
      notes.error(item("cipher_suites", i),
                  in_single_quotes(name) + " is no TLS 1.3 suite that this OpenSSL has");
    }
  }
}

void resolve_groups(const PolicySpec& spec, Policy& policy, Notes& notes) {
  // From OpenSSL 3.5 a list knows tuples, parted by '/'; before that it is flat.
  const bool tuples = OpenSSL_version_num() >= 0x30500000UL;
  // Of a profile's list nobody asked for what is missing.
  const auto profiles = config::profiles();
  const bool asked = std::none_of(profiles.begin(), profiles.end(),
                                  [&](const auto& profile) { return profile.values.groups == spec.groups; });
  std::size_t i = 0;
  for (const std::vector<std::string>& tuple : spec.groups) {
    bool first = true;
    for (const std::string& name : tuple) {
      const std::string where = item("groups", i++);
      const GroupName* group = find_group(name);
      if (group == nullptr) {
        notes.error(where, in_single_quotes(name) + " is no key-exchange group that Sallyport knows");
        continue;
      }
      if (!has_group(std::string(group->openssl).c_str())) {
        if (asked)
          notes.warning(where, in_single_quotes(name) + " is not in this OpenSSL (" +
                                   OpenSSL_version(OPENSSL_VERSION_STRING) + "): left out");
        continue;
      }
      if (!add_once(policy.groups, group->id)) continue;
      if (!policy.group_list.empty()) policy.group_list += first && tuples ? '/' : ':';
      policy.group_list += group->openssl;
      first = false;
    }
  }
  if (policy.groups.empty()) notes.error("groups", "no group is left that this OpenSSL has");
}

void resolve_alpn(const PolicySpec& spec, Policy& policy, Notes& notes) {
  for (std::size_t i = 0; i < spec.alpn.size(); ++i) {
    const std::string& name = spec.alpn[i];
    if (name != "h2" && name != "http/1.1") {
      notes.error(item("alpn", i), in_single_quotes(name) + " is not spoken here: h2 and http/1.1 are");
      continue;
    }
    if (!add_once(policy.alpn, name)) continue;
    policy.alpn_wire.push_back(static_cast<char>(name.size()));
    policy.alpn_wire += name;
  }
}

void resolve_client_auth(const ClientAuthSpec& spec, Policy& policy, Notes& notes) {
  policy.client_auth = spec.mode;
  if (spec.mode == ClientAuthMode::off) return;
  policy.client_ca_file = spec.ca_file;
  policy.client_forward = spec.forward;
  Digest digest{};
  policy.client_rule = load_client_rule(spec, base::WallClock::now(), digest, notes);
  if (policy.client_rule != nullptr) policy.client_ca_file = policy.client_rule->ca_file;
  if (policy.client_rule != nullptr) policy.auth_rule = hex(std::span(digest).first(16));
}

Digest digest_of(const Policy& policy) {
  Hasher hasher;
  hasher.add("policy").add(static_cast<std::uint64_t>(policy.min_version));
  hasher.add(static_cast<std::uint64_t>(policy.max_version));
  hasher.add(policy.cipher_list).add(policy.cipher_suite_list).add(policy.group_list);
  hasher.add(policy.alpn_wire).add(policy.auth_rule);
  return hasher.finish();
}

}  // namespace

std::vector<std::string> lacking(const PolicySpec& spec) {
  const Suites suites = known_suites();
  std::vector<std::string> names;
  std::copy_if(spec.ciphers.begin(), spec.ciphers.end(), std::back_inserter(names),
               [&](const std::string& name) { return !suites.tls12.contains(name); });
  std::copy_if(spec.cipher_suites.begin(), spec.cipher_suites.end(), std::back_inserter(names),
               [&](const std::string& name) { return !suites.tls13.contains(name); });
  for (const std::vector<std::string>& tuple : spec.groups) {
    std::copy_if(tuple.begin(), tuple.end(), std::back_inserter(names), [](const std::string& name) {
      const GroupName* group = find_group(name);
      return group == nullptr || !has_group(std::string(group->openssl).c_str());
    });
  }
  return names;
}

std::shared_ptr<const Policy> resolve_policy(const PolicySpec& spec, Notes& notes) {
  const std::size_t errors_before = notes.errors();
  auto policy = std::make_shared<Policy>();
  policy->name = spec.twin_of.empty() ? spec.name : spec.twin_of;
  policy->origin_pull = !spec.twin_of.empty();
  policy->min_version = spec.min_version;
  policy->max_version = spec.max_version;
  if (spec.min_version > spec.max_version) notes.error("min_version", "is above max_version");
  resolve_ciphers(spec, known_suites(), *policy, notes);
  resolve_groups(spec, *policy, notes);
  resolve_alpn(spec, *policy, notes);
  resolve_client_auth(spec.client_auth, *policy, notes);
  policy->rules = Rules::compile(spec.rules, spec.rule_counters, notes);
  if (notes.errors() != errors_before) return nullptr;
  if (policy->allows(Version::tls12) && policy->ciphers.empty()) {
    notes.error("ciphers", "is empty, but min_version allows TLS 1.2");
  }
  if (policy->allows(Version::tls13) && policy->cipher_suites.empty()) {
    notes.error("cipher_suites", "is empty, but max_version allows TLS 1.3");
  }
  if (notes.errors() != errors_before) return nullptr;
  policy->digest = digest_of(*policy);
  return policy;
}

}  // namespace sallyport::tls
