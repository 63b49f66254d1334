#include "sallyport/tls/ocsp.hpp"

#include <algorithm>
#include <array>

#include <openssl/ocsp.h>

#include "certificate_text.hpp"
#include "file.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

using ResponsePtr = std::unique_ptr<OCSP_RESPONSE, Freer<OCSP_RESPONSE_free>>;
using BasicPtr = std::unique_ptr<OCSP_BASICRESP, Freer<OCSP_BASICRESP_free>>;
using RequestPtr = std::unique_ptr<OCSP_REQUEST, Freer<OCSP_REQUEST_free>>;
using CertIdPtr = std::unique_ptr<OCSP_CERTID, Freer<OCSP_CERTID_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;

// Clocks differ; a responder's answer is often of this very second.
constexpr base::Seconds kSkew{300};
constexpr std::size_t kMaxUrl = 1024;

OcspAnswer answer(OcspState state, std::string text) {
  return {state, std::move(text), nullptr};
}

bool answer_signature_holds(OCSP_BASICRESP* basic, X509* issuer, base::WallTime now) {
  const StorePtr store(X509_STORE_new());
  STACK_OF(X509)* known = sk_X509_new_null();
  if (store == nullptr || known == nullptr || X509_STORE_add_cert(store.get(), issuer) != 1 ||
      sk_X509_push(known, issuer) == 0) {
    sk_X509_free(known);
    return false;
  }
  // The issuer is trusted for this, whatever is above it.
  X509_VERIFY_PARAM* how = X509_STORE_get0_param(store.get());
  X509_VERIFY_PARAM_set_flags(how, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_time(how, base::WallClock::to_time_t(now));
  const int verified = OCSP_basic_verify(basic, known, store.get(), OCSP_TRUSTOTHER);
  sk_X509_free(known);
  return verified == 1;
}

// The part of the answer that is about this certificate; responders choose the digest.
OCSP_SINGLERESP* part_about(OCSP_BASICRESP* basic, X509* leaf, X509* issuer) {
  for (const EVP_MD* digest : {EVP_sha1(), EVP_sha256(), EVP_sha384(), EVP_sha512()}) {
    const CertIdPtr id(OCSP_cert_to_id(digest, leaf, issuer));
    if (id == nullptr) continue;
    const int at = OCSP_resp_find(basic, id.get(), -1);
    if (at >= 0) return OCSP_resp_get0(basic, at);
  }
  return nullptr;
}

std::string revocation_text(int reason, const ASN1_GENERALIZEDTIME* when) {
  std::string text = "the certificate was revoked";
  if (when != nullptr) text += " at " + date_text(wall_time(when));
  if (reason >= 0) text += std::string(" (") + OCSP_crl_reason_str(reason) + ")";
  return text + ": replace it";
}

// What the dates rule out; asked first, since with an old answer its signer's certificate has often ended
// too.
std::optional<OcspAnswer> out_of_date(const Staple& staple, base::WallTime now) {
  if (staple.this_update > now + kSkew) {
    return answer(OcspState::outdated, "it is valid from " + date_text(staple.this_update) +
                                           " only: is this machine's clock right?");
  }
  if (staple.next_update <= now) {
    return answer(OcspState::outdated,
                  "it was valid until " + date_text(staple.next_update) + ": get a new one");
  }
  return std::nullopt;
}

OcspAnswer judge_part(std::string_view der, OCSP_BASICRESP* basic, OCSP_SINGLERESP* part, X509* issuer,
                      base::WallTime now) {
  int reason = -1;
  ASN1_GENERALIZEDTIME* revoked = nullptr;
  ASN1_GENERALIZEDTIME* from = nullptr;
  ASN1_GENERALIZEDTIME* until = nullptr;
  const int status = OCSP_single_get0_status(part, &reason, &revoked, &from, &until);
  if (from == nullptr || until == nullptr) {
    return answer(OcspState::malformed,
                  "it does not say until when it is valid, so nobody can tell an old one");
  }
  auto staple = std::make_shared<Staple>();
  staple->this_update = wall_time(from);
  staple->next_update = wall_time(until);
  if (auto outdated = out_of_date(*staple, now)) return std::move(*outdated);
  if (!answer_signature_holds(basic, issuer, now)) {
    return answer(OcspState::untrusted, "neither " + subject_text(issuer) +
                                            " signed it nor whom that named for it (" + take_openssl_error() +
                                            ")");
  }
  if (status == V_OCSP_CERTSTATUS_REVOKED)
    return answer(OcspState::revoked, revocation_text(reason, revoked));
  if (status != V_OCSP_CERTSTATUS_GOOD)
    return answer(OcspState::unknown, "the responder does not know the certificate");
  staple->der = der;
  return {OcspState::good, {}, std::move(staple)};
}

// Host and port of an authority without user information.
bool split_authority(ResponderUrl& url) {
  const std::string_view text = url.authority;
  const bool literal = text.starts_with('[');
  const std::size_t end = std::min(text.find(literal ? ']' : ':'), text.size());
  if (literal && end == text.size()) return false;
  url.host = literal ? text.substr(1, end - 1) : text.substr(0, end);
  const std::string_view rest = text.substr(literal ? end + 1 : end);
  if (url.host.empty() || url.host.find('@') != std::string::npos) return false;
  if (rest.empty()) {
    url.port = "80";
    return true;
  }
  url.port = rest.substr(1);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return rest.front() == ':' && !url.port.empty() && url.port.size() <= 5 &&
         std::all_of(url.port.begin(), url.port.end(), digit);
}

}  // namespace

std::string_view to_string(OcspState state) noexcept {
  static constexpr std::array<std::string_view, 8> kWords = {
      "good", "revoked", "unknown", "outdated", "unrelated", "untrusted", "declined", "malformed"};
  return kWords[static_cast<std::size_t>(state)];
}

OcspAnswer judge_ocsp(std::string_view der, const Certificate& certificate, base::WallTime now) {
  ERR_clear_error();
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = at + der.size();
  const ResponsePtr response(d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (response == nullptr || at != end) {
    return answer(OcspState::malformed, "it is no OCSP response in DER form");
  }
  const int status = OCSP_response_status(response.get());
  if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return answer(OcspState::declined, std::string("the responder gave no answer but the error ") +
                                           OCSP_response_status_str(status));
  }
  const BasicPtr basic(OCSP_response_get1_basic(response.get()));
  ERR_clear_error();
  if (basic == nullptr) return answer(OcspState::malformed, "it is an OCSP response of an unknown kind");
  X509* issuer = certificate.issuer_certificate();
  if (issuer == nullptr) {
    return answer(OcspState::untrusted,
                  "who issued the certificate is not known, so it cannot be verified: append the "
                  "issuer to the chain, or put it in tls.intermediates or tls.roots");
  }
  OCSP_SINGLERESP* part = part_about(basic.get(), certificate.leaf(), issuer);
  if (part == nullptr) {
    return answer(OcspState::unrelated, "it is about other certificates than serial " + certificate.serial());
  }
  return judge_part(der, basic.get(), part, issuer, now);
}

std::string ocsp_question(const Certificate& certificate) {
  ERR_clear_error();
  X509* issuer = certificate.issuer_certificate();
  if (issuer == nullptr) return {};
  const RequestPtr request(OCSP_REQUEST_new());
  // SHA-1 names the issuer here and protects nothing; it is what every responder knows (RFC 5019 §2.1.1).
  CertIdPtr id(OCSP_cert_to_id(EVP_sha1(), certificate.leaf(), issuer));
  if (request == nullptr || id == nullptr || OCSP_request_add0_id(request.get(), id.get()) == nullptr) {
    ERR_clear_error();
    return {};
  }
  static_cast<void>(id.release());  // the request's now
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_REQUEST(request.get(), &der);
  if (size <= 0) return {};
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

std::shared_ptr<const Staple> load_staple(const std::string& file, const Certificate& certificate,
                                          base::WallTime now, Notes& notes) {
  std::string why;
  const std::optional<std::string> der = read_file(file, why);
  if (!der) {
    notes.error("ocsp", file + " " + why);
    return nullptr;
  }
  OcspAnswer judged = judge_ocsp(*der, certificate, now);
  if (judged.state == OcspState::good) return std::move(judged.staple);
  if (judged.state == OcspState::malformed) {
    notes.error("ocsp", file + ": " + (der->empty() ? "is empty" : judged.text) +
                            "; `openssl ocsp -respout` writes one");
  } else {
    notes.warning("ocsp", file + ": " + judged.text + "; it is not shown to clients");
  }
  return nullptr;
}

std::optional<ResponderUrl> parse_responder_url(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  const auto odd = [](char c) { return c <= ' ' || c >= 0x7f; };
  if (url.size() > kMaxUrl || std::any_of(url.begin(), url.end(), odd)) return std::nullopt;
  const auto same = [](char expected, char given) { return expected == (given | 0x20); };
  if (url.size() < kScheme.size() || !std::equal(kScheme.begin(), kScheme.end(), url.begin(), same)) {
    return std::nullopt;
  }
  url.remove_prefix(kScheme.size());
  url = url.substr(0, url.find('#'));
  const std::size_t path = std::min(url.find_first_of("/?"), url.size());
  ResponderUrl parsed;
  parsed.authority = url.substr(0, path);
  parsed.target = url.substr(path);
  if (!parsed.target.starts_with('/')) parsed.target.insert(0, "/");
  if (!split_authority(parsed)) return std::nullopt;
  return parsed;
}

}  // namespace sallyport::tls
