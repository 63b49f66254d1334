#include "sallyport/net/cidr.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace sallyport::net {

namespace {

using Bytes = std::array<std::uint8_t, 16>;
constexpr unsigned kV6Bits = 128;
constexpr unsigned kV4Bits = 32;
constexpr unsigned kMappedBits = kV6Bits - kV4Bits;  // an IPv4 address is the last 32 of its 128 bits

// `bytes` with all bits from `prefix` on cleared or set.
Bytes with_host_bits(Bytes bytes, unsigned prefix, bool set) {
  for (unsigned i = 0; i < bytes.size(); ++i) {
    const unsigned kept = prefix <= i * 8 ? 0 : std::min(prefix - i * 8, 8U);
    const unsigned host = 0xffU >> kept;
    bytes[i] = static_cast<std::uint8_t>(set ? bytes[i] | host : bytes[i] & ~host);
  }
  return bytes;
}

std::optional<unsigned> parse_prefix(std::string_view text, unsigned longest) {
  unsigned prefix = 0;
  const char* end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, prefix);
  const bool leading_zero = text.size() > 1 && text.front() == '0';
  if (ec != std::errc() || rest != end || leading_zero || prefix > longest) return std::nullopt;
  return prefix;
}

std::string in_quotes(std::string_view text) {
  return '"' + std::string(text) + '"';
}

}  // namespace

boost::system::result<Cidr, std::string> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address)
    return in_quotes(text) + " is not an IP address or block such as 192.0.2.0/24 or 2001:db8::/32";
  const bool written_as_v6 = text.find(':') != std::string_view::npos;
  const unsigned bits = written_as_v6 ? kV6Bits : kV4Bits;
  std::optional<unsigned> prefix = bits;
  if (slash != std::string_view::npos) prefix = parse_prefix(text.substr(slash + 1), bits);
  if (!prefix) {
    return in_quotes(text) + ": the prefix length must be a number from 0 to " + std::to_string(bits);
  }

  const unsigned of_128 = *prefix + (kV6Bits - bits);
  const Bytes network = with_host_bits(address->bytes(), of_128, false);
  if (network != address->bytes()) {
    const std::string meant = IpAddress::v6(network).to_string() + '/' + std::to_string(*prefix);
    return in_quotes(text) + " has bits set behind its prefix; did you mean " + in_quotes(meant) + '?';
  }
  const unsigned own = address->is_v4() ? of_128 - kMappedBits : of_128;
  return Cidr{*address, static_cast<std::uint8_t>(own)};
}

std::string Cidr::to_string() const {
  return network.to_string() + '/' + std::to_string(prefix);
}

CidrSet::V6 CidrSet::number(const Bytes& bytes) noexcept {
  const auto half = [&bytes](std::size_t from) {
    std::uint64_t value = 0;
    for (std::size_t i = from; i < from + 8; ++i) value = value << 8 | bytes[i];
    return value;
  };
  return {half(0), half(8)};
}

CidrSet::CidrSet(std::span<const Cidr> blocks) {
  struct Range {
    V6 first, last;
    bool v4;
  };
  std::vector<Range> ranges;
  for (const Cidr& block : blocks) {
    const bool v4 = block.network.is_v4();
    const unsigned of_128 = block.prefix + (v4 ? kMappedBits : 0U);
    const Bytes& bytes = block.network.bytes();
    ranges.push_back(
        {number(with_host_bits(bytes, of_128, false)), number(with_host_bits(bytes, of_128, true)), v4});
  }
  // Two blocks are nested or apart, so in order of their first address (the larger of two that
  // begin alike first) a block is either inside the one kept last or beyond it.
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return a.first != b.first ? a.first < b.first : a.last > b.last;
  });
  for (const Range& range : ranges) {
    if (range.v4) {
      v4_.add(static_cast<std::uint32_t>(range.first.low), static_cast<std::uint32_t>(range.last.low));
    } else {
      v6_.add(range.first, range.last);
    }
  }
}

template <class Number>
void CidrSet::Ranges<Number>::add(Number from, Number to) {
  if (!last.empty() && from <= last.back()) return;
  first.push_back(from);
  last.push_back(to);
}

// The last range that begins at or before the number; without a branch that could be guessed wrong.
template <class Number>
bool CidrSet::Ranges<Number>::contain(Number number) const noexcept {
  std::size_t at = 0;
  for (std::size_t left = first.size(); left > 1;) {
    const std::size_t half = left / 2;
    at += first[at + half] <= number ? half : 0;
    left -= half;
  }
  return !first.empty() && first[at] <= number && number <= last[at];
}

bool CidrSet::contains(const IpAddress& address) const noexcept {
  const V6 wanted = number(address.bytes());
  return address.is_v4() ? v4_.contain(static_cast<std::uint32_t>(wanted.low)) : v6_.contain(wanted);
}

}  // namespace sallyport::net
