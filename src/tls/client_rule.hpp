// What a client's certificate must be: of these CAs, on none of their revocation lists, of one of
// these names, with one of these keys. Policy names it; here is what OpenSSL needs of it. Private
// to tls.
//
// Built on the control loop, immutable, shared by workers; dies with the last policy that has it.
// Names and pins are looked at when the chain has been found good, and told by verify codes that
// OpenSSL has but does not use here, because a session keeps the code: whoever resumes one has the
// same result. Both codes make OpenSSL send bad_certificate; access_denied would say it better, but
// none of its codes leads to that.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/tls/policy.hpp"

#include "client_names.hpp"
#include "openssl.hpp"
#include "revocation.hpp"

namespace sallyport::tls {

inline constexpr long kNoSanMatches = X509_V_ERR_HOSTNAME_MISMATCH;
inline constexpr long kNoPinMatches = X509_V_ERR_CERT_REJECTED;

struct ClientRule {
  ClientAuthMode mode = ClientAuthMode::off;
  int depth = 4;
  std::string ca_file;
  std::vector<X509Ptr> authorities;
  std::vector<RevocationList> lists;
  std::vector<std::string> sans;  // as they were given
  std::vector<NamePattern> names;
  std::vector<std::string> pins;

  // X509_V_OK, or which of the two above.
  [[nodiscard]] long refuses(X509* leaf) const;
  // Whether a certificate that will not do ends the handshake.
  [[nodiscard]] bool strict() const noexcept { return mode == ClientAuthMode::require; }
  // The newest list of that issuer; nullptr: none.
  [[nodiscard]] const RevocationList* list_of(std::string_view issuer) const noexcept;
};

// Reads the files; `digest` gets all that makes it another rule. nullptr if `notes` got an error.
[[nodiscard]] std::shared_ptr<const ClientRule> load_client_rule(const ClientAuthSpec& spec,
                                                                 base::WallTime now, Digest& digest,
                                                                 Notes& notes);

// Puts it on a context. False: OpenSSL has no memory for it.
[[nodiscard]] bool apply(const ClientRule& rule, SSL_CTX* context);
// The one whose context the verification is for.
[[nodiscard]] const ClientRule* rule_of(const X509_STORE_CTX* verification) noexcept;

}  // namespace sallyport::tls
