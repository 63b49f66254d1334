#include "sallyport/tls/health.hpp"

#include <algorithm>

#include "sallyport/tls/server_stream.hpp"

#include "extension_types.hpp"

namespace sallyport::tls {

namespace {

bool sends(const ClientHello& hello, std::uint16_t type) noexcept {
  std::size_t at = 0;
  for (Extension extension; hello.extensions.next(at, extension);) {
    if (extension.type == type) return true;
  }
  return false;
}

bool contains(std::string_view text, std::string_view part) noexcept {
  return text.find(part) != std::string_view::npos;
}

// OpenSSL's names of TLS 1.2 suites say it; those of TLS 1.3 are all of this kind (RFC 8446 §4.1.2).
bool is_aead(std::string_view suite) noexcept {
  return contains(suite, "GCM") || contains(suite, "CHACHA20") || contains(suite, "CCM");
}
bool is_ephemeral(std::string_view suite) noexcept {
  return suite.starts_with("ECDHE-") || suite.starts_with("DHE-");
}

// Where a resumed session's certificate is gone: of those that its host has now, the one that ends first.
const ChainStanding* standing_of(const Handshake& handshake) noexcept {
  if (handshake.certificate != nullptr) return &handshake.certificate->standing();
  const ChainStanding* first = nullptr;
  for (const auto& certificate : handshake.host->certificates) {
    const ChainStanding& one = certificate->standing();
    if (first == nullptr || one.valid_until < first->valid_until) first = &one;
  }
  return first;
}

// Hundredths of a part.
constexpr unsigned kAll = 100;
constexpr unsigned kHalf = 50;

unsigned version_part(Version version) noexcept {
  if (version == Version::tls13) return kAll;
  return version == Version::tls12 ? kHalf : 0;
}

unsigned secrecy_part(HealthFacts::Secrecy secrecy) noexcept {
  if (secrecy == HealthFacts::Secrecy::forward) return kAll;
  return secrecy == HealthFacts::Secrecy::session ? kHalf : 0;
}

unsigned expiry_part(const ChainStanding& standing, base::WallTime now) noexcept {
  const base::WallTime::duration left = standing.valid_until - now;
  if (left >= standing.notice) return kAll;
  if (left <= base::WallTime::duration::zero()) return 0;
  return static_cast<unsigned>(left * kAll / standing.notice);
}

}  // namespace

HealthFacts health_facts(const Handshake& handshake, bool tickets) noexcept {
  HealthFacts facts;
  facts.version = handshake.version;
  const bool tls13 = handshake.version == Version::tls13;
  facts.authenticated_cipher = tls13 || is_aead(handshake.cipher);
  if (tls13) {
    facts.secrecy = HealthFacts::Secrecy::forward;  // a pre-shared key alone is not taken
  } else if (is_ephemeral(handshake.cipher)) {
    facts.secrecy = handshake.resumed ? HealthFacts::Secrecy::session : HealthFacts::Secrecy::forward;
  }
  facts.certificate = standing_of(handshake);
  facts.resumption =
      handshake.resumed || (tickets && sends(*handshake.hello, tls13 ? kPskModes : kSessionTicket));
  return facts;
}

unsigned health_score(const HealthFacts& facts, const HealthWeights& weights, base::WallTime now) noexcept {
  std::uint64_t reached = 0;
  std::uint64_t possible = 0;
  const auto add = [&](std::uint32_t weight, unsigned part) {
    reached += std::uint64_t{weight} * part;
    possible += std::uint64_t{weight} * kAll;
  };
  add(weights.version, version_part(facts.version));
  add(weights.forward_secrecy, secrecy_part(facts.secrecy));
  add(weights.suite, facts.authenticated_cipher ? kAll : 0);
  add(weights.resumption, facts.resumption ? kAll : 0);
  if (const ChainStanding* const standing = facts.certificate; standing != nullptr) {
    const bool valid = standing->valid_from <= now && now <= standing->valid_until;
    add(weights.validity, valid ? kAll : 0);
    add(weights.expiry, valid ? expiry_part(*standing, now) : 0);
    // What nobody can tell counts neither way.
    if (standing->chain != ChainState::unknown)
      add(weights.chain, standing->chain == ChainState::complete ? kAll : 0);
  } else {
    add(weights.validity, 0);
    add(weights.expiry, 0);
    add(weights.chain, 0);
  }
  if (possible == 0) return 100;
  return static_cast<unsigned>((reached * 100 + possible / 2) / possible);
}

}  // namespace sallyport::tls
