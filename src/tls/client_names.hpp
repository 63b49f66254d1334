// The names and the key of a client's certificate, as they are compared and as they are told.
// Private to tls.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/tls/client_certificate.hpp"

#include "openssl.hpp"

namespace sallyport::tls {

// One of a policy's client_auth.sans.
class NamePattern {
 public:
  // "DNS:", "URI:", "email:" or "IP:" before it says what it is; else its form does. "*.example.com" is
  // any one label before it, "spiffe://example.com/web/*" any URI that begins so and goes on.
  [[nodiscard]] static std::optional<NamePattern> parse(std::string_view text);
  // Bytes as they stand in the certificate: of a dNSName, URI, rfc822Name or iPAddress (GEN_…).
  [[nodiscard]] bool matches(int kind, std::string_view bytes) const noexcept;

 private:
  int kind_ = 0;  // GEN_DNS, …
  bool wild_ = false;
  std::string text_;  // what must be equal, or what it must begin or end with
};

[[nodiscard]] bool has_name(X509* certificate, const std::vector<NamePattern>& patterns);
// "DNS:a.example", …: see ClientCertificate::sans.
[[nodiscard]] std::vector<std::string> told_names(X509* certificate);
// Base64 of the SHA-256 of its SubjectPublicKeyInfo (RFC 7469 §2.4).
[[nodiscard]] std::string pin_of(const X509* certificate);

[[nodiscard]] std::unique_ptr<const ClientCertificate> describe(X509* certificate, ClientCertResult result);

}  // namespace sallyport::tls
