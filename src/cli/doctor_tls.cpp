// How Cloudflare's hello meets each policy, and each host's certificates: 525 where it does not.
#include <algorithm>
#include <map>

#include "sallyport/net/block_list.hpp"
#include "sallyport/tls/cloudflare.hpp"
#include "sallyport/tls/version.hpp"

#include "cloudflare_errors.hpp"
#include "doctor.hpp"

namespace sallyport::cli {

namespace {

bool has(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

void versions(const tls::Policy& policy, Scribe& scribe) {
  if (!policy.allows(tls::Version::tls13)) {
    scribe.warn("versions", "TLS 1.2 alone: no post-quantum key exchange, and one more round trip",
                "max_version: \"1.3\"");
  } else if (!policy.allows(tls::Version::tls12)) {
    scribe.ok("versions", "TLS 1.3 alone, which Cloudflare always offers");
  } else {
    scribe.ok("versions", "TLS 1.2 and 1.3; Cloudflare takes 1.3");
  }
}

void alpn(const tls::Policy& policy, Scribe& scribe) {
  const bool h2 = has(policy.alpn, "h2");
  const bool http1 = has(policy.alpn, "http/1.1");
  if (h2 && http1) {
    scribe.ok("alpn", joined(policy.alpn) + ": HTTP/2 for requests and gRPC, HTTP/1.1 for WebSockets");
  } else if (h2) {
    scribe.fail("alpn",
                "h2 alone: Cloudflare opens WebSockets with HTTP/1.1, and some zones speak nothing else",
                "alpn: [h2, http/1.1]", kHandshakeFailed);
  } else {
    scribe.warn("alpn", "without h2: no gRPC, and a connection for each request under way",
                "alpn: [h2, http/1.1]");
  }
}

void suites13(const tls::Policy& policy, const tls::CloudflareOverlap& overlap, Scribe& scribe) {
  if (!policy.allows(tls::Version::tls13)) return;
  if (overlap.suites13.empty()) {
    scribe.fail(
        "suites13", "no suite of TLS 1.3 is shared with Cloudflare",
        "cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256]",
        kHandshakeFailed);
  } else {
    scribe.ok("suites13", "shared in TLS 1.3, in our order: " + joined(overlap.suites13));
  }
}

// Of the groups as configured, also of those that this OpenSSL lacks.
bool asks_for_post_quantum(const config::TlsPolicy& policy) {
  return std::any_of(policy.groups.begin(), policy.groups.end(),
                     [](const std::vector<std::string>& tuple) { return has(tuple, "X25519MLKEM768"); });
}

// Whether a tuple that Cloudflare sends no key share for goes before X25519's.
bool asks_again(const config::TlsPolicy& policy, const tls::CloudflareOverlap& overlap) {
  for (const std::vector<std::string>& tuple : policy.groups) {
    if (has(tuple, "X25519")) return false;
    const bool usable = std::any_of(tuple.begin(), tuple.end(), [&](const std::string& name) {
      const tls::GroupName* group = tls::find_group(name);
      return group != nullptr && has(overlap.groups, group->name);
    });
    if (usable) return true;
  }
  return false;
}

void groups(const config::TlsPolicy& configured, const tls::CloudflareOverlap& overlap, Scribe& scribe) {
  const std::string remedy = "groups: [X25519MLKEM768, X25519, P-256, P-384]";
  const std::string shared = joined(overlap.groups);
  if (overlap.groups.empty()) {
    scribe.fail("groups", "no key-exchange group is shared with Cloudflare", remedy, kHandshakeFailed);
    return;
  }
  if (!overlap.no_retry) {
    scribe.warn(
        "groups",
        "shared, in our order: " + shared +
            "; without X25519, for which Cloudflare sends a key share, it is asked for a second hello",
        remedy);
  } else if (asks_again(configured, overlap)) {
    scribe.warn("groups",
                "shared, in our order: " + shared +
                    "; those before X25519's tuple cost a second hello until Cloudflare has learnt of them",
                remedy);
  } else {
    scribe.ok("groups", "shared, in our order: " + shared);
  }
  if (overlap.post_quantum) {
    scribe.ok("post_quantum", "X25519MLKEM768, which Cloudflare prefers once it has found it");
  } else if (asks_for_post_quantum(configured)) {
    scribe.ok("post_quantum",
              "X25519MLKEM768 is configured, and used from OpenSSL 3.5 on (Debian 13); this is " +
                  tls::library_version());
  } else {
    scribe.warn("post_quantum", "X25519MLKEM768 is not among the groups", remedy);
  }
}

void client_auth(const config::TlsPolicy& policy, const std::vector<const config::Host*>& hosts,
                 Scribe& scribe) {
  if (policy.client_auth.mode != config::ClientAuthMode::require) return;
  const bool pulled = std::all_of(hosts.begin(), hosts.end(), [](const config::Host* host) {
    return host->origin_pull.mode != config::OriginPullMode::off;
  });
  if (pulled) return;
  scribe.warn(
      "client_auth",
      "Cloudflare shows a certificate only where Authenticated Origin Pulls are switched on, and then its "
      "own or the zone's: it must be from " +
          policy.client_auth.ca.string(),
      "use origin_pull of the host, which tells what came of it", 520);
}

void examine_policy(const config::TlsPolicy& configured, const tls::Policy& policy,
                    const tls::CloudflareOverlap& overlap, const std::vector<const config::Host*>& hosts,
                    Report& report) {
  Scribe scribe(report, "policy " + configured.name, configured.origin);
  versions(policy, scribe);
  alpn(policy, scribe);
  suites13(policy, overlap, scribe);
  groups(configured, overlap, scribe);
  client_auth(configured, hosts, scribe);
}

void suites12(const config::Host& host, const tls::Policy& policy, const tls::CloudflareOverlap& overlap,
              Report& report) {
  if (!policy.allows(tls::Version::tls12)) return;
  Scribe scribe(report, subject_of(host), host.origin);
  if (!overlap.suites12.empty()) {
    scribe.ok("suites12", "shared in TLS 1.2, in our order: " + joined(overlap.suites12));
    return;
  }
  const std::string end = ": a connection without TLS 1.3 ends here";
  if (overlap.unkeyed12.empty()) {
    scribe.fail(
        "suites12",
        "no suite of TLS 1.2 is shared with Cloudflare, which offers no ChaCha20 and no DHE there" + end,
        "add ECDHE-ECDSA-AES128-GCM-SHA256 and ECDHE-RSA-AES128-GCM-SHA256 to the ciphers of policy " +
            policy.name,
        kHandshakeFailed);
  } else {
    scribe.fail("suites12",
                "the suites of TLS 1.2 that are shared with Cloudflare (" + joined(overlap.unkeyed12) +
                    ") need a certificate with another kind of key" + end,
                "add the suites of the certificate's kind to the ciphers of policy " + policy.name,
                kHandshakeFailed);
  }
}

// The policies under which Cloudflare's hello comes in, from any of its ranges and for any of the names; a
// rule that refuses it is told.
std::vector<const tls::Policy*> policies_of(const config::Host& host, const tls::HostEntry& entry,
                                            Report& report) {
  const tls::Policy& own = entry.own.policy();
  std::vector<const tls::Policy*> found;
  std::vector<std::string> refusing;
  const auto add = [](auto& list, const auto& item) {
    if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
  };
  for (const std::string& name : host.names) {
    const std::string asked = name.starts_with('*') ? "www" + name.substr(1) : name;
    for (const net::Cidr& block : net::cloudflare_blocks()) {
      const auto rule = tls::cloudflare_rule(own, asked, block.network);
      if (!rule) {
        add(found, &own);
      } else if (own.rules[*rule].refuses()) {
        add(refusing, own.rules[*rule].name);
      } else {
        add(found, &entry.picked[*rule].policy());
      }
      if (own.rules.empty()) break;
    }
    if (own.rules.empty()) break;
  }
  Scribe scribe(report, subject_of(host), host.origin);
  if (!refusing.empty()) {
    scribe.fail("rules",
                "rule " + joined(refusing) + " of policy " + own.name + " refuses Cloudflare's hello",
                "let it pass: when: { addresses: … } of others, or a rule before it", kHandshakeFailed);
  } else if (!own.rules.empty()) {
    std::vector<std::string> names;
    names.reserve(found.size());
    for (const tls::Policy* policy : found) names.push_back(policy->name);
    scribe.ok("rules", "the rules of policy " + own.name + " give Cloudflare the policy " + joined(names));
  }
  return found;
}

}  // namespace

void examine_policies(const Patient& patient, Report& report) {
  if (patient.tls == nullptr) return;
  struct Use {
    const tls::Policy* policy;
    tls::CloudflareOverlap overlap;
    std::vector<const config::Host*> hosts;
  };
  std::map<std::string, Use> uses;
  for (const tls::HostEntry& entry : patient.tls->hosts()) {
    const config::Host& host = patient.model.hosts[entry.index];
    if (entry.certificates.empty() || listeners_of(patient.model, host).empty()) continue;
    const bool taken = std::any_of(entry.certificates.begin(), entry.certificates.end(),
                                   [](const auto& one) { return tls::cloudflare_takes(*one); });
    if (!taken) continue;  // told with the certificate
    for (const tls::Policy* policy : policies_of(host, entry, report)) {
      tls::CloudflareOverlap overlap = tls::meet_cloudflare(*policy, entry.certificates);
      suites12(host, *policy, overlap, report);
      uses.try_emplace(policy->name, Use{policy, std::move(overlap), {}})
          .first->second.hosts.push_back(&host);
    }
  }
  for (const config::TlsPolicy& configured : patient.model.tls.policies) {
    const auto use = uses.find(configured.name);
    if (use == uses.end()) continue;
    examine_policy(configured, *use->second.policy, use->second.overlap, use->second.hosts, report);
  }
}

}  // namespace sallyport::cli
