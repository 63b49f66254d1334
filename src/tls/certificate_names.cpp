#include "certificate_names.hpp"

#include <algorithm>
#include <array>

#include "sallyport/net/address.hpp"

#include "openssl.hpp"

namespace sallyport::tls {

namespace {

std::string dns_name(std::string_view raw) {
  std::string name(raw);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name.ends_with('.')) name.pop_back();
  // An embedded NUL has fooled readers of C strings before.
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return printable ? name : std::string();
}

}  // namespace

std::string address_text(std::string_view raw) {
  if (raw.size() == 4) {
    std::array<std::uint8_t, 4> bytes{};
    std::copy(raw.begin(), raw.end(), bytes.begin());
    return net::IpAddress::v4(bytes).to_string();
  }
  if (raw.size() == 16) {
    std::array<std::uint8_t, 16> bytes{};
    std::copy(raw.begin(), raw.end(), bytes.begin());
    return net::IpAddress::v6(bytes).to_string();
  }
  return {};
}

void read_names(X509* certificate, std::vector<std::string>& dns_names, std::vector<std::string>& addresses) {
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) {
      if (std::string text = dns_name(bytes_of(name->d.dNSName)); !text.empty()) {
        dns_names.push_back(std::move(text));
      }
    } else if (name->type == GEN_IPADD) {
      if (std::string text = address_text(bytes_of(name->d.iPAddress)); !text.empty()) {
        addresses.push_back(std::move(text));
      }
    }
  }
  GENERAL_NAMES_free(names);
  ERR_clear_error();
}

}  // namespace sallyport::tls
