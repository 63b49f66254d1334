// The PRF of TLS 1.2 (RFC 5246 §5), from which come its master secret, extended (RFC 7627) or not, key
// block, Finished messages and exporters: what OpenSSL's "TLS1-PRF" computes, without the look-ups.
// P_SHA256 and P_SHA384 alone: that of TLS 1.0 and 1.1, which are not spoken, is refused.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kdf.hpp"

namespace sallyport::tls {

namespace {

using hkdf::Bytes;

// P_hash.
template <class Hash>
void prf_expand(Bytes secret, Bytes seed, std::span<std::uint8_t> out) noexcept {
  const hkdf::Hmac<Hash> key(secret);
  hkdf::Secret<Hash> chain;  // A(i)
  hkdf::Secret<Hash> block;
  key.sign(chain.octets.data(), seed);
  for (;;) {
    key.sign(block.octets.data(), chain.octets, seed);
    const std::size_t n = std::min(out.size(), Hash::kSize);
    std::memcpy(out.data(), block.octets.data(), n);
    out = out.subspan(n);
    if (out.empty()) return;
    key.sign(chain.octets.data(), chain.octets);
  }
}

// One EVP_KDF_CTX. libssl gives all with the call that derives, the seed in up to five pieces.
class Prf {
 public:
  void clear() noexcept;
  [[nodiscard]] bool copy(const Prf& other) noexcept;
  [[nodiscard]] bool set(const OSSL_PARAM* params) noexcept;
  [[nodiscard]] bool derive(std::span<std::uint8_t> out) const noexcept;
  [[nodiscard]] std::size_t output_size() const noexcept { return SIZE_MAX; }
  [[nodiscard]] static const OSSL_PARAM* settable() noexcept;

 private:
  [[nodiscard]] bool set_one(const OSSL_PARAM& param) noexcept;
  [[nodiscard]] bool add_seed(const OSSL_PARAM& param) noexcept;

  kdf::Digest digest_;
  kdf::Octets<66> secret_;  // P-521's shared secret is the longest of the usual ones
  kdf::Octets<80> seed_;    // label and both randoms are 77, label and hash 70
};

void Prf::clear() noexcept {
  digest_.clear();
  secret_.clear();
  seed_.clear();
}

bool Prf::copy(const Prf& other) noexcept {
  digest_ = other.digest_;
  return secret_.copy(other.secret_) && seed_.copy(other.seed_);
}

// Pieces of the seed are put together, those of an earlier call included.
bool Prf::add_seed(const OSSL_PARAM& param) noexcept {
  if (param.data == nullptr || param.data_size == 0) return true;  // libssl's way of not giving one
  if (param.data_type != OSSL_PARAM_OCTET_STRING) return false;
  return seed_.append({static_cast<const std::uint8_t*>(param.data), param.data_size});
}

bool Prf::set_one(const OSSL_PARAM& param) noexcept {
  const std::string_view name = param.key;
  if (name == OSSL_KDF_PARAM_SEED) return add_seed(param);
  if (name == OSSL_KDF_PARAM_SECRET) return secret_.assign(param);
  if (name == OSSL_KDF_PARAM_DIGEST) return digest_.assign(param);
  return true;  // "properties" say where the digest is to come from, and we have our own
}

bool Prf::set(const OSSL_PARAM* params) noexcept {
  if (params == nullptr) return true;
  for (; params->key != nullptr; ++params) {
    if (!set_one(*params)) return false;
  }
  return true;
}

bool Prf::derive(std::span<std::uint8_t> out) const noexcept {
  if (digest_.size() == 0) return kdf::refuse(PROV_R_MISSING_MESSAGE_DIGEST);
  if (!secret_.given()) return kdf::refuse(PROV_R_MISSING_SECRET);
  if (!seed_.given()) return kdf::refuse(PROV_R_MISSING_SEED);
  if (out.empty()) return kdf::refuse(PROV_R_INVALID_KEY_LENGTH);
  const bool narrow = digest_.size() == hkdf::Sha256::kSize;
  (narrow ? prf_expand<hkdf::Sha256> : prf_expand<hkdf::Sha384>)(secret_.view(), seed_.view(), out);
  return true;
}

const OSSL_PARAM* Prf::settable() noexcept {
  static const OSSL_PARAM kKnown[] = {
      OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_PROPERTIES, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, nullptr, 0),
      OSSL_PARAM_END,
  };
  return kKnown;
}

}  // namespace

const OSSL_DISPATCH* kdf::tls1_prf() noexcept {
  return Functions<Prf>::table();
}

}  // namespace sallyport::tls
