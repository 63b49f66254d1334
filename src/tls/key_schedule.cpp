#include "key_schedule.hpp"

#include <algorithm>
#include <optional>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/proverr.h>

#include "kdf.hpp"

namespace sallyport::tls {

namespace {

using hkdf::Bytes;
using hkdf::expand;
using hkdf::HkdfLabel;
using hkdf::Hmac;
using hkdf::Secret;
using hkdf::Sha256;
using hkdf::Sha384;
using kdf::Octets;
using kdf::refuse;

thread_local TrafficSecrets* secrets_tap = nullptr;

// What one derivation is made of, as libssl names it.
struct Inputs {
  std::optional<Bytes> key;
  std::optional<Bytes> salt;
  Bytes prefix, label, data;
};

// The states after the last two secrets, for as long as a tap lives: each secret is expanded two to
// four times, mostly in a row, and half of what an expansion costs is hashing its key.
template <class Hash>
class Remembered {
 public:
  [[nodiscard]] const Hmac<Hash>& of(Bytes secret) noexcept {
    if (!is(newest_, secret)) {
      newest_ = 1 - newest_;
      if (!is(newest_, secret)) slots_[newest_].emplace(secret);
    }
    return slots_[newest_]->hmac;
  }
  void forget() noexcept {
    for (auto& slot : slots_) slot.reset();
  }

 private:
  struct Slot {
    Secret<Hash> secret;
    Hmac<Hash> hmac;
    explicit Slot(Bytes key) noexcept : hmac(key) {
      std::copy(key.begin(), key.end(), secret.octets.begin());
    }
  };
  [[nodiscard]] bool is(std::size_t place, Bytes secret) const noexcept {
    const auto& slot = slots_[place];
    return slot && CRYPTO_memcmp(slot->secret.octets.data(), secret.data(), secret.size()) == 0;
  }

  std::array<std::optional<Slot>, 2> slots_;
  std::size_t newest_ = 0;
};
template <class Hash>
thread_local Remembered<Hash> remembered;

template <class Hash>
[[nodiscard]] bool expand_label_with(Bytes secret, const Inputs& in, std::span<std::uint8_t> out) noexcept {
  HkdfLabel info;
  if (!info.build(out.size(), in.prefix, in.label, in.data)) return false;
  if (secrets_tap != nullptr && secret.size() == Hash::kSize) {
    return expand<Hash>(remembered<Hash>.of(secret), info.bytes(), out);
  }
  return expand<Hash>(Hmac<Hash>(secret), info.bytes(), out);
}

[[nodiscard]] Bytes octets_of(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
[[nodiscard]] std::string_view text_of(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr std::string_view kPrefix = "tls13 ";
constexpr std::string_view kDerived = "derived";

// What is the same in every handshake: without a PSK that reaches to where the shared secret comes in.
template <class Hash>
struct Constants {
  std::array<std::uint8_t, Hash::kSize> no_messages{};
  std::array<std::uint8_t, Hash::kSize> early{};
  Hmac<Hash> by_nothing;
  std::optional<Hmac<Hash>> by_early;

  static const Constants& values() noexcept {
    static const Constants made;
    return made;
  }

 private:
  Constants() noexcept : by_nothing(Bytes{}) {
    Hash().finish(no_messages.data());
    by_nothing.sign(early.data(), std::array<std::uint8_t, Hash::kSize>{});
    HkdfLabel info;
    std::array<std::uint8_t, Hash::kSize> salt{};
    static_cast<void>(info.build(salt.size(), octets_of(kPrefix), octets_of(kDerived), no_messages) &&
                      expand<Hash>(Hmac<Hash>(early), info.bytes(), salt));
    by_early.emplace(salt);
  }
};

// Up the middle of §7.1's picture: Derive-Secret(salt, label, "") where there is one before, then
// HKDF-Extract.
template <class Hash>
[[nodiscard]] bool extract(const Inputs& in, std::uint8_t* out) noexcept {
  static constexpr std::array<std::uint8_t, Hash::kSize> kZeros{};
  const auto& constants = Constants<Hash>::values();
  const Bytes key = in.key ? *in.key : Bytes(kZeros);
  if (!in.salt) {
    constants.by_nothing.sign(out, key);
    return true;
  }
  const bool usual = text_of(in.prefix) == kPrefix && text_of(in.label) == kDerived;
  if (usual && in.salt->size() == Hash::kSize &&
      CRYPTO_memcmp(in.salt->data(), constants.early.data(), Hash::kSize) == 0) {
    constants.by_early->sign(out, key);
    return true;
  }
  Inputs derived = in;
  derived.data = constants.no_messages;
  Secret<Hash> salt;
  if (!expand_label_with<Hash>(*in.salt, derived, salt.octets)) return false;
  Hmac<Hash>(salt.octets).sign(out, key);
  return true;
}

// Notes what the tap is for.
void overhear(Bytes label, Bytes secret) noexcept {
  constexpr std::string_view kClient = "c ap traffic";
  constexpr std::string_view kServer = "s ap traffic";
  const std::string_view name = text_of(label);
  if (secrets_tap == nullptr || (name != kClient && name != kServer)) return;
  TrafficSecrets& into = *secrets_tap;
  if (secret.size() > into.client.size()) return;
  const bool client = name == kClient;
  std::copy(secret.begin(), secret.end(), client ? into.client.begin() : into.server.begin());
  (client ? into.has_client : into.has_server) = true;
  into.size = secret.size();
}

// One EVP_KDF_CTX. libssl makes one for each derivation and gives it all with the call; whoever
// sets parameters before the call finds them kept.
struct Derivation {
  int mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;  // TLS has no use for it; so there is no default
  kdf::Digest digest;
  Octets<66> key;  // P-521's shared secret is the longest of the usual ones
  Octets<48> salt;
  Octets<8> prefix;
  Octets<16> label;
  Octets<48> data;

  void clear() noexcept;
  [[nodiscard]] bool copy(const Derivation& other) noexcept;
  [[nodiscard]] bool set(const OSSL_PARAM* params) noexcept;
  [[nodiscard]] bool derive(std::span<std::uint8_t> out) noexcept;
  [[nodiscard]] std::size_t output_size() const noexcept;
  [[nodiscard]] static const OSSL_PARAM* settable() noexcept;

 private:
  [[nodiscard]] bool set_mode(const OSSL_PARAM& param) noexcept;
  [[nodiscard]] bool set_one(const OSSL_PARAM& param) noexcept;
  template <class Hash>
  [[nodiscard]] bool derive_with(std::span<std::uint8_t> out) noexcept;
};

void Derivation::clear() noexcept {
  mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
  digest.clear();
  key.clear();
  salt.clear();
  prefix.clear();
  label.clear();
  data.clear();
}

bool Derivation::copy(const Derivation& other) noexcept {
  mode = other.mode;
  digest = other.digest;
  return key.copy(other.key) && salt.copy(other.salt) && prefix.copy(other.prefix) &&
         label.copy(other.label) && data.copy(other.data);
}

bool Derivation::set_mode(const OSSL_PARAM& param) noexcept {
  if (param.data_type == OSSL_PARAM_UTF8_STRING) {
    const auto is = [&](const char* name) {
      return OPENSSL_strcasecmp(static_cast<const char*>(param.data), name) == 0;
    };
    mode = is("EXTRACT_ONLY")  ? EVP_KDF_HKDF_MODE_EXTRACT_ONLY
           : is("EXPAND_ONLY") ? EVP_KDF_HKDF_MODE_EXPAND_ONLY
                               : EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
  } else if (OSSL_PARAM_get_int(&param, &mode) != 1) {
    return refuse(PROV_R_INVALID_MODE);
  }
  return true;
}

bool Derivation::set_one(const OSSL_PARAM& param) noexcept {
  const std::string_view name = param.key;
  if (name == OSSL_KDF_PARAM_MODE) return set_mode(param);
  if (name == OSSL_KDF_PARAM_DIGEST) return digest.assign(param);
  if (name == OSSL_KDF_PARAM_KEY) return key.assign(param);
  if (name == OSSL_KDF_PARAM_SALT) return salt.assign(param);
  if (name == OSSL_KDF_PARAM_PREFIX) return prefix.assign(param);
  if (name == OSSL_KDF_PARAM_LABEL) return label.assign(param);
  if (name == OSSL_KDF_PARAM_DATA) return data.assign(param);
  return true;  // "properties" say where the digest is to come from, and we have our own
}

bool Derivation::set(const OSSL_PARAM* params) noexcept {
  if (params == nullptr) return true;
  data.clear();  // the one that is not kept, as with OpenSSL's
  for (; params->key != nullptr; ++params) {
    if (!set_one(*params)) return false;
  }
  if (mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY || mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY) return true;
  return refuse(PROV_R_INVALID_MODE);
}

template <class Hash>
bool Derivation::derive_with(std::span<std::uint8_t> out) noexcept {
  const Inputs in{key.optional(), salt.optional(), prefix.view(), label.view(), data.view()};
  if (mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY) {
    if (out.size() != Hash::kSize) return refuse(PROV_R_WRONG_OUTPUT_BUFFER_SIZE);
    return extract<Hash>(in, out.data()) || refuse(PROV_R_INVALID_DATA);
  }
  if (mode != EVP_KDF_HKDF_MODE_EXPAND_ONLY) return refuse(PROV_R_INVALID_MODE);
  if (!in.key) return refuse(PROV_R_MISSING_KEY);
  if (!expand_label_with<Hash>(*in.key, in, out)) return refuse(PROV_R_INVALID_DATA);
  overhear(in.label, out);
  return true;
}

bool Derivation::derive(std::span<std::uint8_t> out) noexcept {
  if (digest.size() == 0) return refuse(PROV_R_MISSING_MESSAGE_DIGEST);
  return digest.size() == Sha256::kSize ? derive_with<Sha256>(out) : derive_with<Sha384>(out);
}

std::size_t Derivation::output_size() const noexcept {
  return mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ? digest.size() : SIZE_MAX;
}

const OSSL_PARAM* Derivation::settable() noexcept {
  static const OSSL_PARAM kKnown[] = {
      OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_MODE, nullptr, 0),
      OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, nullptr),
      OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_PROPERTIES, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_PREFIX, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_LABEL, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_DATA, nullptr, 0),
      OSSL_PARAM_END,
  };
  return kKnown;
}

}  // namespace

TrafficSecrets::~TrafficSecrets() {
  clear();
}

void TrafficSecrets::clear() noexcept {
  OPENSSL_cleanse(client.data(), client.size());
  OPENSSL_cleanse(server.data(), server.size());
  size = 0;
  has_client = false;
  has_server = false;
}

SecretsTap::SecretsTap(TrafficSecrets& into) noexcept {
  secrets_tap = &into;
}

SecretsTap::~SecretsTap() {
  secrets_tap = nullptr;
  remembered<Sha256>.forget();
  remembered<Sha384>.forget();
}

const OSSL_DISPATCH* kdf::tls13_kdf() noexcept {
  return Functions<Derivation>::table();
}

bool expand_label(std::size_t hash_size, std::span<const std::uint8_t> secret, std::string_view label,
                  std::span<std::uint8_t> out) noexcept {
  const Inputs in{std::nullopt, std::nullopt, octets_of(kPrefix), octets_of(label), {}};
  if (hash_size == Sha256::kSize) return expand_label_with<Sha256>(secret, in, out);
  return hash_size == Sha384::kSize && expand_label_with<Sha384>(secret, in, out);
}

}  // namespace sallyport::tls
