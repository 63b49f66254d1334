#include "certificate_text.hpp"

#include <algorithm>
#include <ctime>

#include "sallyport/tls/chain.hpp"
#include "sallyport/tls/ocsp.hpp"

#include "certificate_names.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

// OpenSSL caches what it parsed of the extensions within the certificate, so it takes no const one.
X509* unconst(const X509* certificate) {
  return const_cast<X509*>(certificate);
}

std::string digest_text(const X509* certificate) {
  Digest digest{};
  unsigned int size = 0;
  X509_digest(certificate, EVP_sha256(), digest.data(), &size);
  return hex(digest);
}

// SHA-256 of the SubjectPublicKeyInfo, as pins are written (RFC 7469 §2.4).
std::string spki_text(const X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};
  Digest digest{};
  unsigned int digest_size = 0;
  EVP_Digest(der, static_cast<std::size_t>(size), digest.data(), &digest_size, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  return hex(digest);
}

std::string curve_text(const EVP_PKEY* key) {
  char name[64] = "";
  std::size_t size = 0;
  EVP_PKEY_get_group_name(key, name, sizeof name, &size);
  const int nid = OBJ_txt2nid(name);
  const char* nist = EC_curve_nid2nist(nid);
  return nist != nullptr ? nist : name;
}

// The URLs of one kind in the authority information access (RFC 5280 §4.2.2.1).
std::vector<std::string> access_urls(const X509* certificate, int method) {
  auto* access = static_cast<AUTHORITY_INFO_ACCESS*>(
      X509_get_ext_d2i(unconst(certificate), NID_info_access, nullptr, nullptr));
  std::vector<std::string> urls;
  for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(access); ++i) {
    const ACCESS_DESCRIPTION* item = sk_ACCESS_DESCRIPTION_value(access, i);
    if (OBJ_obj2nid(item->method) != method || item->location->type != GEN_URI) continue;
    const ASN1_STRING* text = item->location->d.uniformResourceIdentifier;
    const std::string url(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                          static_cast<std::size_t>(ASN1_STRING_length(text)));
    // It is going to be printed: no control characters, and of a length that somebody can read.
    const bool printable = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (printable && url.size() <= 1024) urls.push_back(url);
  }
  AUTHORITY_INFO_ACCESS_free(access);
  ERR_clear_error();
  return urls;
}

}  // namespace

base::WallTime wall_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return base::WallClock::from_time_t(::timegm(&parts));
}

std::string date_text(base::WallTime time) {
  const std::time_t seconds = base::WallClock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

std::string serial_text(const X509* certificate) {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
  if (number == nullptr) return {};
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, bytes.data());
  BN_free(number);
  return hex(bytes);
}

std::string subject_text(const X509* certificate) {
  return name_text(X509_get_subject_name(certificate));
}

std::string issuer_text(const X509* certificate) {
  return name_text(X509_get_issuer_name(certificate));
}

std::string key_text(const X509* certificate) {
  const EVP_PKEY* key = X509_get0_pubkey(certificate);
  if (key == nullptr) return "unknown";
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return "RSA " + std::to_string(EVP_PKEY_get_bits(key));
    case EVP_PKEY_RSA_PSS:
      return "RSA-PSS " + std::to_string(EVP_PKEY_get_bits(key));
    case EVP_PKEY_EC:
      return "EC " + curve_text(key);
    case EVP_PKEY_ED25519:
      return "Ed25519";
    case EVP_PKEY_ED448:
      return "Ed448";
    default:
      break;
  }
  const char* name = EVP_PKEY_get0_type_name(key);
  return (name != nullptr ? name : "unknown") + (" " + std::to_string(EVP_PKEY_get_bits(key)));
}

std::string issuer_url_text(const X509* certificate) {
  const auto urls = access_urls(certificate, NID_ad_ca_issuers);
  return urls.empty() ? std::string() : urls.front();
}

std::string responder_url_text(const X509* certificate) {
  const auto urls = access_urls(certificate, NID_ad_OCSP);
  const auto http = [](const std::string& url) { return parse_responder_url(url).has_value(); };
  const auto found = std::find_if(urls.begin(), urls.end(), http);
  return found == urls.end() ? std::string() : *found;
}

bool asks_for_staple(const X509* certificate) {
  auto* features =
      static_cast<TLS_FEATURE*>(X509_get_ext_d2i(unconst(certificate), NID_tlsfeature, nullptr, nullptr));
  bool found = false;
  for (int i = 0; i < sk_ASN1_INTEGER_num(features); ++i) {
    found = found || ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == TLSEXT_TYPE_status_request;
  }
  sk_ASN1_INTEGER_pop_free(features, ASN1_INTEGER_free);
  ERR_clear_error();
  return found;
}

bool is_self_signed(const X509* certificate) {
  return (X509_get_extension_flags(unconst(certificate)) & EXFLAG_SS) != 0;
}

CertificateDetails describe(const x509_st* certificate) {
  CertificateDetails details;
  details.subject = subject_text(certificate);
  details.issuer = issuer_text(certificate);
  details.serial = serial_text(certificate);
  std::vector<std::string> addresses;
  read_names(unconst(certificate), details.names, addresses);
  details.names.insert(details.names.end(), addresses.begin(), addresses.end());
  details.not_before = wall_time(X509_get0_notBefore(certificate));
  details.not_after = wall_time(X509_get0_notAfter(certificate));
  details.key = key_text(certificate);
  const char* signature = OBJ_nid2ln(X509_get_signature_nid(certificate));
  details.signature = signature != nullptr ? signature : "unknown";
  details.sha256 = digest_text(certificate);
  details.spki_sha256 = spki_text(certificate);
  details.issuer_url = issuer_url_text(certificate);
  details.self_signed = is_self_signed(certificate);
  details.authority = X509_check_ca(unconst(certificate)) > 0;
  ERR_clear_error();
  return details;
}

}  // namespace sallyport::tls
