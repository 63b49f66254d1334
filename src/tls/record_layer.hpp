// The records of an established TLS 1.3 connection (RFC 8446 §5), without OpenSSL's connection object.
//
// That object is for handshakes. Once one is done it holds 13 KiB, copies each record twice and spends as
// much on a small one as its cipher does. So its traffic secrets are taken over (tls/key_schedule), it is
// freed, and what is left is here: sealing and opening records, alerts, KeyUpdate. The ciphers are
// OpenSSL's still, by EVP. What cannot be taken over (TLS 1.2, CCM) stays with the connection object.
//
// Owned by its Engine, one thread. Everything that a peer can send is bounded: a record by §5.1's sizes, what
// carries no data by kMostIdle in a row.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "sallyport/base/buffer.hpp"

#include "key_schedule.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

// One of TLS 1.3's cipher suites (RFC 8446 §B.4) that EVP has as an AEAD with a tag of 16 octets behind.
struct RecordSuite {
  const EVP_CIPHER* cipher;  // lives as long as the process
  std::uint8_t key_size;
  std::uint8_t hash_size;
};
// By its number, 0x1301 to 0x1303. nullptr: none of these, or OpenSSL does not have it.
[[nodiscard]] const RecordSuite* record_suite(std::uint16_t number) noexcept;

// The keys of one direction: a traffic secret, what is derived from it, and the number of the next record.
class RecordKeys {
 public:
  static constexpr std::size_t kTag = 16;
  static constexpr std::size_t kHeader = 5;

  // `sequence`: of the next record under this secret (RFC 8446 §5.3).
  RecordKeys(const RecordSuite& suite, std::span<const std::uint8_t> secret, std::uint64_t sequence,
             bool seals) noexcept;
  ~RecordKeys();
  RecordKeys(const RecordKeys&) = delete;
  RecordKeys& operator=(const RecordKeys&) = delete;

  // What both do can fail for want of memory, too.
  // Seals `plain` and its type into `out`, header first: kHeader + plain.size() + 1 + kTag octets.
  [[nodiscard]] bool seal(std::uint8_t type, std::span<const char> plain, std::span<char> out) noexcept;
  // Opens a whole record into `out`, which takes all but its header and tag; false: it is not authentic.
  [[nodiscard]] bool open(std::span<const char> record, std::span<char> out) noexcept;
  // The next generation (§7.2).
  [[nodiscard]] bool update() noexcept;
  // How many records these keys have seen.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
  // Gives the cipher's state back; the next record makes it anew.
  void idle() noexcept { context_.reset(); }

 private:
  [[nodiscard]] bool ready() noexcept;
  [[nodiscard]] bool begin(std::span<const char> header) noexcept;
  [[nodiscard]] std::span<const std::uint8_t> secret() const noexcept {
    return std::span(secret_).first(suite_.hash_size);
  }

  const RecordSuite& suite_;
  std::unique_ptr<EVP_CIPHER_CTX, Freer<EVP_CIPHER_CTX_free>> context_;
  std::uint64_t sequence_;
  std::array<std::uint8_t, 48> secret_{};
  std::array<std::uint8_t, 12> iv_{};
  bool seals_;
};

// Where sealed records go.
class RecordSink {
 public:
  // At least n octets to be written in place, or none at all when nothing can be sent any more.
  [[nodiscard]] virtual std::span<char> prepare(std::size_t n) = 0;
  // The first n of them leave.
  virtual void commit(std::size_t n) = 0;

 protected:
  ~RecordSink() = default;
};

class RecordLayer {
 public:
  enum class End : std::uint8_t { want_read, more, close_notify, failed };
  struct Read {
    std::size_t size = 0;
    End end = End::want_read;
  };
  struct Start {
    const RecordSuite* suite;
    std::span<const std::uint8_t> read_secret;
    std::span<const std::uint8_t> write_secret;
    bool server = true;                     // which this end is
    std::uint64_t read = 0;                 // records under read_secret that have been read already
    std::uint64_t written = 0;              // and under write_secret
    std::size_t most_plain = kMostPlain;    // of a record that we send (RFC 6066 §4)
    std::uint64_t records_a_key = 1 << 24;  // then new ones (§5.5: 2^24.5 for AES-GCM)
  };
  static constexpr std::size_t kMostPlain = 16 * 1024;
  // Its type and what a peer may pad and expand it by (§5.2).
  static constexpr std::size_t kMostSealed = kMostPlain + 256;
  // Records in a row that carry no data: empty ones, KeyUpdates, warnings.
  static constexpr std::uint8_t kMostIdle = 32;

  RecordLayer(const Start& start, RecordSink& sink) noexcept;

  // Opens records from the front of `in` into `room`, which has place for the largest. What is left of
  // `in` with End::more is to be given again; a part of a record is kept.
  [[nodiscard]] Read read(std::span<const char>& in, std::span<char> room) noexcept;
  // Seals all of it into the sink. False: broken, and stays so.
  [[nodiscard]] bool write(std::span<const char> bytes) noexcept;
  void close_notify() noexcept;

  [[nodiscard]] std::optional<std::uint8_t> alert_sent() const noexcept { return alert_sent_; }
  [[nodiscard]] std::optional<std::uint8_t> alert_received() const noexcept { return alert_received_; }

  // Gives back the ciphers' state, and the block for parts of records when none is kept.
  void idle() noexcept;

 private:
  enum class Took : std::uint8_t { data, nothing, close_notify, failed };

  [[nodiscard]] bool next(std::span<const char>& in, std::span<const char>& record) noexcept;
  [[nodiscard]] Took take(std::span<const char> record, std::span<char> room, std::size_t& size) noexcept;
  [[nodiscard]] Took take_alert(std::span<const char> body) noexcept;
  [[nodiscard]] Took take_handshake(std::span<const char> body) noexcept;
  [[nodiscard]] Took take_key_update() noexcept;
  [[nodiscard]] Took refuse(std::uint8_t alert) noexcept;
  [[nodiscard]] bool send(std::uint8_t type, std::span<const char> plain) noexcept;
  [[nodiscard]] bool renew_write_keys() noexcept;

  RecordSink& sink_;
  RecordKeys reads_;
  RecordKeys writes_;
  base::Buffer part_;  // of a record whose rest has not come
  std::uint64_t records_a_key_;
  std::uint16_t most_plain_;
  std::array<std::uint8_t, 5> message_{};  // a handshake message's header, and the octet of a KeyUpdate
  std::uint8_t message_size_ = 0;
  std::uint32_t ticket_left_ = 0;  // of a ticket that is passed over
  bool server_;
  std::uint8_t idle_records_ = 0;
  bool broken_ = false;
  std::optional<std::uint8_t> alert_sent_;
  std::optional<std::uint8_t> alert_received_;
};

}  // namespace sallyport::tls
