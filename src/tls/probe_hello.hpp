// ClientHellos made by hand, for what this OpenSSL cannot be made to send: key shares of
// groups that it lacks, the offer of a certain client in its very order, versions before 1.2
// (RFC 8446 §4.1.2; draft-ietf-tls-ecdhe-mlkem for X25519MLKEM768).
//
// The keys are random and nobody has their secrets: such a handshake shows what a server answers and
// goes no further. Control plane and command line only; private to tls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::tls {

namespace group {
inline constexpr std::uint16_t kP256 = 0x0017;
inline constexpr std::uint16_t kP384 = 0x0018;
inline constexpr std::uint16_t kX25519 = 0x001d;
inline constexpr std::uint16_t kX25519MlKem768 = 0x11ec;
}  // namespace group

struct HelloOffer {
  std::uint16_t legacy_version = 0x0303;
  std::vector<std::uint16_t> versions;  // supported_versions; none: the extension is left out
  std::vector<std::uint16_t> suites;
  std::vector<std::uint16_t> groups;
  std::vector<std::uint16_t> key_shares;  // of these, X25519 and X25519MLKEM768 can be made
  std::vector<std::uint16_t> signatures;
  std::vector<std::string> alpn;
  std::string sni;  // empty: none
};

// Cloudflare towards an origin: TLS 1.3 with X25519MLKEM768 first, then its list for TLS 1.2.
[[nodiscard]] HelloOffer cloudflare_offer();
// A current client of TLS 1.3 alone.
[[nodiscard]] HelloOffer post_quantum_offer();
// TLS 1.0 and 1.1, as clients were before 2014.
[[nodiscard]] HelloOffer legacy_offer();

// The handshake message, its 4-byte header included.
[[nodiscard]] std::string hello_message(const HelloOffer& offer);

// 1184 bytes that every implementation takes for an encapsulation key of ML-KEM-768: its
// coefficients are below q (FIPS 203 §7.2).
[[nodiscard]] std::string random_mlkem768_key();

}  // namespace sallyport::tls
