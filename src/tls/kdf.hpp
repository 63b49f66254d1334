// What our implementations of OpenSSL's key derivation functions (provider-kdf(7)) have in common: the
// octets and the digest that a context was given, and the table of functions by which OpenSSL knows
// one. The provider shows the tables (provider.hpp). A context belongs to one caller at a time, and
// different ones are used on different threads at once. Private to tls.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <optional>
#include <span>
#include <string_view>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/proverr.h>

#include "hkdf.hpp"

namespace sallyport::tls::kdf {

using hkdf::Bytes;

// The tables: OpenSSL's "TLS13-KDF" (key_schedule.cpp) and "TLS1-PRF" (prf.cpp).
[[nodiscard]] const OSSL_DISPATCH* tls13_kdf() noexcept;
[[nodiscard]] const OSSL_DISPATCH* tls1_prf() noexcept;

// Says why in OpenSSL's queue of errors.
inline bool refuse(int reason) noexcept {
  ERR_raise(ERR_LIB_PROV, reason);
  return false;
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
    forget();
    given_ = false;
    size_ = 0;
  }
  [[nodiscard]] bool assign(Bytes bytes) noexcept {
    clear();
    return append(bytes);
  }
  [[nodiscard]] bool assign(const OSSL_PARAM& param) noexcept {
    if (param.data_type != OSSL_PARAM_OCTET_STRING || param.data == nullptr) return false;
    return assign(Bytes(static_cast<const std::uint8_t*>(param.data), param.data_size));
  }
  // False: no memory; then all is as it was.
  [[nodiscard]] bool append(Bytes bytes) noexcept {
    const std::size_t size = size_ + bytes.size();
    if (size > Room) {
      auto* grown = static_cast<std::uint8_t*>(OPENSSL_malloc(size));
      if (grown == nullptr) return false;
      std::copy_n(data(), size_, grown);
      forget();
      heap_ = grown;
    }
    std::copy(bytes.begin(), bytes.end(), data() + size_);
    size_ = size;
    given_ = true;
    return true;
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
  void forget() noexcept {
    OPENSSL_cleanse(data(), size_);
    OPENSSL_free(heap_);
    heap_ = nullptr;
  }

  std::uint8_t* heap_ = nullptr;
  std::size_t size_ = 0;
  bool given_ = false;
  std::array<std::uint8_t, Room> room_;
};

// The hash that a context was told to use, SHA-256 or SHA-384: TLS has no other.
class Digest {
 public:
  // 0: none was given.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void clear() noexcept { size_ = 0; }
  // One that is refused leaves none behind.
  [[nodiscard]] bool assign(const OSSL_PARAM& param) noexcept {
    size_ = 0;
    if (param.data_type != OSSL_PARAM_UTF8_STRING || param.data == nullptr) return false;
    size_ = size_of(static_cast<const char*>(param.data));
    return size_ != 0 || refuse(PROV_R_DIGEST_NOT_ALLOWED);
  }

 private:
  // By any of OpenSSL's names for it.
  static std::size_t size_of(const char* name) noexcept {
    constexpr std::string_view kSha256 = "SHA2-256";  // what libssl says
    constexpr std::string_view kSha384 = "SHA2-384";
    if (name == kSha256) return hkdf::Sha256::kSize;
    if (name == kSha384) return hkdf::Sha384::kSize;
    const auto is = [name](std::initializer_list<const char*> names) {
      return std::any_of(names.begin(), names.end(),
                         [&](const char* each) { return OPENSSL_strcasecmp(name, each) == 0; });
    };
    if (is({"SHA2-256", "SHA256", "SHA-256", "2.16.840.1.101.3.4.2.1"})) return hkdf::Sha256::kSize;
    return is({"SHA2-384", "SHA384", "SHA-384", "2.16.840.1.101.3.4.2.2"}) ? hkdf::Sha384::kSize : 0;
  }

  std::size_t size_ = 0;
};

// OpenSSL's table has one type for all functions; its identifiers say which each is.
template <class Function>
OSSL_DISPATCH entry(int id, Function* function) noexcept {
  return {id, reinterpret_cast<void (*)()>(function)};
}

// An EVP_KDF_CTX is a Context: clear(), copy(other), set(params), derive(out), output_size() (0: not
// known yet) and, of all, settable().
template <class Context>
class Functions {
 public:
  static const OSSL_DISPATCH* table() noexcept {
    static const OSSL_DISPATCH kTable[] = {
        entry(OSSL_FUNC_KDF_NEWCTX, make),        entry(OSSL_FUNC_KDF_DUPCTX, dup),
        entry(OSSL_FUNC_KDF_FREECTX, free),       entry(OSSL_FUNC_KDF_RESET, reset),
        entry(OSSL_FUNC_KDF_DERIVE, derive),      entry(OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, settable),
        entry(OSSL_FUNC_KDF_SET_CTX_PARAMS, set), entry(OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, gettable),
        entry(OSSL_FUNC_KDF_GET_CTX_PARAMS, get), {0, nullptr},
    };
    return kTable;
  }

 private:
  static Context& of(void* context) noexcept { return *static_cast<Context*>(context); }
  static void* make(void*) noexcept { return new (std::nothrow) Context; }
  static void free(void* context) noexcept { delete static_cast<Context*>(context); }
  static void* dup(void* context) noexcept {
    auto* made = new (std::nothrow) Context;
    if (made == nullptr || made->copy(of(context))) return made;
    delete made;
    return nullptr;
  }
  static void reset(void* context) noexcept { of(context).clear(); }
  static int set(void* context, const OSSL_PARAM params[]) noexcept {
    return of(context).set(params) ? 1 : 0;
  }
  static int derive(void* context, unsigned char* out, std::size_t size, const OSSL_PARAM params[]) noexcept {
    return out != nullptr && of(context).set(params) && of(context).derive({out, size}) ? 1 : 0;
  }
  static int get(void* context, OSSL_PARAM params[]) noexcept {
    OSSL_PARAM* asked = params == nullptr ? nullptr : OSSL_PARAM_locate(params, OSSL_KDF_PARAM_SIZE);
    if (asked == nullptr) return 1;
    const std::size_t size = of(context).output_size();
    if (size == 0) return refuse(PROV_R_MISSING_MESSAGE_DIGEST) ? 1 : 0;
    return OSSL_PARAM_set_size_t(asked, size);
  }
  static const OSSL_PARAM* settable(void*, void*) noexcept { return Context::settable(); }
  static const OSSL_PARAM* gettable(void*, void*) noexcept {
    static const OSSL_PARAM kKnown[] = {OSSL_PARAM_size_t(OSSL_KDF_PARAM_SIZE, nullptr), OSSL_PARAM_END};
    return kKnown;
  }
};

}  // namespace sallyport::tls::kdf
