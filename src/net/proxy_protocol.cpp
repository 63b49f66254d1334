#include "sallyport/net/proxy_protocol.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace sallyport::net {

namespace {

constexpr std::string_view kV1Start = "PROXY ";
constexpr std::string_view kV2Signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV2Fixed = 16;

constexpr std::uint8_t kLocal = 0x0;
constexpr std::uint8_t kProxy = 0x1;
constexpr std::uint8_t kFamilyV4 = 0x1;
constexpr std::uint8_t kFamilyV6 = 0x2;
constexpr std::size_t kPairV4 = 12;
constexpr std::size_t kPairV6 = 36;

std::uint8_t octet(char c) noexcept {
  return static_cast<std::uint8_t>(c);
}

std::uint16_t big_endian(const char* at) noexcept {
  return static_cast<std::uint16_t>(octet(at[0]) << 8 | octet(at[1]));
}

// The next field of version 1's line: fields are parted by exactly one space.
std::string_view next_field(std::string_view& line) noexcept {
  const std::size_t space = line.find(' ');
  const std::string_view field = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return field;
}

// Decimal without sign or leading zeros, as the specification wants it.
std::optional<std::uint16_t> port_of(std::string_view text) noexcept {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  std::uint16_t port = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

}  // namespace

std::size_t ProxyProtocol::consume(std::span<const char> bytes) noexcept {
  std::size_t taken = 0;
  while (state_ == State::more && taken < bytes.size()) step(bytes[taken++]);
  return taken;
}

void ProxyProtocol::fail(std::string_view why) noexcept {
  state_ = State::error;
  why_ = why;
}

void ProxyProtocol::step(char byte) noexcept {
  if (seen_ < kept_.size()) kept_[seen_] = byte;
  ++seen_;
  switch (version_) {
    case Version::unknown:
      return step_start();
    case Version::one:
      return step_v1();
    case Version::two:
      return step_v2();
  }
}

void ProxyProtocol::step_start() noexcept {
  const std::string_view seen(kept_.data(), seen_);
  if (seen == kV1Start) {
    version_ = Version::one;
  } else if (seen == kV2Signature) {
    version_ = Version::two;
  } else if (!kV1Start.starts_with(seen) && !kV2Signature.starts_with(seen)) {
    fail("no PROXY header where one is required");
  }
}

void ProxyProtocol::step_v1() noexcept {
  const std::string_view line(kept_.data(), seen_);
  if (line.ends_with("\r\n")) return finish_v1();
  // A CR is the line's end or nothing; a bare LF is read as an end by others.
  const bool broken = line.back() == '\n' || (line.size() > 1 && line[line.size() - 2] == '\r');
  if (broken) return fail("the version 1 line does not end in CRLF");
  if (seen_ == kMaxV1) fail("the version 1 line is longer than 107 bytes");
}

void ProxyProtocol::finish_v1() noexcept {
  std::string_view line(kept_.data() + kV1Start.size(), seen_ - kV1Start.size() - 2);
  const std::string_view family = next_field(line);
  state_ = State::done;
  if (family == "UNKNOWN") return;  // whatever follows on the line is to be ignored
  if (family != "TCP4" && family != "TCP6") return fail("the version 1 family is not TCP4, TCP6 or UNKNOWN");

  // inet_pton's text is at most 45 bytes, so what IpAddress::parse copies stays on the stack.
  const std::string_view source_text = next_field(line);
  const std::string_view destination_text = next_field(line);
  const auto source = IpAddress::parse(source_text);
  const auto destination = IpAddress::parse(destination_text);
  const auto source_port = port_of(next_field(line));
  const auto destination_port = port_of(line);
  const bool is_v6_text = source_text.find(':') != std::string_view::npos;
  const bool alike = is_v6_text == (destination_text.find(':') != std::string_view::npos);
  if (!source || !destination || !alike || is_v6_text != (family == "TCP6")) {
    return fail("a version 1 address is not of the family that is named");
  }
  if (!source_port || !destination_port) return fail("a version 1 port is not a number from 0 to 65535");
  header_ = {true, {*source, *source_port}, {*destination, *destination_port}};
}

void ProxyProtocol::step_v2() noexcept {
  if (seen_ == kV2Fixed) {
    const std::uint8_t version_command = octet(kept_[12]);
    if (version_command >> 4 != 2) return fail("the version 2 signature with another version");
    if ((version_command & 0xf) > kProxy) return fail("an unknown version 2 command");
    wanted_ = kV2Fixed + big_endian(&kept_[14]);
    if (wanted_ > kMaxV2) return fail("the version 2 header is longer than 4 KiB");
  }
  if (seen_ >= kV2Fixed && seen_ == wanted_) finish_v2();
}

void ProxyProtocol::finish_v2() noexcept {
  state_ = State::done;
  const std::uint8_t family = octet(kept_[13]) >> 4;
  if ((octet(kept_[12]) & 0xf) == kLocal || (family != kFamilyV4 && family != kFamilyV6)) return;
  const std::size_t length = wanted_ - kV2Fixed;
  if (length < (family == kFamilyV4 ? kPairV4 : kPairV6)) {
    return fail("the version 2 header is too short for its addresses");
  }
  const char* at = kept_.data() + kV2Fixed;
  header_.has_addresses = true;
  if (family == kFamilyV4) {
    const auto address = [](const char* from) {
      std::array<std::uint8_t, 4> bytes{};
      std::transform(from, from + bytes.size(), bytes.begin(), octet);
      return IpAddress::v4(bytes);
    };
    header_.source = {address(at), big_endian(at + 8)};
    header_.destination = {address(at + 4), big_endian(at + 10)};
  } else {
    const auto address = [](const char* from) {
      std::array<std::uint8_t, 16> bytes{};
      std::transform(from, from + bytes.size(), bytes.begin(), octet);
      return IpAddress::v6(bytes);
    };
    header_.source = {address(at), big_endian(at + 32)};
    header_.destination = {address(at + 16), big_endian(at + 34)};
  }
}

}  // namespace sallyport::net
