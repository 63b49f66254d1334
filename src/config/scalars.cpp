#include "scalars.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

namespace sallyport::config {
namespace {

constexpr std::uint64_t kMaxMilliseconds = 366ULL * 24 * 3600 * 1000;  // a year: more is a mistake
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 50;
constexpr std::size_t kMaxQuoted = 80;
constexpr std::size_t kMaxWord = 64;  // longer words are no misspelling of ours

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// The leading digits of `text`, which are taken off it. Saturates.
std::optional<std::uint64_t> take_digits(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && digit(text[n])) ++n;
  if (n == 0) return std::nullopt;
  std::uint64_t value = 0;
  if (std::from_chars(text.data(), text.data() + n, value).ec != std::errc())
    value = std::numeric_limits<std::uint64_t>::max();
  text.remove_prefix(n);
  return value;
}

template <std::size_t N>
Parsed<std::uint64_t> with_unit(std::string_view text, const std::array<Unit, N>& units, std::uint64_t max,
                                const std::string& form) {
  std::string_view rest = text;
  const auto value = take_digits(rest);
  if (!value) return Wrong{in_quotes(text) + " is not " + form};
  if (rest.empty()) {
    if (*value == 0) return std::uint64_t{0};
    return Wrong{in_quotes(text) + " has no unit: write " + form};
  }
  for (const Unit& unit : units) {
    if (rest != unit.name) continue;
    if (*value > max / unit.factor) return Wrong{in_quotes(text) + " is too large"};
    return *value * unit.factor;
  }
  return Wrong{in_quotes(text) + " has an unknown unit: write " + form};
}

// "host:port" or "[v6]:port" → the two. An unbracketed IPv6 address has no port.
struct HostPort {
  std::string_view host;
  std::string_view port;
  bool bracketed = false;
};
std::optional<HostPort> split(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find("]:");
    if (end == std::string_view::npos) return std::nullopt;
    return HostPort{text.substr(1, end - 1), text.substr(end + 2), true};
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.find(':') != colon) return std::nullopt;
  return HostPort{text.substr(0, colon), text.substr(colon + 1), false};
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  const auto value = take_digits(text);
  if (!value || !text.empty() || *value > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*value);
}

bool is_v4(std::string_view text) {
  in_addr out;
  return inet_pton(AF_INET, std::string(text).c_str(), &out) == 1;
}
bool is_v6(std::string_view text) {
  in6_addr out;
  return inet_pton(AF_INET6, std::string(text).c_str(), &out) == 1;
}

// RFC 1123 §2.1 with the underscore that internal names use.
bool is_dns_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  std::size_t label = 0;
  char before = '.';
  for (const char c : name) {
    if (c == '.') {
      if (label == 0 || before == '-') return false;
      label = 0;
    } else {
      if (!(alpha(c) || digit(c) || c == '_' || (c == '-' && label > 0)) || ++label > 63) return false;
    }
    before = c;
  }
  return label > 0 && before != '-';
}

bool is_tchar(char c) {
  return alpha(c) || digit(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

}  // namespace

Parsed<Milliseconds> parse_duration(std::string_view text) {
  static constexpr std::array<Unit, 5> kUnits{
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  auto value = with_unit(text, kUnits, kMaxMilliseconds, "a duration such as 500ms, 10s, 5m, 1h or 7d");
  if (auto* wrong = std::get_if<Wrong>(&value)) return std::move(*wrong);
  return Milliseconds(static_cast<Milliseconds::rep>(std::get<std::uint64_t>(value)));
}

Parsed<std::uint64_t> parse_size(std::string_view text) {
  static constexpr std::array<Unit, 4> kUnits{{{"B", 1}, {"KiB", kKiB}, {"MiB", kMiB}, {"GiB", 1024 * kMiB}}};
  return with_unit(text, kUnits, kMaxSize, "a size such as 512B, 64KiB, 100MiB or 1GiB");
}

Parsed<std::uint64_t> parse_count(std::string_view text) {
  std::string_view rest = text;
  const auto value = take_digits(rest);
  if (!value || !rest.empty()) return Wrong{in_quotes(text) + " is not a whole number"};
  return *value;
}

Parsed<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return Wrong{in_quotes(text) + " is not a number"};
  return value;
}

Parsed<Percent> parse_percent(std::string_view text) {
  std::string_view rest = text;
  const auto value = take_digits(rest);
  if (!value || rest != "%" || *value > 100) return Wrong{in_quotes(text) + " is not a share such as 20%"};
  return Percent{static_cast<std::uint32_t>(*value)};
}

Parsed<ListenAddress> parse_listen_address(std::string_view text) {
  const auto parts = split(text);
  if (!parts)
    return Wrong{in_quotes(text) +
                 " is not an address: write \"[::]:443\" (both families), \"0.0.0.0:443\" or " +
                 "\"127.0.0.1:8443\""};
  const auto port = parse_port(parts->port);
  if (!port) return Wrong{in_quotes(parts->port) + " is not a port (0-65535)"};
  const bool v6 = parts->bracketed;
  if (v6 ? !is_v6(parts->host) : !is_v4(parts->host))
    return Wrong{in_quotes(parts->host) + " is not an " + (v6 ? "IPv6" : "IPv4") +
                 " address: listeners take no names; \"[::]\" is every address of both families"};
  return ListenAddress{std::string(parts->host), *port, v6};
}

Parsed<UpstreamEndpoint> parse_endpoint(std::string_view text) {
  const auto parts = split(text);
  if (!parts) return Wrong{in_quotes(text) + " is not host:port (an IPv6 address stands in brackets)"};
  const auto port = parse_port(parts->port);
  if (!port || *port == 0) return Wrong{in_quotes(parts->port) + " is not a port (1-65535)"};
  const bool good = parts->bracketed ? is_v6(parts->host) : is_v4(parts->host) || is_dns_name(parts->host);
  if (!good) return Wrong{in_quotes(parts->host) + " is neither a name nor an address"};
  UpstreamEndpoint endpoint;
  endpoint.host = parts->host;
  endpoint.port = *port;
  return endpoint;
}

Parsed<std::string> parse_cidr(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  std::array<unsigned char, 16> bytes{};
  const bool v4 = inet_pton(AF_INET, address.c_str(), bytes.data()) == 1;
  if (!v4 && inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1)
    return Wrong{in_quotes(text) + " is not an address range such as 10.0.0.0/8 or 2001:db8::/32"};
  const std::uint64_t width = v4 ? 32 : 128;
  if (slash == std::string_view::npos) return std::string(text);
  std::string_view rest = text.substr(slash + 1);
  const auto prefix = take_digits(rest);
  if (!prefix || !rest.empty() || *prefix > width)
    return Wrong{in_quotes(text) + " needs a prefix length of 0-" + std::to_string(width)};
  for (std::uint64_t bit = *prefix; bit < width; ++bit) {
    if ((bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
      return Wrong{in_quotes(text) + " has bits set behind its prefix: a typing error in one of the two"};
  }
  return std::string(text);
}

bool is_loopback(const ListenAddress& address) {
  if (!address.v6) return address.ip.starts_with("127.");
  in6_addr parsed;
  return inet_pton(AF_INET6, address.ip.c_str(), &parsed) == 1 && IN6_IS_ADDR_LOOPBACK(&parsed);
}

Parsed<std::string> parse_host_name(std::string_view text) {
  if (text == "*") return std::string("*");
  std::string_view name = text;
  if (name.ends_with('.')) name.remove_suffix(1);
  if (is_v4(name) || is_v6(name)) return lower(name);
  const bool wildcard = name.starts_with("*.");
  if (!is_dns_name(wildcard ? name.substr(2) : name)) {
    if (name.find('*') != std::string_view::npos)
      return Wrong{in_quotes(text) + ": a wildcard is the whole first label, as in \"*.example.com\""};
    if (std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
      return Wrong{in_quotes(text) + ": write an international name in its xn-- form"};
    return Wrong{in_quotes(text) + " is not a host name (no scheme, port or path)"};
  }
  return lower(name);
}

Parsed<std::string> parse_field_name(std::string_view text) {
  if (text.empty() || text.size() > 256 || !std::all_of(text.begin(), text.end(), is_tchar))
    return Wrong{in_quotes(text) + " is not a header name"};
  return lower(text);
}

Parsed<std::string> parse_field_value(std::string_view text) {
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f)
      return Wrong{in_quotes(text) + " holds a control character: a header value is one line"};
  }
  if (!text.empty() &&
      (text.front() == ' ' || text.front() == '\t' || text.back() == ' ' || text.back() == '\t'))
    return Wrong{in_quotes(text) + " begins or ends with a blank, which does not survive on the way"};
  return std::string(text);
}

Parsed<std::string> parse_authority(std::string_view text) {
  std::string_view host = text;
  if (const auto parts = split(text)) {
    const auto port = parse_port(parts->port);
    if (!port || *port == 0) return Wrong{in_quotes(parts->port) + " is not a port (1-65535)"};
    host = parts->host;
    if (parts->bracketed && !is_v6(host)) return Wrong{in_quotes(host) + " is not an IPv6 address"};
    if (parts->bracketed) return lower(text);
  } else if (host.starts_with('[') && host.ends_with(']') && is_v6(host.substr(1, host.size() - 2))) {
    return lower(text);
  }
  if (!is_v4(host) && !is_dns_name(host)) return Wrong{in_quotes(text) + " is not host or host:port"};
  return lower(text);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kMaxQuoted)) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      std::array<char, 5> hex{};
      std::snprintf(hex.data(), hex.size(), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += hex.data();
    } else {
      out += c;
    }
  }
  if (text.size() > kMaxQuoted) out += "…";
  return out + "\"";
}

// With exchanges of neighbours ("idel"), since that is how fingers err.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  if (a.size() > kMaxWord || b.size() > kMaxWord) return kMaxWord;
  std::array<std::array<std::size_t, kMaxWord + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& now = rows[i % 3];
    const auto& last = rows[(i + 2) % 3];
    const auto& older = rows[(i + 1) % 3];
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1];
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], older[j - 2] + 1);
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace sallyport::config
