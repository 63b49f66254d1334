#include "sallyport/config/profiles.hpp"

#include <algorithm>

namespace sallyport::config {

namespace {

using Names = std::vector<std::string>;

const Names kEcdheGcm{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
                      "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"};

TlsPolicy values_of(TlsProfile id) {
  TlsPolicy values;
  values.profile = id;
  return values;
}

Profile standard() {
  return {TlsProfile::standard,
          "standard",
          "what holds where a policy says nothing: every client of the last ten years, safely",
          "Sallyport's own choice",
          {"AES-128 first: no weaker in practice, and the cheapest",
           "X25519MLKEM768 first: what is recorded today stays closed to a quantum computer"},
          values_of(TlsProfile::standard)};
}

// Its values were 6.0's when this was written; `standard` may move on without it.
Profile intermediate() {
  Profile made{TlsProfile::intermediate,
               "intermediate",
               "Mozilla's recommendation for a server that anybody may come to",
               "Mozilla Server Side TLS 6.0, Intermediate",
               {"the order of suites is ours to choose there; here it is as listed"},
               values_of(TlsProfile::intermediate)};
  made.values.min_version = TlsVersion::tls12;
  made.values.ciphers = kEcdheGcm;
  made.values.ciphers.insert(made.values.ciphers.end(),
                             {"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"});
  made.values.cipher_suites = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                               "TLS_CHACHA20_POLY1305_SHA256"};
  made.values.groups = {{"X25519MLKEM768", "X25519", "P-256", "P-384"}};
  return made;
}

Profile modern() {
  Profile made{TlsProfile::modern,
               "modern",
               "TLS 1.3 alone, for clients that are known to be new",
               "Mozilla Server Side TLS 6.0, Modern",
               {"Mozilla asks for an ECDSA certificate beside it"},
               values_of(TlsProfile::modern)};
  made.values.min_version = TlsVersion::tls13;
  made.values.ciphers.clear();
  made.values.cipher_suites = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                               "TLS_CHACHA20_POLY1305_SHA256"};
  made.values.groups = {{"X25519MLKEM768", "X25519", "P-256", "P-384"}};
  return made;
}

Profile cloudflare() {
  Profile made{TlsProfile::cloudflare,
               "cloudflare",
               "an origin behind Cloudflare: what its proxies offer an origin and is safe",
               "Cloudflare's documentation of cipher suites and post-quantum key agreement to origins",
               {"Cloudflare offers an origin no ChaCha20 under TLS 1.2, and suites without forward secrecy "
                "or AEAD, which are left out here",
                "X25519MLKEM768 first: Cloudflare tries it by itself and remembers who takes it",
                "h2 in ALPN, which gRPC needs, and http/1.1, which WebSockets need"},
               values_of(TlsProfile::cloudflare)};
  made.values.ciphers = kEcdheGcm;
  made.values.cipher_suites = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                               "TLS_CHACHA20_POLY1305_SHA256"};
  made.values.groups = {{"X25519MLKEM768", "X25519", "P-256", "P-384"}};
  return made;
}

Profile fips() {
  Profile made{
      TlsProfile::fips,
      "fips",
      "approved algorithms alone, for those who must; needs a validated OpenSSL to count",
      "NIST SP 800-52 Rev. 2, SP 800-186 and FIPS 203",
      {"no ChaCha20-Poly1305 and no X25519: neither is approved",
       "SecP256r1MLKEM768 instead of X25519MLKEM768: both of its halves are approved, and a validated "
       "module that has no X25519 cannot do the other",
       "a profile chooses algorithms; that they are computed by a validated module is OpenSSL's matter "
       "(its FIPS provider)"},
      values_of(TlsProfile::fips)};
  made.values.ciphers = kEcdheGcm;
  made.values.cipher_suites = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"};
  made.values.groups = {{"SecP256r1MLKEM768", "P-256", "P-384"}};
  return made;
}

const std::vector<Profile>& table() {
  static const std::vector<Profile> made{standard(), modern(), intermediate(), cloudflare(), fips()};
  return made;
}

}  // namespace

std::span<const Profile> profiles() {
  return table();
}

const Profile& profile(TlsProfile id) {
  return *std::find_if(table().begin(), table().end(), [id](const Profile& one) { return one.id == id; });
}

}  // namespace sallyport::config
