// The extensions of TLS hellos that are read or written here (IANA's "TLS ExtensionType Values").
// Private to tls.
#pragma once

#include <cstdint>

namespace sallyport::tls {

enum ExtensionType : std::uint16_t {
  kServerName = 0,
  kSupportedGroups = 10,
  kPointFormats = 11,
  kSignatureAlgorithms = 13,
  kAlpn = 16,
  kSessionTicket = 35,
  kPreSharedKey = 41,
  kEarlyData = 42,
  kSupportedVersions = 43,
  kPskModes = 45,
  kSignatureAlgorithmsCert = 50,
  kKeyShare = 51,
  kEncryptedClientHello = 0xfe0d,
};

}  // namespace sallyport::tls
