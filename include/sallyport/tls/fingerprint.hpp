// JA3 and JA4 of a ClientHello: what kind of client speaks, whatever name or address it uses.
// JA3 is Salesforce's (an MD5 over the lists as sent), JA4 is FoxIO's for TLS clients over TCP
// (sorted lists, so that clients that shuffle their extensions keep their fingerprint). GREASE
// (RFC 8701) counts in neither.
//
// Pure; any thread. They cost two hashes and some strings, so who does not read them does not
// ask: no handshake that succeeds pays for them.
#pragma once

#include <string>

#include "sallyport/tls/hello.hpp"

namespace sallyport::tls {

// "t13d1516h2_8daaf6152771_e5627efa2ab1"
[[nodiscard]] std::string ja4(const ClientHello& hello);
// What is hashed for it, in the clear: JA4_r.
[[nodiscard]] std::string ja4_raw(const ClientHello& hello);

// "ada70206e40642a3e4461f35503241d5"; empty where OpenSSL may not do MD5 (FIPS).
[[nodiscard]] std::string ja3(const ClientHello& hello);
// What is hashed for it: "769,47-53,0-10-11,23-24-25,0".
[[nodiscard]] std::string ja3_text(const ClientHello& hello);

}  // namespace sallyport::tls
