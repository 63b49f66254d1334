// The ClientHello, parsed by us, whole, before any SSL object exists (RFC 8446 §4.1.2, §5.1;
// RFC 6066 §3 for SNI, RFC 7301 for ALPN, RFC 8701 for GREASE).
//
// HelloReader takes ciphertext in any segmentation, over any number of records, and keeps one
// copy of the handshake message (bounded); ClientHello is a set of views into that copy, so it
// lives as long as its reader. One connection, one thread. Nothing is allocated but the copy.
// Untrusted input: every length is checked against what encloses it, and a list that does not
// fill its enclosing length exactly is malformed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sallyport/tls/names.hpp"

namespace sallyport::tls {

// 16-bit values in network order, where they stand in the message. Iteration skips GREASE.
class U16View {
 public:
  U16View() noexcept = default;
  explicit U16View(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}

  class Iterator {
   public:
    Iterator(const std::uint8_t* at, const std::uint8_t* end) noexcept : at_(at), end_(end) { skip_grease(); }
    std::uint16_t operator*() const noexcept { return static_cast<std::uint16_t>((at_[0] << 8) | at_[1]); }
    Iterator& operator++() noexcept {
      at_ += 2;
      skip_grease();
      return *this;
    }
    bool operator==(const Iterator& other) const noexcept { return at_ == other.at_; }

   private:
    void skip_grease() noexcept {
      while (at_ != end_ && is_grease(**this)) at_ += 2;
    }
    const std::uint8_t* at_;
    const std::uint8_t* end_;
  };
  [[nodiscard]] Iterator begin() const noexcept { return {bytes_.data(), bytes_.data() + bytes_.size()}; }
  [[nodiscard]] Iterator end() const noexcept {
    return {bytes_.data() + bytes_.size(), bytes_.data() + bytes_.size()};
  }
  [[nodiscard]] bool contains(std::uint16_t value) const noexcept;
  [[nodiscard]] bool contains_any(std::span<const std::uint16_t> values) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return begin() == end(); }
  // As sent, GREASE included.
  [[nodiscard]] std::span<const std::uint8_t> raw() const noexcept { return bytes_; }

 private:
  std::span<const std::uint8_t> bytes_;
};

// Elements of a list in which each has a header: ALPN names (1-byte length), key shares
// (group, 2-byte length), extensions (type, 2-byte length). Walks a list already checked.
class AlpnView {
 public:
  AlpnView() noexcept = default;
  explicit AlpnView(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}
  // The next name, or an empty view at the end; `at` starts at 0.
  [[nodiscard]] std::string_view next(std::size_t& at) const noexcept;
  [[nodiscard]] bool contains(std::string_view name) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

 private:
  std::span<const std::uint8_t> bytes_;
};

struct Extension {
  std::uint16_t type = 0;
  std::span<const std::uint8_t> body;
};
class ExtensionView {
 public:
  ExtensionView() noexcept = default;
  explicit ExtensionView(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}
  // False at the end; `at` starts at 0. GREASE included: a fingerprint wants the order as sent.
  [[nodiscard]] bool next(std::size_t& at, Extension& out) const noexcept;

 private:
  std::span<const std::uint8_t> bytes_;
};

enum class SniState : std::uint8_t {
  absent,
  valid,
  invalid,  // not a host name: an IP literal, an empty label, a byte outside LDH and underscore
};

struct ClientHello {
  std::uint16_t record_version = 0;
  std::uint16_t legacy_version = 0;
  std::span<const std::uint8_t> random;
  std::span<const std::uint8_t> session_id;
  U16View cipher_suites;
  U16View supported_versions;  // empty when the extension is absent (a 1.2 client)
  U16View groups;
  U16View signature_algorithms;
  U16View signature_algorithms_cert;
  std::span<const std::uint8_t> key_share_bytes;  // KeyShareEntry list
  AlpnView alpn;
  ExtensionView extensions;
  SniState sni_state = SniState::absent;
  std::string_view sni;  // lower case, no trailing dot; empty unless valid
  bool has_alpn = false;
  bool has_key_share = false;
  bool has_psk = false;
  bool has_early_data = false;
  bool has_ech = false;
  bool has_session_ticket = false;  // RFC 5077, with a ticket in it
  bool segmented = false;           // came in more than one record or one read

  [[nodiscard]] bool offers(Version version) const noexcept;
  [[nodiscard]] bool offers_key_share(std::uint16_t group) const noexcept;
};

// True for what may stand in SNI and be looked up: labels of letters, digits, '-' and '_', at most
// 63 bytes each and 253 in all, the last one not a number (that would be an IPv4 literal).
[[nodiscard]] bool is_host_name(std::string_view lower_case) noexcept;

enum class HelloFault : std::uint8_t {
  none,
  plain_http,    // an HTTP/1 request line or the h2 preface
  proxy_header,  // a PROXY protocol header that this listener was not told to expect
  alert,         // a TLS alert: the client gave up before it said a word
  not_tls,       // any other first bytes
  bad_record,    // the record layer: wrong type, version, length
  malformed,     // the message inside
  too_large,
};

class HelloReader {
 public:
  // The message's bound. 16 KiB is what a hello needs with every post-quantum group and a
  // large ticket; more is an attack on memory.
  static constexpr std::size_t kMaxMessage = 16 * 1024;
  enum class State : std::uint8_t { need_more, complete, failed };

  explicit HelloReader(std::size_t max_message = kMaxMessage) noexcept : max_message_(max_message) {}
  HelloReader(const HelloReader&) = delete;
  HelloReader& operator=(const HelloReader&) = delete;

  // The next bytes off the wire; bytes behind the hello are not looked at. After `complete` or
  // `failed` the answer stays.
  State feed(std::span<const char> bytes);

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] HelloFault fault() const noexcept { return fault_; }
  [[nodiscard]] bool started() const noexcept { return started_; }  // at least one byte came
  // Which one, with fault `alert` (RFC 8446 §6).
  [[nodiscard]] std::uint8_t alert() const noexcept { return header_[6]; }
  // Good when complete.
  [[nodiscard]] const ClientHello& hello() const noexcept { return hello_; }
  // The handshake message as sent, 4-byte header included, but for the SNI in lower case.
  [[nodiscard]] std::span<const std::uint8_t> message() const noexcept { return message_; }

 private:
  State fail(HelloFault fault) noexcept;
  bool first_bytes(std::span<const std::uint8_t>& in);
  bool take_header(std::span<const std::uint8_t>& in);
  bool take_fragment(std::span<const std::uint8_t>& in);
  void finish();

  std::size_t max_message_;
  std::vector<std::uint8_t> message_;
  ClientHello hello_;
  std::size_t record_left_ = 0;
  std::uint32_t records_ = 0;
  std::uint32_t feeds_ = 0;
  std::uint8_t header_[8] = {};  // of a record, or the first bytes of what may be plain HTTP
  std::uint8_t header_size_ = 0;
  State state_ = State::need_more;
  HelloFault fault_ = HelloFault::none;
  bool started_ = false;
  bool is_record_ = false;
};

}  // namespace sallyport::tls
