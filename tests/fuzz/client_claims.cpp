// Fuzzes what is read of who a request is from. Each line of the input is a field; what comes out
// is an address that stands in it, and once the claims are removed nothing of them is left.
#include "sallyport/proxy/client_claims.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace sallyport;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

http::Fields fields_of(std::string_view text) {
  http::Fields fields;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos) continue;
    std::string name(line.substr(0, colon));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    fields.add(name, line.substr(colon + 1));
  }
  return fields;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using config::ClientAddress;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  http::Fields fields = fields_of(text);
  const auto ten = [](const net::IpAddress& address) { return address.is_v4() && address.bytes()[12] == 10; };
  for (const auto where : {ClientAddress::cf_connecting_ip, ClientAddress::true_client_ip,
                           ClientAddress::x_forwarded_for, ClientAddress::peer}) {
    const auto told = proxy::told_address(fields, where, ten);
    require(!told || where != ClientAddress::peer);
    if (told) require(net::IpAddress::parse(told->to_string()) == told);
  }
  const std::string_view scheme = proxy::visitor_scheme(fields);
  require(scheme.empty() || scheme == "http" || scheme == "https");
  require(proxy::passes(fields, "sallyport") <= size);
  const std::size_t others = fields.count(http::FieldId::x_forwarded_for);
  proxy::remove_claims(fields);
  require(fields.all_of(
      [](const http::Fields::Field& f) { return !f.name.starts_with("cf-") || f.name == "cf-"; }));
  require(!proxy::told_address(fields, ClientAddress::cf_connecting_ip, ten));
  require(fields.count(http::FieldId::x_forwarded_for) == others);
  return 0;
}
