#include "revocation.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>

#include <openssl/pem.h>

#include "sallyport/base/scope_guard.hpp"
#include "sallyport/tls/chain.hpp"

#include "certificate_text.hpp"

namespace sallyport::tls {

namespace {

// ---- how OpenSSL searches and checks a list ------------------------------------------------

// Who signed a list. A list has one signature and so one signer: once it was seen to hold, a key
// is the signer's or it is not.
struct Signer {
  std::atomic<const Digest*> key{nullptr};

  Signer() = default;
  Signer(const Signer&) = delete;
  Signer& operator=(const Signer&) = delete;
  ~Signer() { delete key.load(); }
};

int by_serial(const X509_REVOKED* const* a, const X509_REVOKED* const* b) {
  return ASN1_INTEGER_cmp(X509_REVOKED_get0_serialNumber(*a), X509_REVOKED_get0_serialNumber(*b));
}

int on_read(X509_CRL* list) {
  if (STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(list)) {
    sk_X509_REVOKED_set_cmp_func(entries, by_serial);
    sk_X509_REVOKED_sort(entries);
  }
  auto* signer = new (std::nothrow) Signer;
  X509_CRL_set_meth_data(list, signer);
  return signer == nullptr ? 0 : 1;
}

int on_free(X509_CRL* list) {
  delete static_cast<Signer*>(X509_CRL_get_meth_data(list));
  return 1;
}

// An entry may name another issuer only in an indirect list, and none of those is taken.
int look_up(X509_CRL* list, X509_REVOKED** found, const ASN1_INTEGER* serial, const X509_NAME*) {
  STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(list);
  int begin = 0;
  int end = std::max(sk_X509_REVOKED_num(entries), 0);
  while (begin < end) {
    const int middle = begin + (end - begin) / 2;
    X509_REVOKED* entry = sk_X509_REVOKED_value(entries, middle);
    const int order = ASN1_INTEGER_cmp(X509_REVOKED_get0_serialNumber(entry), serial);
    if (order == 0) {
      if (found != nullptr) *found = entry;
      return 1;
    }
    (order < 0 ? begin : end) = order < 0 ? middle + 1 : middle;
  }
  return 0;
}

bool digest_of_key(EVP_PKEY* key, Digest& digest) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return false;
  const base::ScopeGuard free_der([der] { OPENSSL_free(der); });
  return EVP_Digest(der, static_cast<std::size_t>(size), digest.data(), nullptr, EVP_sha256(), nullptr) == 1;
}

// The bytes under the signature, with their own header, out of the whole list's.
std::span<const unsigned char> signed_part(std::span<const unsigned char> list) {
  const unsigned char* at = list.data();
  long size = 0;
  int tag = 0;
  int kind = 0;
  if ((ASN1_get_object(&at, &size, &tag, &kind, static_cast<long>(list.size())) & 0x80) != 0) return {};
  const unsigned char* const begin = at;
  if ((ASN1_get_object(&at, &size, &tag, &kind, static_cast<long>(list.data() + list.size() - at)) & 0x80) !=
      0)
    return {};
  return {begin, static_cast<std::size_t>(at - begin) + static_cast<std::size_t>(size)};
}

bool list_signature_holds(X509_CRL* list, EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(list, &der);
  if (size <= 0) return false;
  const base::ScopeGuard free_der([der] { OPENSSL_free(der); });
  const auto part = signed_part({der, static_cast<std::size_t>(size)});
  ASN1_STRING* text = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
  const base::ScopeGuard free_text([text] { ASN1_STRING_free(text); });
  if (text == nullptr || ASN1_STRING_set(text, part.data(), static_cast<int>(part.size())) != 1) return false;
  ASN1_TYPE any{};
  any.type = V_ASN1_SEQUENCE;
  any.value.sequence = text;
  const ASN1_BIT_STRING* signature = nullptr;
  const X509_ALGOR* algorithm = nullptr;
  X509_CRL_get0_signature(list, &signature, &algorithm);
  return ASN1_item_verify(ASN1_ITEM_rptr(ASN1_ANY), algorithm, signature, &any, key) == 1;
}

int check_signature(X509_CRL* list, EVP_PKEY* key) {
  auto* signer = static_cast<Signer*>(X509_CRL_get_meth_data(list));
  Digest digest{};
  if (signer == nullptr || !digest_of_key(key, digest)) return 0;
  if (const Digest* known = signer->key.load(std::memory_order_acquire)) return *known == digest ? 1 : 0;
  if (!list_signature_holds(list, key)) return 0;
  const auto* mine = new (std::nothrow) Digest(digest);
  const Digest* nobody = nullptr;
  if (mine != nullptr && !signer->key.compare_exchange_strong(nobody, mine, std::memory_order_acq_rel))
    delete mine;
  return 1;
}

// OpenSSL gives a list its methods when it is made, from a default of the process.
class OurMethods {
 public:
  OurMethods() : turn_(mutex()) { X509_CRL_set_default_method(methods()); }
  ~OurMethods() { X509_CRL_set_default_method(nullptr); }
  OurMethods(const OurMethods&) = delete;
  OurMethods& operator=(const OurMethods&) = delete;

 private:
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static const X509_CRL_METHOD* methods() {
    static const X509_CRL_METHOD* const made =
        X509_CRL_METHOD_new(on_read, on_free, look_up, check_signature);
    return made;
  }
  std::lock_guard<std::mutex> turn_;
};

// ---- reading -------------------------------------------------------------------------------

// Why a list would not do its work; nullptr: it will.
const char* unfit(const X509_CRL* list) {
  if (X509_CRL_get_ext_by_NID(list, NID_delta_crl, -1) >= 0)
    return "holds changes to another list only (a delta CRL): give the full one";
  auto* part = static_cast<ISSUING_DIST_POINT*>(
      X509_CRL_get_ext_d2i(list, NID_issuing_distribution_point, nullptr, nullptr));
  if (part == nullptr) return nullptr;
  const base::ScopeGuard free_part([part] { ISSUING_DIST_POINT_free(part); });
  if (part->indirectCRL > 0) return "is of several issuers (an indirect CRL): give the CA's own";
  if (part->onlysomereasons != nullptr || part->onlyattr > 0)
    return "has only some reasons or kinds of certificates: give the CA's whole list";
  return nullptr;
}

void take(CrlPtr list, const std::string& file, const std::string& where, std::vector<RevocationList>& lists,
          Notes& notes) {
  RevocationList made;
  made.issuer = name_text(X509_CRL_get_issuer(list.get()));
  if (const char* why = unfit(list.get())) {
    notes.error(where, file + ": the revocation list of '" + made.issuer + "' " + why);
    return;
  }
  made.file = file;
  if (const ASN1_TIME* until = X509_CRL_get0_nextUpdate(list.get())) made.until = wall_time(until);
  made.list = std::move(list);
  lists.push_back(std::move(made));
}

}  // namespace

void read_lists(std::string_view bytes, const std::string& file, const std::string& where,
                std::vector<RevocationList>& lists, Notes& notes) {
  const OurMethods methods;
  ERR_clear_error();
  if (bytes.find("-----BEGIN") == std::string_view::npos) {
    const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
    const auto* const end = at + bytes.size();
    CrlPtr list(d2i_X509_CRL(nullptr, &at, static_cast<long>(bytes.size())));
    if (list == nullptr || at != end) {
      notes.error(where, file + ": is no revocation list, neither in PEM form nor in DER (" +
                             (list == nullptr ? take_openssl_error() : "something stands behind it") + ")");
      ERR_clear_error();
      return;
    }
    return take(std::move(list), file, where, lists, notes);
  }
  const BioPtr bio = memory_bio(bytes);
  std::size_t read = 0;
  while (CrlPtr list{PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr)}) {
    ++read;
    take(std::move(list), file, where, lists, notes);
  }
  const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!end) {
    notes.error(where, file + ": its revocation list number " + std::to_string(read + 1) + " is broken (" +
                           take_openssl_error() + "): fetch it again");
  } else if (read == 0) {
    notes.error(where, file + ": holds no revocation list (a PEM block X509 CRL)" +
                           (bytes.find("CERTIFICATE") != std::string_view::npos
                                ? "; it holds a certificate, and a CA belongs under ca"
                                : ""));
  }
  ERR_clear_error();
}

void judge_lists(const std::vector<RevocationList>& lists, const std::vector<X509Ptr>& authorities,
                 const std::string& ca_file, base::WallTime now, const std::string& where, Notes& notes) {
  const auto issued_by = [](const RevocationList& list, const X509Ptr& ca) {
    return X509_NAME_cmp(X509_CRL_get_issuer(list.list.get()), X509_get_subject_name(ca.get())) == 0;
  };
  for (const RevocationList& one : lists) {
    const std::string begin = one.file + ": the revocation list of '" + one.issuer + "' ";
    bool named = false;
    bool proved = false;
    for (const X509Ptr& ca : authorities) {
      if (!issued_by(one, ca)) continue;
      named = true;
      proved = proved || X509_CRL_verify(one.list.get(), X509_get0_pubkey(ca.get())) == 1;
    }
    ERR_clear_error();
    if (!named) {
      notes.warning(
          where,
          std::string(begin)
              .append("is of no CA in ")
              .append(ca_file)
              .append(": it counts only for clients that send an intermediate certificate of that name"));
    } else if (!proved) {
      notes.error(where, std::string(begin)
                             .append("is not signed by the CA of that name in ")
                             .append(ca_file)
                             .append(": fetch the list again, or give the CA that signed it"));
    }
    if (one.until && *one.until < now) {
      notes.warning(where, begin + "was to be renewed by " + date_text(*one.until) +
                               ": until a new one is loaded, all clients of that CA are refused");
    }
    if (X509_cmp_current_time(X509_CRL_get0_lastUpdate(one.list.get())) > 0) {
      notes.warning(
          where, begin + "is not valid yet: until then all clients of that CA are refused (check the clock)");
    }
  }
  for (const X509Ptr& ca : authorities) {
    if (std::any_of(lists.begin(), lists.end(), [&](const auto& one) { return issued_by(one, ca); }))
      continue;
    notes.warning(where, "no revocation list is of '" + subject_text(ca.get()) + "' in " + ca_file +
                             ": whatever that CA issued is refused; add its list");
  }
}

}  // namespace sallyport::tls
