// One connection to a server as a client of a certain kind would make it, and what came of it:
// for `sallyport probe`.
//
// A kind is either a whole handshake by OpenSSL with settings of its own, or a ClientHello made by
// hand that is sent as the kind would send it and whose answer is read (tls/server_answer.hpp): such a
// handshake shows whether the server takes the offer and goes no further. Nothing is verified here;
// the chain is handed out as it was sent. Blocking, with a deadline for each connection; command line
// only, one thread. Everything in a ProbeResult is as the server sent it: escape it before printing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/net/blocking_socket.hpp"
#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/certificate_set.hpp"

struct ssl_session_st;

namespace sallyport::tls {

enum class ProbeKind : std::uint8_t {
  tls13,
  tls13_mlkem,
  tls12,
  cloudflare_13,
  cloudflare_12,
  split_hello,
  split_records,
  ecdsa_only,
  rsa_only,
  h2_only,
  http1_only,
  no_alpn,
  no_sni,
  unknown_sni,
  legacy,
  plain_http,
  resumption,
};
inline constexpr std::size_t kProbeKinds = static_cast<std::size_t>(ProbeKind::resumption) + 1;

struct ProbeKindText {
  ProbeKind kind;
  std::string_view name;   // "tls13-mlkem", as --as takes it
  std::string_view about;  // what such a client is
};
// One for each, in their order.
[[nodiscard]] std::span<const ProbeKindText> probe_kinds() noexcept;
[[nodiscard]] const ProbeKindText& about(ProbeKind kind) noexcept;
[[nodiscard]] std::optional<ProbeKind> find_probe_kind(std::string_view name) noexcept;

// How far it came.
enum class ProbeEnd : std::uint8_t {
  done,      // the handshake is complete
  answered,  // of a hello made by hand: the server chose from it
  alert,     // the server refused
  closed,    // FIN within the handshake
  reset,     // RST within the handshake
  timeout,
  not_tls,  // the first bytes are no TLS record
  broken,   // TLS that OpenSSL or the reader cannot take
};
[[nodiscard]] std::string_view to_string(ProbeEnd end) noexcept;

// The OCSP response in the handshake (RFC 6066 §8); its signature is not verified.
struct ShownStaple {
  enum class Status : std::uint8_t { absent, good, revoked, unknown, unreadable };
  Status status = Status::absent;
  base::WallTime next_update{};  // 0: it does not say
};
[[nodiscard]] std::string_view to_string(ShownStaple::Status status) noexcept;

using ProbeSession = std::shared_ptr<ssl_session_st>;

struct ProbeResult {
  ProbeKind kind = ProbeKind::tls13;
  ProbeEnd end = ProbeEnd::done;
  bool silent = true;            // not one byte came
  std::uint16_t version_id = 0;  // 0: no ServerHello
  std::uint16_t suite_id = 0;
  std::string version, suite, group;  // empty: not known
  bool forward_secret = true;
  bool hello_retry = false;
  std::string alpn;                   // empty: none was chosen
  std::optional<std::uint8_t> alert;  // received
  std::string detail;                 // the first line of what is no TLS, or OpenSSL's error
  std::vector<CertificateRef> chain;  // as sent, leaf first; may be empty
  ShownStaple staple;
  bool must_staple = false;             // the leaf asks for one
  bool certificate_asked = false;       // of the client
  std::vector<std::string> client_cas;  // whose certificates the server would take
  bool resumed = false;
  ProbeSession session;  // to resume from; may be null
  base::Milliseconds took{};

  [[nodiscard]] bool ok() const noexcept { return end == ProbeEnd::done || end == ProbeEnd::answered; }
};

struct ProbeTarget {
  std::string sni;   // empty: none is sent, whatever the kind
  std::string host;  // for the Host field of the request in clear text
  base::Milliseconds timeout{5000};
  // Between the two parts of a hello that comes in two TCP segments: enough for a server to read the first.
  base::Milliseconds gap{100};
  // A whole handshake is made with Cloudflare's suites, groups and signatures, whatever the kind.
  bool as_cloudflare = false;
  std::shared_ptr<const Certificate> certificate;  // shown where the server asks; may be null
};

// What a client of this kind sends in one piece, with its answer. The socket is connected.
class ProbeConnection {
 public:
  // `session` is resumed if there is one.
  ProbeConnection(net::BlockingSocket socket, ProbeKind kind, const ProbeTarget& target,
                  ProbeSession session = nullptr);
  ~ProbeConnection();
  ProbeConnection(const ProbeConnection&) = delete;
  ProbeConnection& operator=(const ProbeConnection&) = delete;

  // Once.
  [[nodiscard]] ProbeResult handshake();

  // Application data, behind a handshake that is done. `alert` is set when one came.
  struct Read {
    ProbeEnd end = ProbeEnd::done;
    std::size_t size = 0;
    std::optional<std::uint8_t> alert;
  };
  [[nodiscard]] bool write(std::string_view bytes, base::Instant deadline);
  [[nodiscard]] Read read(std::span<char> into, base::Instant deadline);
  // Waits for what a TLS 1.3 server says of its own accord: a ticket, or that it wanted a certificate.
  [[nodiscard]] Read settle(base::Instant deadline);
  // The newest session that the server gave, or null.
  [[nodiscard]] ProbeSession session() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::tls
