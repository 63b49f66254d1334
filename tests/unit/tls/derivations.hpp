// OpenSSL's key derivation functions by name and property query, for the tests of our own ones.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/kdf.h>
#include <openssl/provider.h>

#include "provider.hpp"

namespace tls_test {

using Octets = std::vector<std::uint8_t>;

inline Octets from_hex(std::string_view text) {
  Octets octets;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    octets.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return octets;
}

inline std::string in_hex(std::span<const std::uint8_t> octets) {
  std::string text;
  for (const std::uint8_t octet : octets) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", octet);
    text += digits;
  }
  return text;
}

struct KdfFreer {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};
using Kdf = std::unique_ptr<EVP_KDF, KdfFreer>;
using KdfContext = std::unique_ptr<EVP_KDF_CTX, KdfFreer>;

constexpr const char* kOpenssl = "provider=default";
inline const char* our_query() {
  const char* query = sallyport::tls::key_schedule_properties();
  if (query == nullptr) throw std::runtime_error("our provider is not registered");
  return query;
}

inline KdfContext context_of(const char* name, const char* query) {
  const Kdf kdf(EVP_KDF_fetch(nullptr, name, query));
  if (!kdf) return nullptr;
  return KdfContext(EVP_KDF_CTX_new(kdf.get()));
}

inline std::string provider_of(const char* name, const char* query) {
  const Kdf kdf(EVP_KDF_fetch(nullptr, name, query));
  return kdf ? OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf.get())) : "none";
}

}  // namespace tls_test
