// Our provider in OpenSSL: who asks by its query gets our key schedules and all else as before, nobody
// else gets them, and what OpenSSL's configuration demands or prefers stays in force.
#include "provider.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "catch.hpp"
#include "derivations.hpp"

using namespace sallyport::tls;
using namespace tls_test;

TEST_CASE("provider: whoever asks for it gets it, and nobody else", "[tls][provider]") {
  REQUIRE(our_query() == key_schedule_properties());
  for (const char* name : {"TLS13-KDF", "TLS1-PRF"}) {
    CAPTURE(name);
    CHECK(provider_of(name, our_query()) == "sallyport");
    CHECK(provider_of(name, nullptr) == "default");
    CHECK(provider_of(name, kOpenssl) == "default");
  }
  CHECK(OSSL_PROVIDER_available(nullptr, "default") == 1);
  // What ours does not have comes from where it always came from.
  CHECK(provider_of("HKDF", our_query()) == "default");
  EVP_MD* digest = EVP_MD_fetch(nullptr, "SHA2-512", our_query());
  REQUIRE(digest != nullptr);
  CHECK(std::string(OSSL_PROVIDER_get0_name(EVP_MD_get0_provider(digest))) == "default");
  EVP_MD_free(digest);
}

TEST_CASE("provider: what OpenSSL's configuration prefers stays in force", "[tls][provider]") {
  for (const char* name : {"TLS13-KDF", "TLS1-PRF"}) {
    CAPTURE(name);
    REQUIRE(EVP_set_default_properties(nullptr, "provider=default") == 1);
    CHECK(provider_of(name, our_query()) == "default");
    REQUIRE(EVP_set_default_properties(nullptr, "fips=yes") == 1);
    CHECK(provider_of(name, our_query()) == "none");
    // Were ours about "provider" too, this one would be lost for all that libssl asks for.
    REQUIRE(EVP_set_default_properties(nullptr, "provider!=default") == 1);
    EVP_MD* digest = EVP_MD_fetch(nullptr, "SHA2-512", our_query());
    CHECK(digest == nullptr);
    EVP_MD_free(digest);
    CHECK(provider_of(name, our_query()) == "sallyport");
    REQUIRE(EVP_set_default_properties(nullptr, "?provider=tpm2") == 1);
    CHECK(provider_of(name, our_query()) == "sallyport");
    REQUIRE(EVP_set_default_properties(nullptr, "") == 1);
    CHECK(provider_of(name, our_query()) == "sallyport");
  }
  ERR_clear_error();
}
