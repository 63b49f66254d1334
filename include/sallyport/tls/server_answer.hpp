// What a server answers to a ClientHello, as far as it can be read without keys: the ServerHello, the
// rest of a TLS 1.2 flight, an alert, or that it is no TLS at all (RFC 8446 §4.1.3, §4.1.4, §5.1, §6;
// RFC 5246 §7.4).
//
// Bytes in, facts out; the input in any segmentation. Untrusted: messages, records and bytes are
// bounded, every length is checked against what encloses it, and what is kept is copied. One
// connection, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sallyport::tls {

struct ServerAnswer {
  bool hello = false;  // a ServerHello that is no HelloRetryRequest
  bool retry = false;  // a HelloRetryRequest came before it, or instead of it
  std::uint16_t version = 0;
  std::uint16_t suite = 0;
  std::uint16_t group = 0;             // 0: none, or not known (TLS 1.2 before its ServerKeyExchange)
  std::uint16_t signature = 0;         // of a TLS 1.2 ServerKeyExchange
  std::string alpn;                    // TLS 1.2 only, later versions encrypt it
  bool certificate_requested = false;  // TLS 1.2 only
  std::vector<std::uint8_t> leaf;      // DER, TLS 1.2 only
  bool flight_done = false;            // ServerHelloDone of TLS 1.2
  std::optional<std::uint8_t> alert;   // in the clear
  std::string first_line;              // of what is no TLS; raw bytes, cut at 200
};

class AnswerReader {
 public:
  // The longest chain that is worth a look; OpenSSL's own bound is 100 KB.
  static constexpr std::size_t kMaxMessage = 128 * 1024;
  static constexpr std::size_t kMaxRecords = 1024;
  static constexpr std::size_t kFirstLine = 200;

  enum class State : std::uint8_t {
    need_more,
    sealed,   // what follows is encrypted, or not read here: no more can be learnt
    alert,    // the server refused
    not_tls,  // the first bytes are no TLS record
    broken,   // TLS, but against its rules
  };

  // The next bytes off the wire. After another state than need_more they are not looked at, but for the
  // first line of what is no TLS.
  State feed(std::span<const char> bytes);
  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] const ServerAnswer& answer() const noexcept { return answer_; }
  [[nodiscard]] bool started() const noexcept { return started_; }  // at least one byte came
  // Of what is no TLS: the first line is whole, or as long as it is kept.
  [[nodiscard]] bool line_done() const noexcept {
    return line_over_ || answer_.first_line.size() == kFirstLine;
  }

 private:
  void take(std::span<const std::uint8_t>& in);
  void take_header();
  void end_record();
  void take_alert();
  void take_messages();
  void message(std::uint8_t type, std::span<const std::uint8_t> body);
  void server_hello(std::span<const std::uint8_t> body);
  void extensions(std::span<const std::uint8_t> list);
  void certificate(std::span<const std::uint8_t> body);
  void key_exchange(std::span<const std::uint8_t> body);
  void line(std::span<const std::uint8_t> bytes);

  ServerAnswer answer_;
  std::vector<std::uint8_t> handshake_;  // of messages that are not whole yet
  std::vector<std::uint8_t> record_;     // header, then body
  std::size_t records_ = 0;
  State state_ = State::need_more;
  bool started_ = false;
  bool line_over_ = false;
};

}  // namespace sallyport::tls
