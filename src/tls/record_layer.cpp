#include "record_layer.hpp"

#include <algorithm>
#include <cstring>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "sallyport/tls/names.hpp"

namespace sallyport::tls {

namespace {

// Handshake messages (§4): type, a length of 3 octets, and so many more.
constexpr std::size_t kMessageHeader = 4;
constexpr std::uint8_t kTicket = 4;
constexpr std::uint8_t kKeyUpdate = 24;  // §4.6.3: one octet, whether we are to do the same
constexpr std::uint8_t kNotRequested = 0;
constexpr std::uint8_t kRequested = 1;

constexpr char kLevelWarning = 1;
constexpr char kLevelFatal = 2;

// A copy of so few octets costs less than a further call of the cipher.
constexpr std::size_t kCopied = 2 * 1024;

const std::uint8_t* octets(std::span<const char> bytes) noexcept {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}
std::uint8_t* octets(std::span<char> bytes) noexcept {
  return reinterpret_cast<std::uint8_t*>(bytes.data());
}

// Nothing but sealed records is sent once there are keys (§5, §D.4); the version is not looked at (§5.1).
bool is_sealed(std::span<const char> header) noexcept {
  return octets(header)[0] == content::kApplicationData;
}

std::size_t sealed_size(std::span<const char> header) noexcept {
  const std::uint8_t* bytes = octets(header);
  return static_cast<std::size_t>(bytes[3]) << 8 | bytes[4];
}

// How much of it is to be there before it is looked at: of one that will be refused, its header.
std::size_t awaited_size(std::span<const char> header) noexcept {
  const std::size_t size = sealed_size(header);
  return RecordKeys::kHeader + (is_sealed(header) && size <= RecordLayer::kMostSealed ? size : 0);
}

}  // namespace

const RecordSuite* record_suite(std::uint16_t number) noexcept {
  static const RecordSuite suites[] = {
      {EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr), 16, 32},
      {EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr), 32, 48},
      {EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr), 32, 32},
  };
  constexpr std::uint16_t kFirst = 0x1301;
  if (number < kFirst || number >= kFirst + std::size(suites)) return nullptr;
  const RecordSuite& suite = suites[number - kFirst];
  return suite.cipher == nullptr ? nullptr : &suite;
}

// ---- One direction ----------------------------------------------------------------------------

RecordKeys::RecordKeys(const RecordSuite& suite, std::span<const std::uint8_t> secret, std::uint64_t sequence,
                       bool seals) noexcept
    : suite_(suite), sequence_(sequence), seals_(seals) {
  std::copy_n(secret.begin(), suite.hash_size, secret_.begin());
}

RecordKeys::~RecordKeys() {
  OPENSSL_cleanse(secret_.data(), secret_.size());
  OPENSSL_cleanse(iv_.data(), iv_.size());
}

bool RecordKeys::ready() noexcept {
  if (context_ != nullptr) return true;
  std::array<std::uint8_t, 32> key;
  const std::span used = std::span(key).first(suite_.key_size);
  context_.reset(EVP_CIPHER_CTX_new());
  const bool made =
      context_ != nullptr && expand_label(suite_.hash_size, secret(), "key", used) &&
      expand_label(suite_.hash_size, secret(), "iv", iv_) &&
      EVP_CipherInit_ex2(context_.get(), suite_.cipher, key.data(), iv_.data(), seals_ ? 1 : 0, nullptr) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  if (!made) context_.reset();
  return made;
}

bool RecordKeys::update() noexcept {
  std::array<std::uint8_t, 48> next;
  const bool made =
      expand_label(suite_.hash_size, secret(), "traffic upd", std::span(next).first(suite_.hash_size));
  if (made) {
    secret_ = next;
    sequence_ = 0;
    context_.reset();
  }
  OPENSSL_cleanse(next.data(), next.size());
  return made;
}

// The nonce is the IV with the record's number mixed in (§5.3), the header is authenticated beside (§5.2).
bool RecordKeys::begin(std::span<const char> header) noexcept {
  std::array<std::uint8_t, 12> nonce = iv_;
  const std::uint64_t number = sequence_++;
  for (std::size_t i = 0; i < sizeof number; ++i)
    nonce[nonce.size() - 1 - i] ^= static_cast<std::uint8_t>(number >> (8 * i));
  int n = 0;
  EVP_CIPHER_CTX* const context = context_.get();
  return EVP_CipherInit_ex2(context, nullptr, nullptr, nonce.data(), -1, nullptr) == 1 &&
         EVP_CipherUpdate(context, nullptr, &n, octets(header), static_cast<int>(kHeader)) == 1;
}

bool RecordKeys::seal(std::uint8_t type, std::span<const char> plain, std::span<char> out) noexcept {
  if (!ready()) return false;
  const std::size_t inner = plain.size() + 1;
  const std::size_t sealed = inner + kTag;
  // All that is sealed says application_data outside.
  const char header[kHeader] = {static_cast<char>(content::kApplicationData), 3, 3,
                                static_cast<char>(sealed >> 8), static_cast<char>(sealed & 0xff)};
  std::memcpy(out.data(), header, kHeader);
  std::uint8_t* const body = octets(out) + kHeader;
  EVP_CIPHER_CTX* const context = context_.get();
  if (!begin(header)) return false;
  int n = 0;
  if (plain.size() <= kCopied) {
    std::memcpy(body, plain.data(), plain.size());
    body[plain.size()] = type;
    if (EVP_CipherUpdate(context, body, &n, body, static_cast<int>(inner)) != 1) return false;
  } else if (EVP_CipherUpdate(context, body, &n, octets(plain), static_cast<int>(plain.size())) != 1 ||
             EVP_CipherUpdate(context, body + plain.size(), &n, &type, 1) != 1) {
    return false;
  }
  OSSL_PARAM tag[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, body + inner, kTag),
                      OSSL_PARAM_construct_end()};
  return EVP_CipherFinal_ex(context, body + inner, &n) == 1 && EVP_CIPHER_CTX_get_params(context, tag) == 1;
}

bool RecordKeys::open(std::span<const char> record, std::span<char> out) noexcept {
  if (!ready() || !begin(record.first(kHeader))) return false;
  const std::span<const char> body = record.subspan(kHeader, record.size() - kHeader - kTag);
  // The parameter is read only; its type has no const form.
  auto* const tag_octets = const_cast<char*>(record.last(kTag).data());
  const OSSL_PARAM tag[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag_octets, kTag),
                            OSSL_PARAM_construct_end()};
  EVP_CIPHER_CTX* const context = context_.get();
  int n = 0;
  return EVP_CIPHER_CTX_set_params(context, tag) == 1 &&
         EVP_CipherUpdate(context, octets(out), &n, octets(body), static_cast<int>(body.size())) == 1 &&
         EVP_CipherFinal_ex(context, octets(out) + body.size(), &n) == 1;
}

// ---- Both directions --------------------------------------------------------------------------

RecordLayer::RecordLayer(const Start& start, RecordSink& sink) noexcept
    : sink_(sink),
      reads_(*start.suite, start.read_secret, start.read, false),
      writes_(*start.suite, start.write_secret, start.written, true),
      records_a_key_(start.records_a_key),
      most_plain_(static_cast<std::uint16_t>(std::min(start.most_plain, kMostPlain))),
      server_(start.server) {}

RecordLayer::Read RecordLayer::read(std::span<const char>& in, std::span<char> room) noexcept {
  Read done;
  std::span<const char> record;
  while (!broken_ && next(in, record)) {
    // Room for what it opens to, or it stays where it is.
    if (room.size() - done.size + RecordKeys::kTag <
        record.size() - std::min(record.size(), RecordKeys::kHeader)) {
      done.end = End::more;
      return done;
    }
    std::size_t size = 0;
    const Took took = take(record, room.subspan(done.size), size);
    if (part_.empty()) {
      in = in.subspan(record.size());
    } else {
      part_.clear();
    }
    done.size += size;
    if (took == Took::close_notify) {
      done.end = End::close_notify;
      return done;
    }
    if (took == Took::failed) break;
  }
  if (broken_) done.end = End::failed;
  return done;
}

// Finds the next whole record, in `in` or, when its parts came apart, put together in part_.
bool RecordLayer::next(std::span<const char>& in, std::span<const char>& record) noexcept {
  if (part_.empty()) {
    if (in.size() >= RecordKeys::kHeader) {
      const std::size_t whole = awaited_size(in);
      if (in.size() >= whole) {
        record = in.first(whole);
        return true;
      }
      static_cast<void>(part_.prepare(whole));
    }
    part_.append(in);
    in = {};
    return false;
  }
  const auto fill = [&](std::size_t wanted) {
    const std::size_t n = std::min(wanted - std::min(wanted, part_.size()), in.size());
    part_.append(in.first(n));
    in = in.subspan(n);
    return part_.size() >= wanted;
  };
  if (!fill(RecordKeys::kHeader)) return false;
  const std::size_t whole = awaited_size(part_.data());
  static_cast<void>(part_.prepare(whole - std::min(whole, part_.size())));
  if (!fill(whole)) return false;
  record = part_.data();
  return true;
}

RecordLayer::Took RecordLayer::take(std::span<const char> record, std::span<char> room,
                                    std::size_t& size) noexcept {
  if (!is_sealed(record)) return refuse(alert::kUnexpectedMessage);
  if (sealed_size(record) > kMostSealed) return refuse(alert::kRecordOverflow);
  if (record.size() <= RecordKeys::kHeader + RecordKeys::kTag || !reads_.open(record, room))
    return refuse(alert::kBadRecordMac);

  // What was sealed ends in its type and as many zeros as the peer liked (§5.4).
  const std::span<const char> inner = room.first(record.size() - RecordKeys::kHeader - RecordKeys::kTag);
  std::size_t end = inner.size();
  while (end != 0 && inner[end - 1] == 0) --end;
  if (end == 0) return refuse(alert::kUnexpectedMessage);
  const std::span<const char> body = inner.first(end - 1);
  if (body.size() > kMostPlain) return refuse(alert::kRecordOverflow);

  const auto type = static_cast<std::uint8_t>(inner[end - 1]);
  // A message's parts are not interleaved with anything (§5.1).
  if ((message_size_ != 0 || ticket_left_ != 0) && type != content::kHandshake)
    return refuse(alert::kUnexpectedMessage);
  if (type == content::kApplicationData && !body.empty()) {
    idle_records_ = 0;
    size = body.size();
    return Took::data;
  }
  if (++idle_records_ > kMostIdle) return refuse(alert::kUnexpectedMessage);
  switch (type) {
    case content::kApplicationData:
      return Took::nothing;
    case content::kAlert:
      return take_alert(body);
    case content::kHandshake:
      return take_handshake(body);
    default:
      return refuse(alert::kUnexpectedMessage);
  }
}

// §6: the level says nothing any more; but for two, all end the connection at once.
RecordLayer::Took RecordLayer::take_alert(std::span<const char> body) noexcept {
  if (body.size() != 2) return refuse(body.empty() ? alert::kUnexpectedMessage : alert::kDecodeError);
  const auto description = static_cast<std::uint8_t>(body[1]);
  if (description == alert::kUserCanceled) return Took::nothing;
  alert_received_ = description;
  if (description == alert::kCloseNotify) return Took::close_notify;
  broken_ = true;
  return Took::failed;
}

// §4.6: a client sends nothing but KeyUpdate, as we asked for no certificate after the handshake; a server
// sends tickets too. OpenSSL took those that came before the first data.
RecordLayer::Took RecordLayer::take_handshake(std::span<const char> body) noexcept {
  if (body.empty()) return refuse(alert::kUnexpectedMessage);
  while (!body.empty()) {
    if (ticket_left_ != 0) {
      const std::size_t n = std::min<std::size_t>(ticket_left_, body.size());
      ticket_left_ -= static_cast<std::uint32_t>(n);
      body = body.subspan(n);
      continue;
    }
    message_[message_size_++] = static_cast<std::uint8_t>(body.front());
    body = body.subspan(1);
    if (message_[0] == kTicket && !server_) {
      if (message_size_ < kMessageHeader) continue;
      ticket_left_ = static_cast<std::uint32_t>(message_[1] << 16 | message_[2] << 8 | message_[3]);
      message_size_ = 0;
    } else if (message_[0] != kKeyUpdate) {
      return refuse(alert::kUnexpectedMessage);
    } else if (message_size_ == message_.size()) {
      message_size_ = 0;
      // §5.1: a change of keys ends its record.
      return body.empty() ? take_key_update() : refuse(alert::kUnexpectedMessage);
    }
  }
  return Took::nothing;
}

RecordLayer::Took RecordLayer::take_key_update() noexcept {
  if (message_[1] != 0 || message_[2] != 0 || message_[3] != 1) return refuse(alert::kDecodeError);
  if (message_[4] > kRequested) return refuse(alert::kIllegalParameter);
  if (!reads_.update() || (message_[4] == kRequested && !renew_write_keys()))
    return refuse(alert::kInternalError);
  return Took::nothing;
}

RecordLayer::Took RecordLayer::refuse(std::uint8_t description) noexcept {
  broken_ = true;
  alert_sent_ = description;
  const char body[] = {kLevelFatal, static_cast<char>(description)};
  static_cast<void>(send(content::kAlert, body));
  return Took::failed;
}

bool RecordLayer::write(std::span<const char> bytes) noexcept {
  while (!broken_ && !bytes.empty()) {
    if (writes_.sequence() >= records_a_key_ && !renew_write_keys()) broken_ = true;
    const std::span<const char> piece = bytes.first(std::min<std::size_t>(bytes.size(), most_plain_));
    bytes = bytes.subspan(piece.size());
    if (!broken_ && !send(content::kApplicationData, piece)) broken_ = true;
  }
  return !broken_;
}

void RecordLayer::close_notify() noexcept {
  if (broken_) return;
  alert_sent_ = alert::kCloseNotify;
  const char body[] = {kLevelWarning, static_cast<char>(alert::kCloseNotify)};
  static_cast<void>(send(content::kAlert, body));
}

bool RecordLayer::send(std::uint8_t type, std::span<const char> plain) noexcept {
  const std::size_t size = RecordKeys::kHeader + plain.size() + 1 + RecordKeys::kTag;
  const std::span<char> out = sink_.prepare(size);
  if (out.empty()) return true;  // nobody reads it any more, which the socket tells
  if (!writes_.seal(type, plain, out)) return false;
  sink_.commit(size);
  return true;
}

bool RecordLayer::renew_write_keys() noexcept {
  const char message[] = {kKeyUpdate, 0, 0, 1, kNotRequested};
  return send(content::kHandshake, message) && writes_.update();
}

void RecordLayer::idle() noexcept {
  if (part_.empty()) part_.release();
  reads_.idle();
  writes_.idle();
}

}  // namespace sallyport::tls
