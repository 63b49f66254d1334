#include "sallyport/tls/server_answer.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "extension_types.hpp"
#include "suites.hpp"
#include "wire.hpp"

namespace sallyport::tls {

namespace {

using AnswerBytes = std::span<const std::uint8_t>;

constexpr std::size_t kMaxRecord = 16384 + 2048;  // ciphertext of TLS 1.2 (RFC 5246 §6.2.3)

// The random of a HelloRetryRequest: SHA-256 of its name (RFC 8446 §4.1.3).
constexpr std::array<std::uint8_t, 32> kRetryRandom{
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

// Reads fields off the front; once one did not fit, everything is empty and good() is false.
class AnswerCursor {
 public:
  explicit AnswerCursor(AnswerBytes bytes) noexcept : bytes_(bytes) {}
  [[nodiscard]] bool good() const noexcept { return good_; }
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

  AnswerBytes take(std::size_t n) noexcept {
    if (n > bytes_.size()) {
      good_ = false;
      bytes_ = {};
      return {};
    }
    const AnswerBytes front = bytes_.first(n);
    bytes_ = bytes_.subspan(n);
    return front;
  }
  std::size_t number(std::size_t width) noexcept {
    std::size_t value = 0;
    for (const std::uint8_t byte : take(width)) value = value << 8 | byte;
    return value;
  }
  std::uint16_t u16() noexcept { return static_cast<std::uint16_t>(number(2)); }
  AnswerBytes vector(std::size_t width) noexcept { return take(number(width)); }

 private:
  AnswerBytes bytes_;
  bool good_ = true;
};

enum Message : std::uint8_t {
  kServerHello = 2,
  kNewSessionTicket = 4,
  kCertificate = 11,
  kServerKeyExchange = 12,
  kCertificateRequest = 13,
  kServerHelloDone = 14,
  kCertificateStatus = 22,
};

}  // namespace

AnswerReader::State AnswerReader::feed(std::span<const char> bytes) {
  AnswerBytes in(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (!in.empty()) started_ = true;
  while (state_ == State::need_more && !in.empty()) take(in);
  if (state_ == State::not_tls) line(in);
  return state_;
}

// One piece of the record at hand: first its header, then its body.
void AnswerReader::take(AnswerBytes& in) {
  const std::size_t whole = record_.size() < kRecordHeader
                                ? kRecordHeader
                                : kRecordHeader + (static_cast<std::size_t>(record_[3]) << 8 | record_[4]);
  const AnswerBytes part = in.first(std::min(in.size(), whole - record_.size()));
  in = in.subspan(part.size());
  record_.insert(record_.end(), part.begin(), part.end());
  const bool header = whole == kRecordHeader;
  if (header) take_header();
  if (state_ != State::need_more || record_.size() < kRecordHeader) return;
  const std::size_t body = static_cast<std::size_t>(record_[3]) << 8 | record_[4];
  if (record_.size() == kRecordHeader + body) end_record();
}

// Also of a header that is not whole: what speaks another protocol may say less than five bytes.
void AnswerReader::take_header() {
  const bool type = record_[0] >= content::kChangeCipherSpec && record_[0] <= content::kApplicationData;
  const bool version = record_.size() < 2 || record_[1] == 3;
  if (!type || !version) {
    state_ = records_ == 0 ? State::not_tls : State::broken;
    if (state_ == State::not_tls) line(record_);
    return;
  }
  if (record_.size() < kRecordHeader) return;
  const std::size_t body = static_cast<std::size_t>(record_[3]) << 8 | record_[4];
  if (body > kMaxRecord || ++records_ > kMaxRecords) state_ = State::broken;
}

void AnswerReader::end_record() {
  const AnswerBytes body = AnswerBytes(record_).subspan(kRecordHeader);
  switch (record_[0]) {
    case content::kAlert:
      take_alert();
      break;
    case content::kHandshake:
      // Each record of a handshake holds a byte of it (RFC 8446 §5.1).
      if (body.empty() || handshake_.size() + body.size() > kMaxMessage + 4) {
        state_ = State::broken;
        break;
      }
      handshake_.insert(handshake_.end(), body.begin(), body.end());
      take_messages();
      break;
    case content::kChangeCipherSpec:
      // Behind a HelloRetryRequest it means nothing; elsewhere keys are in use from here.
      if (!answer_.hello && !answer_.retry) state_ = State::broken;
      if (answer_.hello) state_ = State::sealed;
      break;
    default:
      state_ = answer_.hello ? State::sealed : State::broken;
  }
  record_.clear();
}

void AnswerReader::take_alert() {
  if (record_.size() != kRecordHeader + 2) {
    state_ = answer_.hello ? State::sealed : State::broken;
    return;
  }
  constexpr std::uint8_t kWarning = 1;
  const std::uint8_t level = record_[kRecordHeader];
  const std::uint8_t description = record_[kRecordHeader + 1];
  // Java and old OpenSSL warn that they do not know the name, and go on (RFC 6066 §3).
  constexpr std::uint8_t kUnrecognizedName = 112;
  if (level == kWarning && description == kUnrecognizedName) return;
  answer_.alert = description;
  state_ = State::alert;
}

void AnswerReader::take_messages() {
  std::size_t at = 0;
  while (state_ == State::need_more && handshake_.size() - at >= 4) {
    const AnswerBytes rest = AnswerBytes(handshake_).subspan(at);
    const std::size_t size = std::size_t{rest[1]} << 16 | std::size_t{rest[2]} << 8 | rest[3];
    if (size > kMaxMessage) {
      state_ = State::broken;
      return;
    }
    if (rest.size() - 4 < size) break;
    message(rest[0], rest.subspan(4, size));
    at += 4 + size;
  }
  handshake_.erase(handshake_.begin(), handshake_.begin() + static_cast<std::ptrdiff_t>(at));
}

void AnswerReader::message(std::uint8_t type, AnswerBytes body) {
  if (type != kServerHello && !answer_.hello) {
    state_ = State::broken;
    return;
  }
  switch (type) {
    case kServerHello:
      server_hello(body);
      break;
    case kCertificate:
      certificate(body);
      break;
    case kServerKeyExchange:
      key_exchange(body);
      break;
    case kCertificateRequest:
      answer_.certificate_requested = true;
      break;
    case kServerHelloDone:
      answer_.flight_done = true;
      state_ = State::sealed;
      break;
    case kCertificateStatus:
    case kNewSessionTicket:
      break;
    default:
      state_ = State::broken;
  }
}

void AnswerReader::server_hello(AnswerBytes body) {
  AnswerCursor in(body);
  const std::uint16_t legacy_version = in.u16();
  const AnswerBytes random = in.take(32);
  const AnswerBytes session_id = in.vector(1);
  const std::uint16_t suite = in.u16();
  in.take(1);  // compression
  const bool bare = in.good() && in.empty();
  const AnswerBytes list = bare ? AnswerBytes() : in.vector(2);
  if (!in.good() || !in.empty() || session_id.size() > 32 || answer_.hello) {
    state_ = State::broken;
    return;
  }
  const bool retry = std::equal(random.begin(), random.end(), kRetryRandom.begin(), kRetryRandom.end());
  if (retry && answer_.retry) {
    state_ = State::broken;  // one is all that a server may ask for
    return;
  }
  answer_.version = legacy_version;
  answer_.suite = suite;
  answer_.group = 0;
  extensions(list);
  if (state_ != State::need_more) return;
  answer_.hello = !retry;
  answer_.retry = answer_.retry || retry;
  constexpr std::uint16_t kTls13 = 0x0304;
  if (!retry && answer_.version >= kTls13) state_ = State::sealed;
}

void AnswerReader::extensions(AnswerBytes list) {
  AnswerCursor in(list);
  while (in.good() && !in.empty()) {
    const std::uint16_t type = in.u16();
    AnswerCursor body(in.vector(2));
    if (!in.good()) break;
    if (type == kSupportedVersions) {
      answer_.version = body.u16();
    } else if (type == kKeyShare) {
      answer_.group = body.u16();  // in both forms: with the key, or the group alone
    } else if (type == kAlpn) {
      AnswerCursor names(body.vector(2));
      const AnswerBytes name = names.vector(1);
      answer_.alpn.assign(name.begin(), name.end());
      if (!names.good()) state_ = State::broken;
    }
    if (!body.good()) state_ = State::broken;
  }
  if (!in.good()) state_ = State::broken;
}

void AnswerReader::certificate(AnswerBytes body) {
  AnswerCursor in(body);
  AnswerCursor list(in.vector(3));
  const AnswerBytes leaf = list.empty() ? AnswerBytes() : list.vector(3);
  if (!in.good() || !list.good()) {
    state_ = State::broken;
    return;
  }
  answer_.leaf.assign(leaf.begin(), leaf.end());
}

// Only what is read of it is checked: the rest is a signature that no one here can verify.
void AnswerReader::key_exchange(AnswerBytes body) {
  AnswerCursor in(body);
  switch (suite_exchange(answer_.suite)) {
    case SuiteExchange::ecdhe: {
      constexpr std::size_t kNamedCurve = 3;
      if (in.number(1) != kNamedCurve) return;
      answer_.group = in.u16();
      in.vector(1);
      break;
    }
    case SuiteExchange::dhe:
      for (int i = 0; i < 3; ++i) in.vector(2);
      break;
    default:
      return;
  }
  constexpr std::uint16_t kTls12 = 0x0303;
  if (answer_.version == kTls12) answer_.signature = in.u16();
  if (!in.good()) state_ = State::broken;
}

void AnswerReader::line(AnswerBytes bytes) {
  for (const std::uint8_t byte : bytes) {
    if (line_done()) return;
    line_over_ = byte == '\n';
    if (!line_over_ && byte != '\r') answer_.first_line.push_back(static_cast<char>(byte));
  }
}

}  // namespace sallyport::tls
