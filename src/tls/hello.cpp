#include "sallyport/tls/hello.hpp"

#include <algorithm>
#include <cstring>

#include "hello_parser.hpp"
#include "wire.hpp"

namespace sallyport::tls {

namespace {

constexpr std::uint8_t kHandshakeRecord = 22;
constexpr std::uint8_t kClientHelloType = 1;
constexpr std::size_t kMessageHeader = 4;
constexpr std::size_t kMaxFragment = 16 * 1024;
// A hello cut into tiny records costs six bytes a byte; OpenSSL must be shown all of them later.
constexpr std::uint32_t kMaxRecords = 1024;

std::uint16_t u16_at(const std::uint8_t* at) noexcept {
  return static_cast<std::uint16_t>((at[0] << 8) | at[1]);
}

constexpr std::uint8_t kAlertRecord = 21;
constexpr std::size_t kAlertSize = 7;

// An alert where the hello should stand. `none`: too early to say.
HelloFault what_alert(std::string_view bytes) noexcept {
  static constexpr char kHeader[] = {kAlertRecord, 3, 0, 0, 2};
  constexpr std::size_t kMinorVersion = 2;  // any
  for (std::size_t i = 0; i < std::min(bytes.size(), kRecordHeader); ++i) {
    if (i != kMinorVersion && bytes[i] != kHeader[i]) return HelloFault::not_tls;
  }
  return bytes.size() < kAlertSize ? HelloFault::none : HelloFault::alert;
}

// What the bytes begin like: a request of a client that forgot TLS, or a balancer's header (the
// PROXY protocol's versions 1 and 2). `none`: too early to say.
HelloFault what_begins(std::string_view bytes) noexcept {
  using namespace std::string_view_literals;
  static constexpr struct {
    std::string_view text;
    HelloFault fault;
  } kBeginnings[] = {
      {"GET "sv, HelloFault::plain_http},     {"HEAD "sv, HelloFault::plain_http},
      {"POST "sv, HelloFault::plain_http},    {"PUT "sv, HelloFault::plain_http},
      {"DELETE "sv, HelloFault::plain_http},  {"OPTIONS "sv, HelloFault::plain_http},
      {"CONNECT "sv, HelloFault::plain_http}, {"PATCH "sv, HelloFault::plain_http},
      {"TRACE "sv, HelloFault::plain_http},   {"PRI "sv, HelloFault::plain_http},
      {"PROXY "sv, HelloFault::proxy_header}, {"\r\n\r\n\0\r\nQ"sv, HelloFault::proxy_header},
  };
  if (bytes.front() == kAlertRecord) return what_alert(bytes);
  for (const auto& beginning : kBeginnings) {
    if (bytes.starts_with(beginning.text)) return beginning.fault;
    if (beginning.text.starts_with(bytes)) return HelloFault::none;
  }
  return HelloFault::not_tls;
}

}  // namespace

bool U16View::contains(std::uint16_t value) const noexcept {
  for (const std::uint16_t offered : *this) {
    if (offered == value) return true;
  }
  return false;
}

bool U16View::contains_any(std::span<const std::uint16_t> values) const noexcept {
  return std::any_of(values.begin(), values.end(), [this](std::uint16_t value) { return contains(value); });
}

std::string_view AlpnView::next(std::size_t& at) const noexcept {
  if (at >= bytes_.size()) return {};
  const std::size_t size = bytes_[at];
  const std::string_view name(reinterpret_cast<const char*>(bytes_.data() + at + 1), size);
  at += 1 + size;
  return name;
}

bool AlpnView::contains(std::string_view name) const noexcept {
  std::size_t at = 0;
  while (true) {
    const std::string_view offered = next(at);
    if (offered.empty()) return false;
    if (offered == name) return true;
  }
}

bool ExtensionView::next(std::size_t& at, Extension& out) const noexcept {
  if (at >= bytes_.size()) return false;
  const std::uint8_t* header = bytes_.data() + at;
  const std::size_t size = u16_at(header + 2);
  out.type = u16_at(header);
  out.body = bytes_.subspan(at + 4, size);
  at += 4 + size;
  return true;
}

bool ClientHello::offers(Version version) const noexcept {
  const auto wanted = static_cast<std::uint16_t>(version);
  if (!supported_versions.raw().empty()) return supported_versions.contains(wanted);
  return version != Version::tls13 && legacy_version >= wanted;
}

bool ClientHello::offers_key_share(std::uint16_t group) const noexcept {
  for (std::size_t at = 0; at < key_share_bytes.size();) {
    const std::uint8_t* entry = key_share_bytes.data() + at;
    if (u16_at(entry) == group) return true;
    at += std::size_t{4} + u16_at(entry + 2);
  }
  return false;
}

bool is_host_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 253) return false;
  std::size_t label = 0;
  bool number = true;  // the label so far is digits only
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
      number = true;
      continue;
    }
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'z') && c != '-' && c != '_') return false;
    number = number && digit;
    if (++label > 63) return false;
  }
  return label != 0 && !number;
}

HelloReader::State HelloReader::fail(HelloFault fault) noexcept {
  state_ = State::failed;
  fault_ = fault;
  return state_;
}

HelloReader::State HelloReader::feed(std::span<const char> bytes) {
  if (bytes.empty() || state_ != State::need_more) return state_;
  started_ = true;
  ++feeds_;
  std::span<const std::uint8_t> in(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (!is_record_ && !first_bytes(in)) return state_;
  while (state_ == State::need_more && !in.empty()) {
    if (record_left_ == 0) {
      if (!take_header(in)) break;
    } else if (take_fragment(in)) {
      finish();
    }
  }
  return state_;
}

// Whether these are TLS records at all. Keeps what may yet turn out to be an HTTP method.
bool HelloReader::first_bytes(std::span<const std::uint8_t>& in) {
  if (header_size_ == 0 && in.front() == kHandshakeRecord) {
    is_record_ = true;
    return true;
  }
  while (!in.empty() && header_size_ < sizeof header_) {
    header_[header_size_++] = in.front();
    in = in.subspan(1);
    const HelloFault fault = what_begins({reinterpret_cast<const char*>(header_), header_size_});
    if (fault == HelloFault::none) continue;
    fail(fault);
    return false;
  }
  return false;
}

bool HelloReader::take_header(std::span<const std::uint8_t>& in) {
  const std::size_t n = std::min(in.size(), kRecordHeader - header_size_);
  std::memcpy(header_ + header_size_, in.data(), n);
  header_size_ = static_cast<std::uint8_t>(header_size_ + n);
  in = in.subspan(n);
  // Refused as soon as a byte tells, so that a peer is not waited for in vain.
  if (header_[0] != kHandshakeRecord || (header_size_ > 1 && header_[1] != 3)) {
    fail(HelloFault::bad_record);
    return false;
  }
  if (header_size_ < kRecordHeader) return false;
  header_size_ = 0;
  if (records_ == 0) hello_.record_version = u16_at(header_ + 1);
  record_left_ = u16_at(header_ + 3);
  if (record_left_ == 0 || record_left_ > kMaxFragment) {
    fail(HelloFault::bad_record);
    return false;
  }
  if (++records_ > kMaxRecords) {
    fail(HelloFault::too_large);
    return false;
  }
  return true;
}

// True when the message is whole.
bool HelloReader::take_fragment(std::span<const std::uint8_t>& in) {
  const std::size_t known = message_.size() < kMessageHeader
                                ? kMessageHeader
                                : kMessageHeader + ((std::size_t{message_[1]} << 16) |
                                                    (std::size_t{message_[2]} << 8) | message_[3]);
  const std::size_t n = std::min({in.size(), record_left_, known - message_.size()});
  message_.insert(message_.end(), in.begin(), in.begin() + static_cast<std::ptrdiff_t>(n));
  record_left_ -= n;
  in = in.subspan(n);
  if (message_.front() != kClientHelloType) {
    fail(HelloFault::malformed);
    return false;
  }
  if (message_.size() < kMessageHeader) return false;
  const std::size_t whole =
      kMessageHeader + ((std::size_t{message_[1]} << 16) | (std::size_t{message_[2]} << 8) | message_[3]);
  if (whole > max_message_) {
    fail(HelloFault::too_large);
    return false;
  }
  return message_.size() == whole;
}

void HelloReader::finish() {
  if (!parse_client_hello(std::span(message_).subspan(kMessageHeader), hello_)) {
    fail(HelloFault::malformed);
    return;
  }
  hello_.segmented = records_ > 1 || feeds_ > 1;
  state_ = State::complete;
}

}  // namespace sallyport::tls
