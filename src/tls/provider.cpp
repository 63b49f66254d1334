#include "provider.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>

#include "kdf.hpp"

namespace sallyport::tls {

namespace {

constexpr const char* kProviderName = "sallyport";
// A query replaces what OpenSSL's configuration says of the same property, such as "?provider=tpm2",
// and is hashed at each fetch: ours names another one, and is short. OpenSSL 3.0 knows six.
constexpr const char* kDefinition = "provider=sallyport,version=sp";
constexpr const char* kQuery = "?version=sp";
constexpr std::array<const char*, 2> kKdfNames = {OSSL_KDF_NAME_TLS1_3_KDF, OSSL_KDF_NAME_TLS1_PRF};

const OSSL_ALGORITHM* provider_query(void*, int operation, int* no_cache) noexcept {
  static const OSSL_ALGORITHM kAlgorithms[] = {
      {kKdfNames[0], kDefinition, kdf::tls13_kdf(), "the key schedule of TLS 1.3"},
      {kKdfNames[1], kDefinition, kdf::tls1_prf(), "the PRF of TLS 1.2"},
      {nullptr, nullptr, nullptr, nullptr},
  };
  *no_cache = 0;
  return operation == OSSL_OP_KDF ? kAlgorithms : nullptr;
}

int provider_start(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out,
                   void**) noexcept {
  static const OSSL_DISPATCH kProvider[] = {
      kdf::entry(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
      {0, nullptr},
  };
  *out = kProvider;
  return 1;
}

// Whether the provider that fetches by this query lead to, of all that is ours, has this name.
bool all_come_from(const char* query, std::string_view name) noexcept {
  return std::all_of(kKdfNames.begin(), kKdfNames.end(), [&](const char* wanted) {
    EVP_KDF* kdf = EVP_KDF_fetch(nullptr, wanted, query);
    if (kdf == nullptr) return false;
    const bool same = OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)) == name;
    EVP_KDF_free(kdf);
    return same;
  });
}

// Stands in for OpenSSL's own implementations alone. Another one is there by an operator's will, as
// is a default query that ours does not answer. The fallback to the default provider is retained.
OSSL_PROVIDER* register_provider() noexcept {
  if (!all_come_from(nullptr, "default") ||
      OSSL_PROVIDER_add_builtin(nullptr, kProviderName, provider_start) != 1) {
    return nullptr;
  }
  OSSL_PROVIDER* made = OSSL_PROVIDER_try_load(nullptr, kProviderName, 1);
  if (made == nullptr || all_come_from(kQuery, kProviderName)) return made;
  OSSL_PROVIDER_unload(made);
  return nullptr;
}

}  // namespace

const char* key_schedule_properties() noexcept {
  static OSSL_PROVIDER* const registered = [] {
    ERR_set_mark();
    OSSL_PROVIDER* made = register_provider();
    ERR_pop_to_mark();
    return made;
  }();
  return registered == nullptr ? nullptr : kQuery;
}

}  // namespace sallyport::tls
