// TLS towards clients: policies, their rules on hellos, client certificates, our certificates.
// Part of model.hpp, which tells how the model is made and used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "sallyport/config/model_base.hpp"

namespace sallyport::config {

enum class TlsVersion : std::uint8_t { tls12, tls13 };
// request: asked for, verified and reported, never refused. report: as require, but whom require
// would refuse is let in and told of, so that a rule can be tried before it holds.
enum class ClientAuthMode : std::uint8_t { off, request, require, report };
// How an upstream is told who the client is: the field of RFC 9440, Envoy's, or X-Client-Cert-… one a fact.
enum class ClientCertFields : std::uint8_t { client_cert, xfcc, separate };

struct ClientAuth {
  ClientAuthMode mode = ClientAuthMode::off;
  std::filesystem::path ca;                 // PEM; needed unless off
  std::uint32_t depth = 4;                  // intermediate certificates between the client's and the CA
  std::vector<std::filesystem::path> crls;  // PEM or DER; with any, whatever they do not cover is refused
  // Of the leaf, when not empty: one of its SANs (DNS name, URI, e-mail, IP; "*.x" takes one label) …
  std::vector<std::string> sans;
  // … and its key, as base64 of the SHA-256 of its SubjectPublicKeyInfo (RFC 7469 §2.4): one of these.
  std::vector<std::string> spki_pins;
  std::vector<ClientCertFields> forward;  // to upstreams; whatever a client sends under such names is removed
  Origin origin;
  bool operator==(const ClientAuth&) const = default;
};

// What a ClientHello offers of one kind, by the names that a policy uses for it.
struct OfferMatch {
  std::vector<std::string> any, all, none;  // each must hold that is not empty
  bool operator==(const OfferMatch&) const = default;
};

// What a hello must be like; all that is given must match.
struct HelloMatch {
  OfferMatch versions, ciphers, groups, sigalgs, alpn;  // ciphers: of 1.2 and 1.3
  std::vector<std::string> ja4;        // "t13d1516h2_8daaf6152771_b186095e22b6"; a part may be *
  std::vector<std::string> sni;        // "api.*", "*.example.com": * is any text; "" = none was sent
  std::vector<std::string> addresses;  // CIDRs of the client
  Origin origin;
  bool operator==(const HelloMatch&) const = default;
};

// Another policy for some clients of a host, or a refusal. The first rule that matches holds; the
// other policy's own rules are not looked at.
struct TlsRule {
  std::string name;  // in logs and metrics
  HelloMatch when;
  std::string policy;   // either this one of tls.policies …
  bool refuse = false;  // … or access_denied
  Origin origin;
  bool operator==(const TlsRule&) const = default;
};

// Values that a policy starts from, see `sallyport policy NAME`.
enum class TlsProfile : std::uint8_t { standard, modern, intermediate, cloudflare, fips };

struct TlsPolicy {
  std::string name;
  TlsProfile profile = TlsProfile::standard;
  TlsVersion min_version = TlsVersion::tls12;  // 1.0 and 1.1 are not offered at all (RFC 8996)
  TlsVersion max_version = TlsVersion::tls13;
  // TLS 1.2, forward secret AEADs only. AES-128 first: no weaker in practice and the cheapest.
  std::vector<std::string> ciphers{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
                                   "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
                                   "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"};
  std::vector<std::string> cipher_suites{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};  // TLS 1.3
  // Tuples in order of preference: between tuples ours decides even at the price of a
  // HelloRetryRequest, within one a key share that the client sent wins. A flat list is one tuple.
  std::vector<std::vector<std::string>> groups{{"X25519MLKEM768", "X25519", "P-256", "P-384"}};
  std::vector<std::string> alpn{"h2", "http/1.1"};  // our order decides; no overlap is refused
  ClientAuth client_auth;
  std::vector<TlsRule> rules;
  Origin origin;
  bool operator==(const TlsPolicy&) const = default;
};

// What to do with a handshake that names no host of ours.
struct SniRule {
  std::string host;  // one of a host's names; empty = reject with unrecognized_name
  Origin origin;
  [[nodiscard]] bool reject() const noexcept { return host.empty(); }
  bool operator==(const SniRule&) const = default;
};

// Revocation state of our own certificates, shown in the handshake (RFC 6066 §8).
struct Ocsp {
  bool fetch = false;          // ask the responder that a certificate names, in the background
  Milliseconds timeout = 10s;  // of one answer
  Milliseconds retry = 5min;   // after a failure, then twice as long each time, up to an hour
  bool operator==(const Ocsp&) const = default;
};

// Successful handshakes that are logged one by one, as handshake_done.
struct HandshakeSamples {
  std::uint32_t one_in = 0;        // 0 = none, 1 = every one
  std::uint32_t per_second = 100;  // a worker at most; what is held back is counted
  bool operator==(const HandshakeSamples&) const = default;
};

// What each part of a handshake's health is worth (docs/health.md); 0-100 in all whatever they add up to.
struct HealthWeights {
  std::uint32_t version = 20;          // 1.3: all, 1.2: half
  std::uint32_t forward_secrecy = 15;  // keys made for this connection: all, for its TLS 1.2 session: half
  std::uint32_t suite = 15;            // an authenticated cipher (AEAD)
  std::uint32_t validity = 20;         // the certificate is within its dates
  std::uint32_t expiry = 15;           // and at least 30 days from their end; in proportion below
  std::uint32_t chain = 10;            // complete to a trusted root; not counted where nobody can tell
  std::uint32_t resumption = 5;        // resumed, or the client may come back with a ticket
  bool operator==(const HealthWeights&) const = default;
};
struct Health {
  HealthWeights weights;
  bool header = false;  // X-TLS-Health-Score on responses
  bool operator==(const Health&) const = default;
};

struct Tls {
  SniRule unknown_sni;
  SniRule missing_sni;
  bool tickets = true;                 // stateless resumption; the keys are ours and shared by the workers
  Milliseconds ticket_rotation = 12h;  // a new key; a ticket is good for this long and at most twice as long
  // Of our own certificates: a missing intermediate is added from the first; chains are judged by the
  // second, by the system's store when empty.
  std::filesystem::path intermediates, roots;  // PEM; optional
  Ocsp ocsp;
  HandshakeSamples samples;
  Health health;
  std::vector<TlsPolicy> policies;  // load() makes sure that there is one named "default"
  Origin origin;
  bool operator==(const Tls&) const = default;
};

struct Certificate {
  std::filesystem::path chain;  // PEM, leaf first
  std::filesystem::path key;    // PEM
  std::filesystem::path ocsp;   // DER of a responder's answer, to be shown with it; optional
  std::string label;  // says where it came from, in logs and metrics; the chain's path when left out
  Origin origin;
  bool operator==(const Certificate&) const = default;
};

}  // namespace sallyport::config
