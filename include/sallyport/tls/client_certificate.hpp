// What a client's certificate says, in words that may stand in a field value or a log line: a CA
// signs whatever its rules allow, and an attacker may have chosen every name in it.
//
// Made once a handshake that a certificate was shown in, also a resumed one, whose session keeps
// the certificate but not the chain. Values; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/tls/verdict.hpp"

namespace sallyport::tls {

// Visible ASCII and spaces throughout. Nothing is cut in the middle, which could make another name
// of it: what is too long is left out.
struct ClientCertificate {
  static constexpr std::size_t kMostSerial = 80;     // digits, twice what a CA may give, else empty
  static constexpr std::size_t kMostName = 1024;     // of a subject or issuer, else empty
  static constexpr std::size_t kMostSan = 512;       // of one name, else it is not listed
  static constexpr std::size_t kMostSans = 32;       // the others are not listed
  static constexpr std::size_t kMostDer = 9 * 1024;  // 12 KiB as base64, else empty; an ML-DSA-87 one has 8

  ClientCertResult result = ClientCertResult::ok;
  // RFC 2253; what is not ASCII, a quote or a backslash is a backslash with two hexadecimal digits.
  std::string subject, issuer;
  std::string serial;  // hexadecimal
  std::string sha256;  // of the certificate, hexadecimal
  base::WallTime not_after{};
  // "DNS:…", "URI:…", "email:…", "IP:…"; in them commas, quotes, backslashes, spaces and whatever is not
  // visible ASCII are escaped as %XX.
  std::vector<std::string> sans;
  std::string der_base64;
};

// Why a client's certificate will not do. Bytes as they stand in the certificate: a log escapes them.
struct RefusedCertificate {
  long code = 0;                // X509_V_…
  std::string subject, issuer;  // of it, or of the one above it that will not do
  std::string names, pin;       // its own, where one of the rule's must be among them
};

}  // namespace sallyport::tls
