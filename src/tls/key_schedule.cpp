#include "key_schedule.hpp"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <new>
#include <optional>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/proverr.h>
#include <openssl/provider.h>

#include "hkdf.hpp"

namespace sallyport::tls {

namespace {

using hkdf::Bytes;
using hkdf::expand;
using hkdf::HkdfLabel;
using hkdf::Hmac;
using hkdf::Secret;
using hkdf::Sha256;
using hkdf::Sha384;

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

// Octets that a context was given: in place as many as libssl's are, on the heap beyond. Cleansed.
template <std::size_t Room>
class Octets {
 public:
  Octets() noexcept = default;
  ~Octets() { clear(); }
  Octets(const Octets&) = delete;
  Octets& operator=(const Octets&) = delete;

  void clear() noexcept {
    if (!given_) return;
    OPENSSL_cleanse(data(), size_);
    OPENSSL_free(heap_);
    heap_ = nullptr;
    given_ = false;
    size_ = 0;
  }
  [[nodiscard]] bool assign(Bytes bytes) noexcept {
    clear();
    if (bytes.size() > Room) {
      heap_ = static_cast<std::uint8_t*>(OPENSSL_malloc(bytes.size()));
      if (heap_ == nullptr) return false;
    }
    given_ = true;
    size_ = bytes.size();
    std::copy(bytes.begin(), bytes.end(), data());
    return true;
  }
  [[nodiscard]] bool assign(const OSSL_PARAM& param) noexcept {
    if (param.data_type != OSSL_PARAM_OCTET_STRING || param.data == nullptr) return false;
    return assign(Bytes(static_cast<const std::uint8_t*>(param.data), param.data_size));
  }
  [[nodiscard]] bool copy(const Octets& other) noexcept {
    if (other.given_) return assign(other.view());
    clear();
    return true;
  }
  [[nodiscard]] bool given() const noexcept { return given_; }
  [[nodiscard]] Bytes view() const noexcept { return {heap_ == nullptr ? room_.data() : heap_, size_}; }
  [[nodiscard]] std::optional<Bytes> optional() const noexcept {
    return given_ ? std::optional<Bytes>(view()) : std::nullopt;
  }

 private:
  [[nodiscard]] std::uint8_t* data() noexcept { return heap_ == nullptr ? room_.data() : heap_; }

  std::uint8_t* heap_ = nullptr;
  std::size_t size_ = 0;
  bool given_ = false;
  std::array<std::uint8_t, Room> room_;
};

// One EVP_KDF_CTX. libssl makes one for each derivation and gives it all with the call; whoever
// sets parameters before the call finds them kept.
struct Derivation {
  int mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;  // TLS has no use for it; so there is no default
  std::size_t hash_size = 0;
  Octets<66> key;  // P-521's shared secret is the longest of the usual ones
  Octets<48> salt;
  Octets<8> prefix;
  Octets<16> label;
  Octets<48> data;

  void clear() noexcept;
  [[nodiscard]] bool copy(const Derivation& other) noexcept;
  [[nodiscard]] bool set(const OSSL_PARAM* params) noexcept;
  [[nodiscard]] bool derive(std::span<std::uint8_t> out) noexcept;

 private:
  [[nodiscard]] bool set_mode(const OSSL_PARAM& param) noexcept;
  [[nodiscard]] bool set_digest(const OSSL_PARAM& param) noexcept;
  [[nodiscard]] bool set_one(const OSSL_PARAM& param) noexcept;
  template <class Hash>
  [[nodiscard]] bool derive_with(std::span<std::uint8_t> out) noexcept;
};

bool refuse(int reason) noexcept {
  ERR_raise(ERR_LIB_PROV, reason);
  return false;
}

void Derivation::clear() noexcept {
  mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
  hash_size = 0;
  key.clear();
  salt.clear();
  prefix.clear();
  label.clear();
  data.clear();
}

bool Derivation::copy(const Derivation& other) noexcept {
  mode = other.mode;
  hash_size = other.hash_size;
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

// By any of OpenSSL's names for a digest. 0: it is another.
std::size_t digest_size(const char* name) noexcept {
  constexpr std::string_view kSha256 = "SHA2-256";  // what libssl says
  constexpr std::string_view kSha384 = "SHA2-384";
  if (name == kSha256) return Sha256::kSize;
  if (name == kSha384) return Sha384::kSize;
  const auto is = [name](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(),
                       [&](const char* each) { return OPENSSL_strcasecmp(name, each) == 0; });
  };
  if (is({"SHA2-256", "SHA256", "SHA-256", "2.16.840.1.101.3.4.2.1"})) return Sha256::kSize;
  return is({"SHA2-384", "SHA384", "SHA-384", "2.16.840.1.101.3.4.2.2"}) ? Sha384::kSize : 0;
}

bool Derivation::set_digest(const OSSL_PARAM& param) noexcept {
  hash_size = 0;
  if (param.data_type != OSSL_PARAM_UTF8_STRING || param.data == nullptr) return false;
  hash_size = digest_size(static_cast<const char*>(param.data));
  return hash_size != 0 || refuse(PROV_R_DIGEST_NOT_ALLOWED);
}

bool Derivation::set_one(const OSSL_PARAM& param) noexcept {
  const std::string_view name = param.key;
  if (name == OSSL_KDF_PARAM_MODE) return set_mode(param);
  if (name == OSSL_KDF_PARAM_DIGEST) return set_digest(param);
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
  if (hash_size == 0) return refuse(PROV_R_MISSING_MESSAGE_DIGEST);
  return hash_size == Sha256::kSize ? derive_with<Sha256>(out) : derive_with<Sha384>(out);
}

// provider-kdf(7).
Derivation& derivation(void* context) noexcept {
  return *static_cast<Derivation*>(context);
}

void* kdf_new(void*) noexcept {
  return new (std::nothrow) Derivation;
}

void kdf_free(void* context) noexcept {
  delete static_cast<Derivation*>(context);
}

void* kdf_dup(void* context) noexcept {
  auto* made = new (std::nothrow) Derivation;
  if (made == nullptr || made->copy(derivation(context))) return made;
  delete made;
  return nullptr;
}

void kdf_reset(void* context) noexcept {
  derivation(context).clear();
}

int kdf_set(void* context, const OSSL_PARAM params[]) noexcept {
  return derivation(context).set(params) ? 1 : 0;
}

int kdf_derive(void* context, unsigned char* out, std::size_t size, const OSSL_PARAM params[]) noexcept {
  Derivation& asked = derivation(context);
  return out != nullptr && asked.set(params) && asked.derive({out, size}) ? 1 : 0;
}

int kdf_get(void* context, OSSL_PARAM params[]) noexcept {
  const Derivation& asked = derivation(context);
  OSSL_PARAM* size = params == nullptr ? nullptr : OSSL_PARAM_locate(params, OSSL_KDF_PARAM_SIZE);
  if (size == nullptr) return 1;
  if (asked.mode != EVP_KDF_HKDF_MODE_EXTRACT_ONLY) return OSSL_PARAM_set_size_t(size, SIZE_MAX);
  if (asked.hash_size == 0) return refuse(PROV_R_MISSING_MESSAGE_DIGEST) ? 1 : 0;
  return OSSL_PARAM_set_size_t(size, asked.hash_size);
}

const OSSL_PARAM* kdf_settable(void*, void*) noexcept {
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

const OSSL_PARAM* kdf_gettable(void*, void*) noexcept {
  static const OSSL_PARAM kKnown[] = {OSSL_PARAM_size_t(OSSL_KDF_PARAM_SIZE, nullptr), OSSL_PARAM_END};
  return kKnown;
}

// OpenSSL's table has one type for all functions; its identifiers say which each is.
template <class Function>
OSSL_DISPATCH entry(int id, Function* function) noexcept {
  return {id, reinterpret_cast<void (*)()>(function)};
}

constexpr const char* kProviderName = "sallyport";
// A query replaces what OpenSSL's configuration says of the same property, such as "?provider=tpm2",
// and is hashed at each fetch: ours names another one, and is short. OpenSSL 3.0 knows six.
constexpr const char* kDefinition = "provider=sallyport,version=sp";
constexpr const char* kQuery = "?version=sp";
constexpr const char* kKdfName = "TLS13-KDF";

const OSSL_ALGORITHM* provider_query(void*, int operation, int* no_cache) noexcept {
  static const OSSL_DISPATCH kKdf[] = {
      entry(OSSL_FUNC_KDF_NEWCTX, kdf_new),         entry(OSSL_FUNC_KDF_DUPCTX, kdf_dup),
      entry(OSSL_FUNC_KDF_FREECTX, kdf_free),       entry(OSSL_FUNC_KDF_RESET, kdf_reset),
      entry(OSSL_FUNC_KDF_DERIVE, kdf_derive),      entry(OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, kdf_settable),
      entry(OSSL_FUNC_KDF_SET_CTX_PARAMS, kdf_set), entry(OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, kdf_gettable),
      entry(OSSL_FUNC_KDF_GET_CTX_PARAMS, kdf_get), {0, nullptr},
  };
  static const OSSL_ALGORITHM kAlgorithms[] = {
      {kKdfName, kDefinition, kKdf, "the key schedule of TLS 1.3"},
      {nullptr, nullptr, nullptr, nullptr},
  };
  *no_cache = 0;
  return operation == OSSL_OP_KDF ? kAlgorithms : nullptr;
}

int provider_start(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out,
                   void**) noexcept {
  static const OSSL_DISPATCH kProvider[] = {
      entry(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
      {0, nullptr},
  };
  *out = kProvider;
  return 1;
}

// Whether the provider that a fetch by this query leads to has this name.
bool comes_from(const char* query, const char* name) noexcept {
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, kKdfName, query);
  if (kdf == nullptr) return false;
  const bool same = std::string_view(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf))) == name;
  EVP_KDF_free(kdf);
  return same;
}

// Stands in for OpenSSL's own implementation alone. Another one is there by an operator's will, as
// is a default query that ours does not answer. The fallback to the default provider is retained.
OSSL_PROVIDER* register_provider() noexcept {
  if (!comes_from(nullptr, "default") ||
      OSSL_PROVIDER_add_builtin(nullptr, kProviderName, provider_start) != 1) {
    return nullptr;
  }
  OSSL_PROVIDER* made = OSSL_PROVIDER_try_load(nullptr, kProviderName, 1);
  if (made == nullptr || comes_from(kQuery, kProviderName)) return made;
  OSSL_PROVIDER_unload(made);
  return nullptr;
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

const char* key_schedule_properties() noexcept {
  static OSSL_PROVIDER* const registered = [] {
    ERR_set_mark();
    OSSL_PROVIDER* made = register_provider();
    ERR_pop_to_mark();
    return made;
  }();
  return registered == nullptr ? nullptr : kQuery;
}

bool expand_label(std::size_t hash_size, std::span<const std::uint8_t> secret, std::string_view label,
                  std::span<std::uint8_t> out) noexcept {
  const Inputs in{std::nullopt, std::nullopt, octets_of(kPrefix), octets_of(label), {}};
  if (hash_size == Sha256::kSize) return expand_label_with<Sha256>(secret, in, out);
  return hash_size == Sha384::kSize && expand_label_with<Sha384>(secret, in, out);
}

}  // namespace sallyport::tls
