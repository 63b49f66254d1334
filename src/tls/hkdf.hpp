// HMAC (RFC 2104), HKDF-Expand (RFC 5869 §2.3) and struct HkdfLabel (RFC 8446 §7.1) over SHA-256 and
// SHA-384, as plain values: no heap, no look-up, nothing that can fail for want of memory. All that
// held a secret is cleansed. Private to tls.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <openssl/crypto.h>
#include <openssl/sha.h>

namespace sallyport::tls::hkdf {

using Bytes = std::span<const std::uint8_t>;

// SHA-2 by OpenSSL's old functions: with EVP each HMAC costs 1,300 instructions more (two contexts
// from the heap), and the state after a key cannot be kept as a plain value.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
struct Sha256 {
  static constexpr std::size_t kSize = SHA256_DIGEST_LENGTH;
  static constexpr std::size_t kBlock = SHA256_CBLOCK;
  SHA256_CTX state;
  Sha256() noexcept { SHA256_Init(&state); }
  void update(Bytes bytes) noexcept { SHA256_Update(&state, bytes.data(), bytes.size()); }
  void finish(std::uint8_t* out) noexcept { SHA256_Final(out, &state); }
};
struct Sha384 {
  static constexpr std::size_t kSize = SHA384_DIGEST_LENGTH;
  static constexpr std::size_t kBlock = SHA512_CBLOCK;
  SHA512_CTX state;
  Sha384() noexcept { SHA384_Init(&state); }
  void update(Bytes bytes) noexcept { SHA384_Update(&state, bytes.data(), bytes.size()); }
  void finish(std::uint8_t* out) noexcept { SHA384_Final(out, &state); }
};
#pragma GCC diagnostic pop

// A value of the hash's size that is overwritten when it dies.
template <class Hash>
struct Secret {
  std::array<std::uint8_t, Hash::kSize> octets;
  ~Secret() { OPENSSL_cleanse(octets.data(), octets.size()); }
};

// HMAC (RFC 2104) with its key already hashed.
template <class Hash>
class Hmac {
 public:
  explicit Hmac(Bytes key) noexcept {
    std::array<std::uint8_t, Hash::kBlock> pad{};
    if (key.size() > pad.size()) {
      Hash hash;
      hash.update(key);
      hash.finish(pad.data());
      OPENSSL_cleanse(&hash, sizeof hash);
    } else {
      std::copy(key.begin(), key.end(), pad.begin());
    }
    for (std::uint8_t& octet : pad) octet ^= 0x36;
    inner_.update(pad);
    for (std::uint8_t& octet : pad) octet ^= 0x36 ^ 0x5c;
    outer_.update(pad);
    OPENSSL_cleanse(pad.data(), pad.size());
  }
  ~Hmac() {
    OPENSSL_cleanse(&inner_, sizeof inner_);
    OPENSSL_cleanse(&outer_, sizeof outer_);
  }

  // `out`, Hash::kSize octets, may be one of the inputs.
  void sign(std::uint8_t* out, Bytes first, Bytes second = {}, Bytes third = {}) const noexcept {
    Hash hash = inner_;
    hash.update(first);
    hash.update(second);
    hash.update(third);
    hash.finish(out);
    hash = outer_;
    hash.update({out, Hash::kSize});
    hash.finish(out);
    OPENSSL_cleanse(&hash, sizeof hash);
  }

 private:
  Hash inner_;
  Hash outer_;
};

// struct HkdfLabel of RFC 8446 §7.1.
class HkdfLabel {
 public:
  // False: too long for its length fields.
  [[nodiscard]] bool build(std::size_t out_size, Bytes prefix, Bytes label, Bytes context) noexcept {
    if (out_size > 0xffff || prefix.size() + label.size() > 255 || context.size() > 255) return false;
    size_ = 0;
    put(static_cast<std::uint8_t>(out_size >> 8));
    put(static_cast<std::uint8_t>(out_size));
    put(static_cast<std::uint8_t>(prefix.size() + label.size()));
    put(prefix);
    put(label);
    put(static_cast<std::uint8_t>(context.size()));
    put(context);
    return true;
  }
  [[nodiscard]] Bytes bytes() const noexcept { return {octets_.data(), size_}; }

 private:
  void put(std::uint8_t octet) noexcept { octets_[size_++] = octet; }
  void put(Bytes bytes) noexcept {
    if (bytes.empty()) return;
    std::memcpy(octets_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }

  std::array<std::uint8_t, 2 + 1 + 255 + 1 + 255> octets_;
  std::size_t size_ = 0;
};

// HKDF-Expand (RFC 5869 §2.3).
template <class Hash>
[[nodiscard]] bool expand(const Hmac<Hash>& key, Bytes info, std::span<std::uint8_t> out) noexcept {
  if (out.size() > 255 * Hash::kSize) return false;
  Secret<Hash> block;
  Bytes previous;
  for (std::uint8_t counter = 1; !out.empty(); ++counter) {
    key.sign(block.octets.data(), previous, info, {&counter, 1});
    const std::size_t n = std::min(out.size(), Hash::kSize);
    std::memcpy(out.data(), block.octets.data(), n);
    out = out.subspan(n);
    previous = block.octets;
  }
  return true;
}

}  // namespace sallyport::tls::hkdf
