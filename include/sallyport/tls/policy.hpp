// A TLS policy: which versions, suites, groups and protocols a host speaks and whether it asks
// for client certificates. PolicySpec is what the config says; Policy is what it means, with
// every name resolved strictly to its code point, because OpenSSL passes over unknown names in
// silence. Built on the control loop, immutable, shared by hosts, workers and snapshots.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/tls/names.hpp"
#include "sallyport/tls/notes.hpp"
#include "sallyport/tls/rules.hpp"

namespace sallyport::tls {

using Digest = std::array<std::uint8_t, 32>;  // SHA-256

// request: asked for and verified, never refused. report: as require, but let in and told of.
enum class ClientAuthMode : std::uint8_t { off, request, require, report };

struct ClientAuthSpec {
  ClientAuthMode mode = ClientAuthMode::off;
  std::string ca_file;                   // PEM; needed unless off, or ca_pem is given
  int depth = 4;                         // intermediates allowed between the client's certificate and the CA
  std::vector<std::string> crl_files{};  // PEM or DER; with any, what they do not cover is refused
  std::vector<std::string> sans{};       // one of these must stand in the certificate; any when empty
  std::vector<std::string> spki_pins{};  // base64 of SHA-256: one of these must be its key's
  std::uint8_t forward = 0;              // carried along for who tells upstreams of it
  std::string_view ca_pem{};             // instead of ca_file; static text
};

struct PolicySpec {
  std::string name = "default";
  Version min_version = Version::tls12;  // 1.0 and 1.1 are not spoken (RFC 8996)
  Version max_version = Version::tls13;
  // TLS 1.2, OpenSSL's names, in our order of preference.
  std::vector<std::string> ciphers{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
                                   "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
                                   "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"};
  // TLS 1.3.
  std::vector<std::string> cipher_suites{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
  // Tuples in order of preference; within one, a group that the client sent a key share for wins,
  // so that no HelloRetryRequest is needed. A plain list is one tuple.
  std::vector<std::vector<std::string>> groups{{"X25519MLKEM768", "X25519", "P-256", "P-384"}};
  std::vector<std::string> alpn{"h2", "http/1.1"};  // in our order of preference
  ClientAuthSpec client_auth;
  // A twin is another policy but for the client certificates that a host's origin_pull asks for. Logs
  // call it by this name, which the configuration knows.
  std::string twin_of{};
  bool has_twin = false;  // so hosts may reach its rules by a twin alone
  // On hellos, in the configuration's own words; a counter for each, or none.
  std::vector<config::TlsRule> rules;
  std::vector<obs::CounterId> rule_counters;
};

struct ClientRule;  // what OpenSSL needs of it; private to tls

struct Policy {
  std::string name;          // as the configuration has it
  bool origin_pull = false;  // its client-certificate rule is its host's origin_pull
  Version min_version = Version::tls12;
  Version max_version = Version::tls13;
  std::vector<std::uint16_t> ciphers;        // code points, TLS 1.2
  std::vector<std::uint16_t> cipher_suites;  // code points, TLS 1.3
  std::vector<std::uint16_t> groups;         // code points, flat
  std::vector<std::string> alpn;
  std::string alpn_wire;  // as the extension's list, for OpenSSL's selection
  // As OpenSSL takes them.
  std::string cipher_list;
  std::string cipher_suite_list;
  std::string group_list;
  ClientAuthMode client_auth = ClientAuthMode::off;
  std::string client_ca_file;  // for messages
  std::uint8_t client_forward = 0;
  std::shared_ptr<const ClientRule> client_rule;  // nullptr when off
  // Identity of the client-certificate rule: mode, depth, CA, lists, names and pins, files by content.
  // Empty when off.
  std::string auth_rule;
  // Asked where the policy is a host's own, not where one of them picked it.
  Rules rules;
  // Over everything that a resumed session must agree on.
  Digest digest{};

  [[nodiscard]] bool allows(Version version) const noexcept {
    return min_version <= version && version <= max_version;
  }
};

// Which of the ciphers, suites and groups this OpenSSL does not have.
[[nodiscard]] std::vector<std::string> lacking(const PolicySpec& spec);

// nullptr if `notes` got an error from it. A group that this OpenSSL lacks is a warning.
[[nodiscard]] std::shared_ptr<const Policy> resolve_policy(const PolicySpec& spec, Notes& notes);

}  // namespace sallyport::tls
