// Revocation lists of the CAs that client certificates come from (RFC 5280 §5), as files: PEM,
// several in one, or DER. Private to tls.
//
// OpenSSL decides which list covers a certificate, by issuer, key and scope. How a list is searched
// and its signature checked is ours: OpenSSL hashes the whole list at every handshake, 11 ms for
// one of 100,000 entries, and sorts it under a lock at the first. Here a list is sorted when it is
// read, and its signer's key is remembered from the first time that the signature held.
// Built on the control loop; then immutable but for that memory, shared by all workers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/tls/notes.hpp"

#include "openssl.hpp"

namespace sallyport::tls {

struct RevocationList {
  CrlPtr list;
  std::string file;
  std::string issuer;                   // RFC 2253
  std::optional<base::WallTime> until;  // nextUpdate; none: it does not say
};

// All lists of a file's bytes, behind `lists`. What cannot be taken is an error at `where`.
void read_lists(std::string_view bytes, const std::string& file, const std::string& where,
                std::vector<RevocationList>& lists, Notes& notes);

// What will not work, or not for long, as far as it is known at load: a list that is not signed by
// the CA whose name it has is an error; one of nobody here, one that is out of date, and a CA
// without a list are warnings.
void judge_lists(const std::vector<RevocationList>& lists, const std::vector<X509Ptr>& authorities,
                 const std::string& ca_file, base::WallTime now, const std::string& where, Notes& notes);

}  // namespace sallyport::tls
