#include "sallyport/tls/cloudflare.hpp"

#include <algorithm>

#include "sallyport/config/cloudflare.hpp"
#include "sallyport/tls/hello.hpp"

#include "openssl.hpp"
#include "probe_hello.hpp"
#include "suites.hpp"
#include "wire.hpp"

namespace sallyport::tls {

namespace {

namespace cloudflare = config::cloudflare;

template <std::size_t N>
bool is_listed(const std::array<std::uint16_t, N>& list, std::uint16_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

bool can_sign(const Certificate& certificate, Version version) {
  const auto schemes = signature_schemes(certificate, version);
  return std::any_of(schemes.begin(), schemes.end(),
                     [](std::uint16_t scheme) { return is_listed(cloudflare::kSignatures, scheme); });
}

bool contains_without_case(std::string_view text, std::string_view part) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::search(text.begin(), text.end(), part.begin(), part.end(),
                     [&](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

CertificateRef reference(x509_st* certificate) {
  X509_up_ref(certificate);
  return {certificate, &X509_free};
}

}  // namespace

CloudflareOverlap meet_cloudflare(const Policy& policy,
                                  std::span<const std::shared_ptr<const Certificate>> certificates) {
  CloudflareOverlap overlap;
  const auto served = [&](SuiteAuth auth) {
    return std::any_of(certificates.begin(), certificates.end(), [&](const auto& certificate) {
      return auth_of(*certificate) == auth && can_sign(*certificate, Version::tls12);
    });
  };
  if (policy.allows(Version::tls12)) {
    for (const std::uint16_t suite : policy.ciphers) {
      if (!is_listed(cloudflare::kSuites12, suite)) continue;
      (served(suite_auth(suite)) ? overlap.suites12 : overlap.unkeyed12).emplace_back(suite_name(suite));
    }
  }
  const bool signs = std::any_of(certificates.begin(), certificates.end(), [](const auto& certificate) {
    return can_sign(*certificate, Version::tls13);
  });
  if (policy.allows(Version::tls13) && signs) {
    for (const std::uint16_t suite : policy.cipher_suites) {
      if (is_listed(cloudflare::kSuites13, suite)) overlap.suites13.emplace_back(suite_name(suite));
    }
  }
  for (const std::uint16_t group : policy.groups) {
    if (!is_listed(cloudflare::kGroups, group)) continue;
    overlap.groups.emplace_back(find_group(group)->name);
    overlap.post_quantum = overlap.post_quantum || group == cloudflare::kPostQuantumGroup;
    overlap.no_retry = overlap.no_retry || group == cloudflare::kKeyShareGroup;
  }
  return overlap;
}

std::optional<std::size_t> cloudflare_rule(const Policy& policy, const std::string& sni,
                                           const net::IpAddress& from) {
  if (policy.rules.empty()) return std::nullopt;
  HelloOffer offer = cloudflare_offer();
  offer.sni = sni;
  HelloReader reader;
  if (reader.feed(hello_records(hello_message(offer))) != HelloReader::State::complete) return std::nullopt;
  return policy.rules.match(reader.hello(), from);
}

bool cloudflare_takes(const Certificate& certificate) {
  return can_sign(certificate, Version::tls13);
}

bool is_from_origin_ca(const Certificate& certificate) {
  const std::string& issuer = certificate.issuer();
  return contains_without_case(issuer, "CloudFlare") &&
         (contains_without_case(issuer, cloudflare::kOriginCaRsa) ||
          contains_without_case(issuer, cloudflare::kOriginCaEcc));
}

ChainReport judge_sent(const Certificate& certificate, const CertificateSet* roots, base::WallTime at) {
  std::vector<CertificateRef> sent{reference(certificate.leaf())};
  for (int i = 0; i < sk_X509_num(certificate.intermediates()); ++i) {
    sent.push_back(reference(sk_X509_value(certificate.intermediates(), i)));
  }
  const auto given = CertificateSet::of(std::move(sent), certificate.chain_file());
  ChainRequest request;
  request.given = given.get();
  request.roots = roots;
  request.leaf = 0;
  request.at = at;
  return examine_chain(request);
}

}  // namespace sallyport::tls
