// The names that a certificate is for: its subjectAltName, which alone counts (RFC 9525 §6.3).
// Private to tls.
#pragma once

#include <string>
#include <vector>

struct x509_st;

namespace sallyport::tls {

// DNS names in lower case; addresses as text.
void read_names(x509_st* certificate, std::vector<std::string>& dns_names,
                std::vector<std::string>& addresses);

}  // namespace sallyport::tls
