#include "key_schedule.hpp"

#include <algorithm>
#include <cstring>
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
#include <openssl/sha.h>

namespace sallyport::tls {

namespace {

using Bytes = std::span<const std::uint8_t>;

thread_local TrafficSecrets* secrets_tap = nullptr;

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

// What one derivation is made of, as libssl names it.
struct Inputs {
  std::optional<Bytes> key;
  std::optional<Bytes> salt;
  Bytes prefix, label, data;
};

template <class Hash>
[[nodiscard]] bool expand_label_with(Bytes secret, const Inputs& in, std::span<std::uint8_t> out) noexcept {
  HkdfLabel info;
  return info.build(out.size(), in.prefix, in.label, in.data) &&
         expand<Hash>(Hmac<Hash>(secret), info.bytes(), out);
}

// Up the middle of §7.1's picture: Derive-Secret(salt, label, "") where there is one before, then
// HKDF-Extract.
template <class Hash>
[[nodiscard]] bool extract(const Inputs& in, std::uint8_t* out) noexcept {
  static constexpr std::array<std::uint8_t, Hash::kSize> kZeros{};
  const Bytes key = in.key ? *in.key : Bytes(kZeros);
  Secret<Hash> salt{};
  if (in.salt) {
    std::array<std::uint8_t, Hash::kSize> nothing;
    Hash().finish(nothing.data());
    Inputs derived = in;
    derived.data = nothing;
    if (!expand_label_with<Hash>(*in.salt, derived, salt.octets)) return false;
  }
  Hmac<Hash>(salt.octets).sign(out, key);
  return true;
}

// Notes what the tap is for.
void overhear(Bytes label, Bytes secret) noexcept {
  constexpr std::string_view kClient = "c ap traffic";
  constexpr std::string_view kServer = "s ap traffic";
  const std::string_view name(reinterpret_cast<const char*>(label.data()), label.size());
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

// OpenSSL's four names of each.
bool Derivation::set_digest(const OSSL_PARAM& param) noexcept {
  hash_size = 0;
  if (param.data_type != OSSL_PARAM_UTF8_STRING || param.data == nullptr) return false;
  const auto is = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) {
      return OPENSSL_strcasecmp(static_cast<const char*>(param.data), name) == 0;
    });
  };
  if (is({"SHA2-256", "SHA256", "SHA-256", "2.16.840.1.101.3.4.2.1"})) {
    hash_size = Sha256::kSize;
  } else if (is({"SHA2-384", "SHA384", "SHA-384", "2.16.840.1.101.3.4.2.2"})) {
    hash_size = Sha384::kSize;
  } else {
    return refuse(PROV_R_DIGEST_NOT_ALLOWED);
  }
  return true;
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
constexpr const char* kDefinition = "provider=sallyport";
constexpr const char* kQuery = "?provider=sallyport";
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
bool register_provider() noexcept {
  return comes_from(nullptr, "default") &&
         OSSL_PROVIDER_add_builtin(nullptr, kProviderName, provider_start) == 1 &&
         OSSL_PROVIDER_try_load(nullptr, kProviderName, 1) != nullptr && comes_from(kQuery, kProviderName);
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
}

const char* key_schedule_properties() noexcept {
  static const bool registered = [] {
    ERR_set_mark();
    const bool done = register_provider();
    ERR_pop_to_mark();
    return done;
  }();
  return registered ? kQuery : nullptr;
}

bool expand_label(std::size_t hash_size, std::span<const std::uint8_t> secret, std::string_view label,
                  std::span<std::uint8_t> out) noexcept {
  static constexpr std::string_view kPrefix = "tls13 ";
  const auto octets = [](std::string_view text) {
    return Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  };
  const Inputs in{std::nullopt, std::nullopt, octets(kPrefix), octets(label), {}};
  if (hash_size == Sha256::kSize) return expand_label_with<Sha256>(secret, in, out);
  return hash_size == Sha384::kSize && expand_label_with<Sha384>(secret, in, out);
}

}  // namespace sallyport::tls
