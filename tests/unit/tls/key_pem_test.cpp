// Private keys in each form that files have: the quick way and the long one agree.
#include "key_pem.hpp"

#include <string>

#include <openssl/pem.h>

#include "catch.hpp"
#include "certificates.hpp"

using namespace sallyport::tls;

namespace {

KeyPtr ecdsa() {
  return KeyPtr(EVP_EC_gen("P-256"));
}
KeyPtr rsa() {
  return KeyPtr(EVP_RSA_gen(1024));
}

template <class Write>
std::string text(Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  REQUIRE(write(bio.get()) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pkcs8(EVP_PKEY* key) {
  return text(
      [&](BIO* bio) { return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

// "EC PRIVATE KEY", "RSA PRIVATE KEY".
std::string traditional(EVP_PKEY* key) {
  return text([&](BIO* bio) {
    return PEM_write_bio_PrivateKey_traditional(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

bool reads(const std::string& pem, const EVP_PKEY* key) {
  bool encrypted = false;
  const KeyPtr read = read_private_key(pem, encrypted);
  return read != nullptr && EVP_PKEY_eq(read.get(), key) == 1 && !encrypted && ERR_peek_error() == 0;
}

}  // namespace

TEST_CASE("a key is read in any form, one after the other") {
  const KeyPtr one = ecdsa();
  const KeyPtr two = rsa();
  const KeyPtr three(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  for (int turn = 0; turn < 2; ++turn) {
    CHECK(reads(pkcs8(one.get()), one.get()));
    CHECK(reads(traditional(one.get()), one.get()));
    CHECK(reads(pkcs8(two.get()), two.get()));
    CHECK(reads(traditional(two.get()), two.get()));
    CHECK(reads(pkcs8(three.get()), three.get()));
  }
}

TEST_CASE("what stands around a key is passed over") {
  const KeyPtr key = ecdsa();
  const tls_test::Identity other = tls_test::make_authority("Test root");
  const std::string parameters =
      "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
  const std::string chain = other.pem();
  for (const std::string& pem : {pkcs8(key.get()), traditional(key.get())}) {
    CHECK(reads(parameters + pem, key.get()));
    CHECK(reads(chain + pem, key.get()));
    CHECK(reads(pem + chain, key.get()));
    CHECK(reads("Bag Attributes: made by hand\n\n" + pem + pkcs8(rsa().get()), key.get()));
  }
}

TEST_CASE("an encrypted key is told from a damaged one, and the next is read") {
  const KeyPtr key = ecdsa();
  std::string secret = "secret";
  const auto* password = reinterpret_cast<unsigned char*>(secret.data());
  const std::string pkcs8_locked = text([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), EVP_aes_128_cbc(), password, 6, nullptr, nullptr);
  });
  const std::string traditional_locked = text([&](BIO* bio) {
    return PEM_write_bio_PrivateKey_traditional(bio, key.get(), EVP_aes_128_cbc(), password, 6, nullptr,
                                                nullptr);
  });
  for (const std::string& pem : {pkcs8_locked, traditional_locked}) {
    bool encrypted = false;
    CHECK(read_private_key(pem, encrypted) == nullptr);
    CHECK(encrypted);
    ERR_clear_error();
  }
  const std::string whole = pkcs8(key.get());
  for (const std::string& pem : {std::string(), std::string("no key"), whole.substr(0, whole.size() / 2),
                                 whole.substr(0, 40) + "AAAA" + whole.substr(44)}) {
    bool encrypted = false;
    CHECK(read_private_key(pem, encrypted) == nullptr);
    CHECK(!encrypted);
    CHECK(ERR_peek_error() != 0);
    ERR_clear_error();
  }
  CHECK(reads(whole, key.get()));
}
