// Single facts of a certificate in forms that people and logs read. Private to tls.
#pragma once

#include <string>

#include <openssl/x509.h>

#include "sallyport/base/clock.hpp"

namespace sallyport::tls {

[[nodiscard]] base::WallTime wall_time(const ASN1_TIME* time);
[[nodiscard]] std::string serial_text(const X509* certificate);   // lower-case hex
[[nodiscard]] std::string subject_text(const X509* certificate);  // RFC 2253
[[nodiscard]] std::string issuer_text(const X509* certificate);
[[nodiscard]] std::string key_text(const X509* certificate);  // "RSA 2048", "EC P-256"
[[nodiscard]] std::string issuer_url_text(
    const X509* certificate);  // caIssuers (RFC 5280 §4.2.2.1); may be empty
[[nodiscard]] std::string responder_url_text(
    const X509* certificate);  // of OCSP, the first that is http (RFC 5280 §4.2.2.1); may be empty
[[nodiscard]] bool asks_for_staple(const X509* certificate);  // must-staple (RFC 7633)
[[nodiscard]] bool is_self_signed(const X509* certificate);   // by its names and key identifiers

}  // namespace sallyport::tls
