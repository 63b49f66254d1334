// Throw-away CAs and certificates, made in memory for the tests of this room.
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "sallyport/tls/certificate.hpp"

#include "catch.hpp"

namespace tls_test {

struct FreeAll {
  void operator()(X509* p) const { X509_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(SSL_SESSION* p) const { SSL_SESSION_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, FreeAll>;

inline std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

struct Identity {
  Owned<X509> certificate;
  Owned<EVP_PKEY> key;

  [[nodiscard]] std::string pem() const {
    const Owned<BIO> bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), certificate.get());
    return text_of(bio.get());
  }
  [[nodiscard]] std::string key_pem(const char* passphrase = nullptr) const {
    const Owned<BIO> bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), passphrase == nullptr ? nullptr : EVP_aes_128_cbc(),
                                  nullptr, 0, nullptr, const_cast<char*>(passphrase));
    return text_of(bio.get());
  }
};

struct Wanted {
  std::string name = "test";
  std::string san;  // "DNS:example.com,IP:127.0.0.1"
  bool rsa = false;
  bool authority = false;
  long from = -3600;
  long until = 86400;
  unsigned int rsa_bits = 2048;
  const char* curve = "P-256";
  const EVP_MD* digest = EVP_sha256();
  EVP_PKEY* key = nullptr;  // of another identity, to certify the same key once more; a new one if null
  std::vector<std::pair<int, std::string>> extensions;  // NID and value
};

inline void add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  REQUIRE(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

inline Identity issue(const Wanted& wanted, const Identity* issuer = nullptr) {
  Identity made;
  if (wanted.key != nullptr) EVP_PKEY_up_ref(wanted.key);
  made.key.reset(wanted.key != nullptr ? wanted.key
                 : wanted.rsa          ? EVP_RSA_gen(wanted.rsa_bits)
                                       : EVP_EC_gen(wanted.curve));
  made.certificate.reset(X509_new());
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, 2);
  static long serial = 0x1000;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), wanted.from);
  X509_gmtime_adj(X509_getm_notAfter(certificate), wanted.until);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(wanted.name.c_str()), -1, -1, 0);
  X509* issuer_certificate = issuer == nullptr ? certificate : issuer->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer_certificate));
  add_extension(certificate, issuer_certificate, NID_basic_constraints,
                wanted.authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (!wanted.san.empty()) {
    add_extension(certificate, issuer_certificate, NID_subject_alt_name, wanted.san.c_str());
  }
  for (const auto& [nid, value] : wanted.extensions) {
    add_extension(certificate, issuer_certificate, nid, value.c_str());
  }
  REQUIRE(X509_sign(certificate, issuer == nullptr ? made.key.get() : issuer->key.get(), wanted.digest) != 0);
  return made;
}

inline Identity make_authority(const std::string& name = "Test CA") {
  Wanted wanted;
  wanted.name = name;
  wanted.authority = true;
  return issue(wanted);
}

inline Identity make_intermediate(const Identity& issuer, const std::string& name = "Test CA") {
  Wanted wanted;
  wanted.name = name;
  wanted.authority = true;
  return issue(wanted, &issuer);
}

// As loaded: leaf, then its issuer (which is left out if it is a root).
inline std::shared_ptr<const sallyport::tls::Certificate> loaded(const Identity& leaf,
                                                                 const Identity* issuer = nullptr,
                                                                 const std::string& label = "") {
  sallyport::tls::Notes notes;
  auto certificate = sallyport::tls::Certificate::parse(leaf.pem() + (issuer == nullptr ? "" : issuer->pem()),
                                                        leaf.key_pem(), {"chain.pem", "key.pem", label},
                                                        sallyport::base::WallClock::now(), notes);
  REQUIRE(certificate != nullptr);
  return certificate;
}

struct List {
  std::vector<const Identity*> revoked{};
  long from = -3600;
  long until = 86400;
  std::size_t others = 0;                                 // entries of nobody
  std::vector<std::pair<int, std::string>> extensions{};  // NID and value
  bool delta = false;
  const Identity* signer = nullptr;  // another than the issuer
};

// A revocation list, in DER.
inline std::string revocation_list(const Identity& issuer, const List& wanted = {}) {
  X509_CRL* list = X509_CRL_new();
  X509_CRL_set_version(list, 1);
  X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer.certificate.get()));
  ASN1_TIME* time = ASN1_TIME_new();
  X509_CRL_set1_lastUpdate(list, X509_gmtime_adj(time, wanted.from));
  X509_CRL_set1_nextUpdate(list, X509_gmtime_adj(time, wanted.until));
  const auto add = [&](const ASN1_INTEGER* serial) {
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, const_cast<ASN1_INTEGER*>(serial));
    X509_REVOKED_set_revocationDate(entry, time);
    X509_CRL_add0_revoked(list, entry);
  };
  ASN1_INTEGER* number = ASN1_INTEGER_new();
  for (std::size_t i = 0; i < wanted.others; ++i) {
    ASN1_INTEGER_set_uint64(number, 0x5000'0000'0000'0000 + (i * 7919) % wanted.others);
    add(number);
  }
  ASN1_INTEGER_free(number);
  for (const Identity* one : wanted.revoked) add(X509_get0_serialNumber(one->certificate.get()));
  if (wanted.delta)
    X509_CRL_add1_ext_i2d(list, NID_delta_crl,
                          const_cast<ASN1_INTEGER*>(X509_get0_serialNumber(issuer.certificate.get())), 1, 0);
  for (const auto& [nid, value] : wanted.extensions) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer.certificate.get(), nullptr, nullptr, list, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    REQUIRE(extension != nullptr);
    X509_CRL_add_ext(list, extension, -1);
    X509_EXTENSION_free(extension);
  }
  REQUIRE(X509_CRL_sign(list, (wanted.signer == nullptr ? issuer : *wanted.signer).key.get(), EVP_sha256()) !=
          0);
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(list, &der);
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  ASN1_TIME_free(time);
  X509_CRL_free(list);
  return bytes;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    unsigned char random[8];
    RAND_bytes(random, sizeof random);
    char name[32];
    std::snprintf(name, sizeof name, "sallyport-%02x%02x%02x%02x%02x", random[0], random[1], random[2],
                  random[3], random[4]);
    path_ = std::filesystem::temp_directory_path() / name;
    std::filesystem::create_directory(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return (path_ / name).string();
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string first_text(const sallyport::tls::Notes& notes) {
  return notes.items().empty() ? std::string()
                               : notes.items().front().where + ": " + notes.items().front().text;
}

}  // namespace tls_test
