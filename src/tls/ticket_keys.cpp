#include "sallyport/tls/ticket_keys.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

namespace sallyport::tls {

namespace {

constexpr std::size_t kNameSize = 16;
constexpr std::size_t kIvSize = 16;

struct Key {
  std::array<unsigned char, kNameSize> name{};
  std::array<unsigned char, 32> cipher{};
  std::array<unsigned char, 32> mac{};
  base::WallTime made{};
  base::WallTime retired{};  // when the next one took over

  ~Key() {
    OPENSSL_cleanse(cipher.data(), cipher.size());
    OPENSSL_cleanse(mac.data(), mac.size());
  }
  Key() = default;
  Key(const Key&) = default;
  Key& operator=(const Key&) = default;
};

// RFC 5077 §4's recommended construction: AES-CBC, then HMAC-SHA-256 over it. OpenSSL does the
// order and the comparison; the algorithm is fetched once, since a fetch takes a lock.
EVP_CIPHER* ticket_cipher() {
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  return cipher;
}

bool set_up(const Key& key, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, bool seal) {
  char digest[] = "SHA256";
  std::array<unsigned char, 32> mac_key = key.mac;
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key.data(), mac_key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  const bool done =
      EVP_MAC_CTX_set_params(mac, params) == 1 &&
      EVP_CipherInit_ex2(cipher, ticket_cipher(), key.cipher.data(), iv, seal ? 1 : 0, nullptr) == 1;
  OPENSSL_cleanse(mac_key.data(), mac_key.size());
  return done;
}

}  // namespace

struct TicketKeys::KeySet {
  std::vector<Key> keys;  // the first seals
};

TicketKeys::TicketKeys(Options options, base::WallTime now) : options_(options) {
  rotate(now);
  rotations_ = 0;  // the first key is no rotation
}

TicketKeys::~TicketKeys() = default;

std::shared_ptr<const TicketKeys::KeySet> TicketKeys::current() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

void TicketKeys::rotate(base::WallTime now) {
  Key fresh;
  fresh.made = now;
  if (RAND_bytes(fresh.name.data(), static_cast<int>(fresh.name.size())) != 1 ||
      RAND_priv_bytes(fresh.cipher.data(), static_cast<int>(fresh.cipher.size())) != 1 ||
      RAND_priv_bytes(fresh.mac.data(), static_cast<int>(fresh.mac.size())) != 1) {
    // Without randomness no handshake is safe either; at start-up this ends the start, later the
    // old keys stay.
    if (current() == nullptr) throw std::runtime_error("no randomness for the session ticket keys");
    return;
  }
  auto next = std::make_shared<KeySet>();
  next->keys.push_back(fresh);
  const std::lock_guard lock(mutex_);
  if (keys_) {
    for (const Key& old : keys_->keys) {
      next->keys.push_back(old);
      if (next->keys.back().retired == base::WallTime{}) next->keys.back().retired = now;
    }
  }
  std::erase_if(next->keys, [&](const Key& key) {
    return key.retired != base::WallTime{} && now - key.retired >= options_.lifetime;
  });
  keys_ = std::move(next);
  ++rotations_;
}

bool TicketKeys::rotate_if_due(base::WallTime now) {
  const std::shared_ptr<const KeySet> keys = current();
  if (now - keys->keys.front().made >= options_.rotate_every) {
    rotate(now);
    return true;
  }
  const auto past = [&](const Key& key) {
    return key.retired != base::WallTime{} && now - key.retired >= options_.lifetime;
  };
  if (std::any_of(keys->keys.begin(), keys->keys.end(), past)) {
    auto fewer = std::make_shared<KeySet>(*keys);
    std::erase_if(fewer->keys, past);
    const std::lock_guard lock(mutex_);
    keys_ = std::move(fewer);
  }
  return false;
}

std::uint64_t TicketKeys::rotations() const {
  const std::lock_guard lock(mutex_);
  return rotations_;
}

std::size_t TicketKeys::count() const {
  return current()->keys.size();
}

int TicketKeys::seal_or_open(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                             bool seal) const {
  const std::shared_ptr<const KeySet> set = current();
  const std::vector<Key>& keys = set->keys;
  if (seal) {
    if (RAND_bytes(iv, kIvSize) != 1) return -1;
    std::memcpy(name, keys.front().name.data(), kNameSize);
    return set_up(keys.front(), iv, cipher, mac, true) ? 1 : -1;
  }
  for (const Key& key : keys) {
    if (CRYPTO_memcmp(name, key.name.data(), kNameSize) != 0) continue;
    if (!set_up(key, iv, cipher, mac, false)) return -1;
    return &key == &keys.front() ? 1 : 2;
  }
  return 0;
}

}  // namespace sallyport::tls
