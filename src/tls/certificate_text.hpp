// Single facts of a certificate in forms that people and logs read. Private to tls.
#pragma once

#include <string>

#include <openssl/x509.h>

#include "sallyport/base/clock.hpp"

namespace sallyport::tls {

[[nodiscard]] base::WallTime wall_time(const ASN1_TIME* time);
[[nodiscard]] std::string date_text(base::WallTime time);         // "2026-01-31 12:00:00 UTC"
[[nodiscard]] std::string serial_text(const X509* certificate);   // lower-case hex
[[nodiscard]] std::string subject_text(const X509* certificate);  // RFC 2253
[[nodiscard]] std::string issuer_text(const X509* certificate);
[[nodiscard]] std::string key_text(const X509* certificate);  // "RSA 2048", "EC P-256"
[[nodiscard]] std::string issuer_url_text(
    const X509* certificate);                                // caIssuers (RFC 5280 §4.2.2.1); may be empty
[[nodiscard]] bool is_self_signed(const X509* certificate);  // by its names and key identifiers

}  // namespace sallyport::tls
