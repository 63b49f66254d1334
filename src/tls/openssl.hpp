// Owning pointers for OpenSSL's objects, and its error queue in words. Private to tls.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "sallyport/tls/policy.hpp"

namespace sallyport::tls {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free>>;
using SslPtr = std::unique_ptr<SSL, Freer<SSL_free>>;
using SslCtxPtr = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, Freer<X509_free>>;
using CrlPtr = std::unique_ptr<X509_CRL, Freer<X509_CRL_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using DigestCtxPtr = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;

// The last error of this thread's queue in OpenSSL's words; empties the queue.
[[nodiscard]] std::string take_openssl_error();

// SHA-256 over pieces, each with its length before it, so that no two lists of pieces collide.
class Hasher {
 public:
  Hasher();
  Hasher& add(std::string_view piece);
  Hasher& add(std::span<const std::uint8_t> piece) {
    return add(std::string_view(reinterpret_cast<const char*>(piece.data()), piece.size()));
  }
  Hasher& add(std::uint64_t number);
  [[nodiscard]] Digest finish();

 private:
  DigestCtxPtr context_;
};

[[nodiscard]] std::string hex(std::span<const std::uint8_t> bytes);

// "CN=example.com,O=Example" (RFC 2253).
[[nodiscard]] std::string name_text(const X509_NAME* name);

[[nodiscard]] inline std::string_view bytes_of(const ASN1_STRING* string) noexcept {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

[[nodiscard]] constexpr int version_number(Version version) noexcept {
  return version == Version::tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

// A read-only BIO over bytes that outlive it.
[[nodiscard]] BioPtr memory_bio(std::string_view bytes);

// A PEM file of CA certificates into a store; the number taken, 0 if there is none or one is broken.
[[nodiscard]] int add_trusted(X509_STORE* store, std::string_view pem);

}  // namespace sallyport::tls
