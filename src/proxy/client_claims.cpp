#include "sallyport/proxy/client_claims.hpp"

#include <algorithm>

#include "sallyport/http/semantics.hpp"

namespace sallyport::proxy {

namespace {

using http::FieldId;

// More proxies than this in a row are a loop, or an attack on our time.
constexpr std::size_t kMaxHops = 64;

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<net::IpAddress> single_address(const http::Fields& fields, FieldId id) {
  if (fields.count(id) != 1) return std::nullopt;
  return net::IpAddress::parse(trimmed(*fields.find(id)));
}

// "192.0.2.1", "2001:db8::1", and with a port behind, as some balancers write it.
std::optional<net::IpAddress> hop_address(std::string_view hop) {
  if (const auto plain = net::IpAddress::parse(hop)) return plain;
  if (const auto with_port = net::Endpoint::parse(hop)) return with_port->address;
  const bool brackets = hop.size() > 2 && hop.front() == '[' && hop.back() == ']';
  return brackets ? net::IpAddress::parse(hop.substr(1, hop.size() - 2)) : std::nullopt;
}

std::optional<net::IpAddress> from_the_right(const http::Fields& fields, const Trusted& trusted) {
  std::vector<std::string_view> lists;
  fields.for_each([&](const http::Fields::Field& f) {
    if (f.id == FieldId::x_forwarded_for) lists.push_back(f.value);
  });
  std::optional<net::IpAddress> client;
  std::size_t hops = 0;
  for (; !lists.empty(); lists.pop_back()) {
    std::string_view list = lists.back();
    for (bool more = true; more;) {
      const std::size_t comma = list.rfind(',');
      more = comma != std::string_view::npos;
      const auto hop = hop_address(trimmed(more ? list.substr(comma + 1) : list));
      if (!hop || ++hops > kMaxHops) return client;
      client = hop;
      if (!trusted(*hop)) return client;
      if (more) list = list.substr(0, comma);
    }
  }
  return client;
}

}  // namespace

std::optional<net::IpAddress> told_address(const http::Fields& fields, config::ClientAddress where,
                                           const Trusted& trusted) {
  switch (where) {
    case config::ClientAddress::cf_connecting_ip:
      return single_address(fields, FieldId::cf_connecting_ip);
    case config::ClientAddress::true_client_ip:
      return single_address(fields, FieldId::true_client_ip);
    case config::ClientAddress::x_forwarded_for:
      return fields.has(FieldId::x_forwarded_for) ? from_the_right(fields, trusted) : std::nullopt;
    case config::ClientAddress::peer:
      break;
  }
  return std::nullopt;
}

// {"scheme":"https"}, and nothing else is known to stand in it.
std::string_view visitor_scheme(const http::Fields& fields) noexcept {
  if (fields.count(FieldId::cf_visitor) != 1) return {};
  const std::string_view value = *fields.find(FieldId::cf_visitor);
  if (value == R"({"scheme":"https"})") return "https";
  return value == R"({"scheme":"http"})" ? std::string_view("http") : std::string_view();
}

std::size_t passes(const http::Fields& fields, std::string_view id) noexcept {
  if (!fields.has(FieldId::cdn_loop)) return 0;
  std::size_t found = 0;
  fields.for_each([&](const http::Fields::Field& f) {
    if (f.id != FieldId::cdn_loop) return;
    for (std::string_view rest = f.value; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view item = rest.substr(0, comma);
      found += http::equals_ignoring_case(trimmed(item.substr(0, item.find(';'))), id) ? 1 : 0;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  });
  return found;
}

void remove_claims(http::Fields& fields) noexcept {
  for (const FieldId id : {FieldId::cf_connecting_ip, FieldId::cf_ipcountry, FieldId::cf_ray,
                           FieldId::cf_visitor, FieldId::true_client_ip}) {
    if (fields.has(id)) fields.remove(id);
  }
  // Removing moves no text and no entry, so walking on is safe.
  fields.for_each([&](const http::Fields::Field& f) {
    if (f.name.size() > 3 && f.name[0] == 'c' && f.name[1] == 'f' && f.name[2] == '-') fields.remove(f.name);
  });
}

}  // namespace sallyport::proxy
