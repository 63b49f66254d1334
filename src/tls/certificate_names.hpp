// The names that a certificate is for: its subjectAltName, which alone counts (RFC 9525 §6.3).
// Private to tls.
#pragma once

#include <string>
#include <string_view>
#include <vector>

struct x509_st;

namespace sallyport::tls {

// DNS names in lower case; addresses as text.
void read_names(x509_st* certificate, std::vector<std::string>& dns_names,
                std::vector<std::string>& addresses);

// Of an iPAddress of 4 or 16 bytes; empty for others.
[[nodiscard]] std::string address_text(std::string_view raw);

}  // namespace sallyport::tls
