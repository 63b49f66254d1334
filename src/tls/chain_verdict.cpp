#include "chain_verdict.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "certificate_text.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;
struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const noexcept { sk_X509_free(stack); }  // the items are borrowed
};
using StackPtr = std::unique_ptr<STACK_OF(X509), FreeStack>;

constexpr int kMinRsaBits = 2048;  // CA/Browser Forum BR §6.1.5; NIST SP 800-131A
constexpr int kMinEcBits = 256;    // the same: P-256 and above

struct Complaint {
  int code;
  std::size_t depth;
};

// Writes down everything and goes on.
int note_and_continue(int ok, X509_STORE_CTX* context) {
  if (ok != 0) return 1;
  auto* complaints = static_cast<std::vector<Complaint>*>(X509_STORE_CTX_get_ex_data(context, 0));
  const int code = X509_STORE_CTX_get_error(context);
  const auto depth = static_cast<std::size_t>(std::max(0, X509_STORE_CTX_get_error_depth(context)));
  const bool known = std::any_of(complaints->begin(), complaints->end(),
                                 [&](const Complaint& c) { return c.code == code && c.depth == depth; });
  if (!known && complaints->size() < 64) complaints->push_back({code, depth});
  return 1;
}

std::vector<Complaint> ask_openssl(const ChainPath& path, const std::vector<ChainCertificate>& certificates,
                                   const ChainRequest& request) {
  std::vector<Complaint> complaints;
  const StoreContextPtr context(X509_STORE_CTX_new());
  const StackPtr middle(sk_X509_new_null());
  const StackPtr anchor(sk_X509_new_null());
  const auto at = [&](std::size_t i) { return certificates[path.certificates[i]].certificate.get(); };
  const std::size_t last = path.certificates.size() - 1;
  for (std::size_t i = 1; i < last; ++i) sk_X509_push(middle.get(), at(i));
  sk_X509_push(anchor.get(), at(last));
  if (!context || X509_STORE_CTX_init(context.get(), nullptr, at(0), middle.get()) != 1) {
    return {{X509_V_ERR_OUT_OF_MEM, 0}};
  }
  X509_STORE_CTX_set0_trusted_stack(context.get(), anchor.get());
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(rules, base::WallClock::to_time_t(request.at));
  X509_VERIFY_PARAM_set_purpose(
      rules, request.use == ChainUse::server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
  X509_VERIFY_PARAM_set_auth_level(rules, 0);  // keys and digests are judged below, with reasons
  // A way that does not end in a root is looked at as if its last were one, for what else is wrong.
  if (path.end != ChainPath::End::trusted) X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN);
  X509_STORE_CTX_set_ex_data(context.get(), 0, &complaints);
  X509_STORE_CTX_set_verify_cb(context.get(), note_and_continue);
  if (X509_verify_cert(context.get()) <= 0 && complaints.empty()) {
    complaints.push_back({X509_STORE_CTX_get_error(context.get()), 0});
  }
  ERR_clear_error();
  return complaints;
}

struct Words {
  ChainReason reason;
  std::string text;
};

Words usage_words(bool leaf, ChainUse use) {
  if (!leaf) {
    return {ChainReason::wrong_usage,
            "is not for issuing such certificates (its extended key usage): use another intermediate"};
  }
  return use == ChainUse::server
             ? Words{ChainReason::wrong_usage,
                     "is not for servers (extended key usage without serverAuth, or a key usage that "
                     "forbids TLS): ask the CA for a server certificate"}
             : Words{ChainReason::wrong_usage,
                     "is not for clients (extended key usage without clientAuth, or a key usage that "
                     "forbids TLS): ask the CA for a client certificate"};
}

std::optional<Words> words_for(int code, bool leaf, const ChainRequest& request) {
  switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return std::nullopt;  // told with the dates
    case X509_V_ERR_INVALID_PURPOSE:
      return usage_words(leaf, request.use);
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_NON_CA:
      return Words{ChainReason::not_a_ca,
                   "is no CA (basicConstraints), yet another certificate names it as its issuer: get the "
                   "right intermediate from the CA"};
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
      return Words{ChainReason::wrong_usage,
                   "may not sign certificates (key usage without keyCertSign): get the right intermediate "
                   "from the CA"};
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
      return Words{ChainReason::path_length,
                   "allows fewer CAs below it than there are (path length): the CA must issue from a higher "
                   "intermediate"};
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
      return Words{ChainReason::name_constraints,
                   "has a name that a CA above it is not allowed to certify (name constraints): leave that "
                   "name out or use another CA"};
    case X509_V_ERR_SUBTREE_MINMAX:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX:
    case X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
      return Words{ChainReason::name_constraints,
                   std::string("meets name constraints that cannot be checked (") +
                       X509_verify_cert_error_string(code) + "): clients will refuse it"};
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return Words{ChainReason::bad_signature,
                   "is not signed by the key of its issuer: one of the two is damaged, or the issuer is "
                   "another one of the same name"};
    case X509_V_ERR_AKID_SKID_MISMATCH:
    case X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH:
      return Words{
          ChainReason::bad_signature,
          "names another certificate of its issuer than this one (authority key identifier): get the "
          "intermediate that the CA names"};
    default:
      return Words{ChainReason::other,
                   std::string("is refused by OpenSSL: ") + X509_verify_cert_error_string(code)};
  }
}

std::optional<Words> weakness_of_key(const X509* certificate) {
  const EVP_PKEY* key = X509_get0_pubkey(certificate);
  if (key == nullptr) {
    return Words{ChainReason::weak_key, "has a key that OpenSSL cannot read: use RSA, ECDSA or Ed25519"};
  }
  const int type = EVP_PKEY_get_base_id(key);
  const int bits = EVP_PKEY_get_bits(key);
  const bool rsa = type == EVP_PKEY_RSA || type == EVP_PKEY_RSA_PSS;
  const bool weak =
      (rsa && bits < kMinRsaBits) || (type == EVP_PKEY_EC && bits < kMinEcBits) || type == EVP_PKEY_DSA;
  if (!weak) return std::nullopt;
  return Words{ChainReason::weak_key,
               "has a key that is too weak (" + key_text(certificate) +
                   "; at least RSA 2048 or EC P-256): make a new key and have it certified"};
}

std::optional<Words> weakness_of_signature(const X509* certificate) {
  int digest = NID_undef;
  if (X509_get_signature_info(const_cast<X509*>(certificate), &digest, nullptr, nullptr, nullptr) != 1) {
    return std::nullopt;
  }
  if (digest != NID_sha1 && digest != NID_md5 && digest != NID_md5_sha1 && digest != NID_md4 &&
      digest != NID_md2) {
    return std::nullopt;
  }
  return Words{ChainReason::weak_signature, std::string("is signed with ") + OBJ_nid2sn(digest) +
                                                ", which can be forged: have it issued anew with SHA-256"};
}

// Of a root only what is in it counts, not who signed it.
void judge_one(const X509* certificate, bool root, const ChainRequest& request, const auto& add) {
  if (auto dates = examine_dates(certificate, request.at, base::Seconds(0))) {
    add(dates->reason, std::move(dates->text));
  }
  if (auto weak = weakness_of_key(certificate)) add(weak->reason, std::move(weak->text));
  if (root) return;
  if (auto weak = weakness_of_signature(certificate)) add(weak->reason, std::move(weak->text));
}

}  // namespace

std::vector<ChainFinding> problems_of(const ChainPath& path,
                                      const std::vector<ChainCertificate>& certificates,
                                      const ChainRequest& request) {
  std::vector<ChainFinding> problems;
  const auto& places = path.certificates;
  const auto at = [&](std::size_t i) { return certificates[places[i]].certificate.get(); };
  const auto add_at = [&](std::size_t i, ChainReason reason, std::string text) {
    const bool known = std::any_of(problems.begin(), problems.end(), [&](const ChainFinding& p) {
      // What is no CA has no CA's purpose either: once is enough.
      const bool follows = p.reason == ChainReason::not_a_ca && reason == ChainReason::wrong_usage;
      return p.certificate == places[i] && (p.reason == reason || follows);
    });
    if (known) return;
    ChainFinding problem;
    problem.reason = reason;
    problem.certificate = places[i];
    problem.text = "\"" + subject_text(at(i)) + "\" " + std::move(text);
    problems.push_back(std::move(problem));
  };
  for (std::size_t i = 0; i < places.size(); ++i) {
    const bool root = is_self_signed(at(i));
    judge_one(at(i), root, request,
              [&](ChainReason reason, std::string text) { add_at(i, reason, std::move(text)); });
    if (i + 1 == places.size()) continue;
    // OpenSSL merely finds no issuer where this is not as it should be.
    const int link = X509_check_issued(at(i + 1), at(i));
    if (link == X509_V_OK) continue;
    const bool of_issuer = link == X509_V_ERR_KEYUSAGE_NO_CERTSIGN;
    if (auto words = words_for(link, false, request))
      add_at(of_issuer ? i + 1 : i, words->reason, std::move(words->text));
  }
  const bool links_hold = std::none_of(problems.begin(), problems.end(), [](const ChainFinding& p) {
    return p.reason == ChainReason::wrong_usage || p.reason == ChainReason::bad_signature;
  });
  if (!links_hold) return problems;
  for (const Complaint& complaint : ask_openssl(path, certificates, request)) {
    const std::size_t i = std::min(complaint.depth, places.size() - 1);
    if (auto words = words_for(complaint.code, i == 0, request))
      add_at(i, words->reason, std::move(words->text));
  }
  return problems;
}

}  // namespace sallyport::tls
