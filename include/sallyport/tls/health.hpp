// The health of a handshake, 0-100: how far what was negotiated, and the certificate behind it, is from
// what one would wish for. docs/health.md explains each part; the weights are the operator's.
//
// Pure and without allocation, since every handshake is scored. A part is worth its weight, some
// of it, or nothing; the score is what was reached of the sum of the weights.
#pragma once

#include <cstdint>

#include "sallyport/base/clock.hpp"
#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/names.hpp"

namespace sallyport::tls {

struct Handshake;

struct HealthWeights {
  std::uint32_t version = 20;
  std::uint32_t forward_secrecy = 15;
  std::uint32_t suite = 15;
  std::uint32_t validity = 20;
  std::uint32_t expiry = 15;
  std::uint32_t chain = 10;
  std::uint32_t resumption = 5;
};

struct HealthFacts {
  // Whether this connection's bytes stay secret when a key is lost later.
  enum class Secrecy : std::uint8_t {
    none,     // RSA key transport: the certificate's key opens it
    session,  // a TLS 1.2 session resumed: the ticket's key opens it, as long as that one lives
    forward,  // keys were made for it and are gone
  };
  Version version = Version::none;
  Secrecy secrecy = Secrecy::none;
  bool authenticated_cipher = false;           // an AEAD (RFC 5116)
  const ChainStanding* certificate = nullptr;  // nullptr: none is known
  bool resumption = false;                     // resumed, or the client may come back with a ticket
};

// `tickets`: whether we give any.
[[nodiscard]] HealthFacts health_facts(const Handshake& handshake, bool tickets) noexcept;

[[nodiscard]] unsigned health_score(const HealthFacts& facts, const HealthWeights& weights,
                                    base::WallTime now) noexcept;

}  // namespace sallyport::tls
