// OCSP for our own certificates (RFC 6960, RFC 5019): the question, and what an answer is worth.
//
// An answer is believed if it is about the certificate, signed by its issuer or by whom the issuer
// named for it, and of now; only one that says "good" is shown to clients. Pure but for load_staple();
// control plane. The rest of TLS sees Staples only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/base/clock.hpp"
#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/notes.hpp"
#include "sallyport/tls/staple.hpp"

namespace sallyport::tls {

enum class OcspState : std::uint8_t {
  good,
  revoked,    // believed: the certificate is void
  unknown,    // the responder does not know the certificate
  outdated,   // or not valid yet
  unrelated,  // about other certificates
  untrusted,  // the signature, or who made it
  declined,   // the responder gave an error instead: try later, unauthorised …
  malformed,
};
[[nodiscard]] std::string_view to_string(OcspState state) noexcept;

struct OcspAnswer {
  OcspState state = OcspState::malformed;
  std::string text;                      // what it is, unless good; one line without the file's name
  std::shared_ptr<const Staple> staple;  // if good
};

// `der`: what a responder sent.
[[nodiscard]] OcspAnswer judge_ocsp(std::string_view der, const Certificate& certificate, base::WallTime now);

// The question, DER; empty if the certificate's issuer is not known. Without a nonce: responders
// answer from a cache.
[[nodiscard]] std::string ocsp_question(const Certificate& certificate);

// A responder's answer from a file. nullptr: `notes` has why not. A file that holds no answer at all
// is an error; one that is of no use (old, revoked, of the certificate of before) is a warning, for it
// must not keep a new certificate from being served.
[[nodiscard]] std::shared_ptr<const Staple> load_staple(const std::string& file,
                                                        const Certificate& certificate, base::WallTime now,
                                                        Notes& notes);

// Where a certificate says that its responder is.
struct ResponderUrl {
  std::string host;       // without brackets
  std::string port;       // "80" unless given
  std::string target;     // path and query, at least "/"
  std::string authority;  // for the Host field
};
// http:// only, as OCSP is; empty if it is no such URL.
[[nodiscard]] std::optional<ResponderUrl> parse_responder_url(std::string_view url);

}  // namespace sallyport::tls
