// A client's TLS connection: reads the ClientHello, finds host and policy by it, does the
// handshake on that policy's context with that host's certificates, and is then a ByteStream.
//
// Owned by whoever took the connection (its HandshakeHandler) until on_handshake(), which passes
// it on to a session; on one worker. A refusal that the hello alone decides (unknown name, no
// common protocol or version, no TLS at all) is a 7-byte alert or a plain 400, without OpenSSL.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/intrusive_list.hpp"
#include "sallyport/net/timer_wheel.hpp"
#include "sallyport/tls/client_certificate.hpp"
#include "sallyport/tls/context_store.hpp"
#include "sallyport/tls/hello.hpp"
#include "sallyport/tls/stream.hpp"
#include "sallyport/tls/verdict.hpp"

namespace sallyport::tls {

// What was negotiated. Valid during the call; views are static text or live as long as the store
// or the hello, so copy what is to stay.
struct Handshake {
  std::uint32_t listener = 0;
  const HostEntry* host = nullptr;
  const Terms* terms = nullptr;  // of the host: the policy that held
  const Rule* rule = nullptr;    // what picked it; nullptr: it is the host's own
  std::string_view sni;          // lower case; empty: none sent
  const ClientHello* hello = nullptr;
  Version version = Version::none;
  std::string_view cipher;  // "TLS_AES_128_GCM_SHA256"; static
  std::string_view group;   // "X25519"; empty if none (resumed under TLS 1.2); static
  std::string_view sigalg;  // of our signature, "ecdsa_secp256r1_sha256"; empty when resumed; static
  Protocol protocol = Protocol::none;
  bool resumed = false;
  bool hello_retried = false;
  bool hello_segmented = false;
  ClientCertResult client_cert = ClientCertResult::off;
  std::string client_subject;                          // of a verified client certificate, RFC 2253
  std::unique_ptr<const ClientCertificate> client;     // nullptr: none was asked for or shown
  const RefusedCertificate* client_refused = nullptr;  // why it will not do; nullptr as well when resumed
  // The one that was shown, or that the resumed session was made under; nullptr: the host has it no more.
  const Certificate* certificate = nullptr;
  std::optional<Digest> certificate_sha256;  // of the same, also when it is gone
  base::Duration duration{};                 // from accept to our last look at it
  base::Duration busy{};                     // of it, spent computing
};

struct HandshakeFailure {
  std::uint32_t listener = 0;
  Verdict verdict;
  const HostEntry* host = nullptr;     // nullptr: none was found
  const Policy* policy = nullptr;      // the one that held, the host's own or a rule's; with `host`
  const Rule* rule = nullptr;          // what picked it, or refused; nullptr: none matched
  const ClientHello* hello = nullptr;  // nullptr: it did not become whole
  std::string_view sni;
  HelloFault fault = HelloFault::none;       // of a hello that could not be read
  bool silent = false;                       // not one byte came
  const Certificate* certificate = nullptr;  // the one that was shown; nullptr: it did not come to that
  long verify_code = 0;                      // X509_V_…: why the client's certificate was not taken
  // Of the client's certificate that was not taken, or of the one above it that was not.
  std::string_view client_subject, client_issuer;
  std::string_view client_names, client_pin;  // of the client's own, where the policy looks at them
  std::optional<std::uint8_t> alert_sent;
  std::optional<std::uint8_t> alert_received;
  unsigned long openssl_error = 0;  // 0: none
  base::Duration duration{};
  base::Duration busy{};
};
// OpenSSL's words for it ("no shared cipher"); empty for 0. Static text.
[[nodiscard]] std::string_view openssl_reason(unsigned long error) noexcept;

class ServerStream;

class HandshakeHandler {
 public:
  // Asked once per connection, when its hello is whole, so that it meets the newest store. Kept
  // for the handshake only.
  [[nodiscard]] virtual std::shared_ptr<const ContextStore> context_store() = 0;
  // The stream goes to a session, which calls start(); nothing more comes here.
  virtual void on_handshake(ServerStream& stream, const Handshake& facts) = 0;
  // To be counted and logged. The stream stays for a moment, so that its alert arrives.
  virtual void on_handshake_failed(ServerStream& stream, const HandshakeFailure& failure) = 0;
  // The last call, after on_handshake_failed: give it to Loop::reap().
  virtual void on_handshake_over(ServerStream& stream) = 0;

 protected:
  ~HandshakeHandler() = default;
};

struct ServerStreamOptions {
  std::uint32_t listener = 0;
  base::Milliseconds handshake_timeout{10'000};
  std::size_t max_hello = HelloReader::kMaxMessage;
};

struct HandshakeTag;

class ServerStream final : public Stream, public base::ListHook<HandshakeTag> {
 public:
  ServerStream(net::Loop& loop, net::TcpSocket socket, const net::Endpoint& peer, const net::Endpoint& local,
               const ServerStreamOptions& options, HandshakeHandler& handler);
  ~ServerStream() override;

  // Begins the handshake, from within a Loop::Turn. `early`: bytes read before (behind a PROXY header).
  void begin(std::span<const char> early = {});
  // Ends a handshake in progress with verdict `shutdown`: on_handshake_failed and
  // on_handshake_over come within the call. From within a Loop::Turn, not from one of its calls.
  void abandon();

 private:
  struct Opening;

  void handshake_bytes(std::span<char> bytes) override;
  void handshake_eof() override;
  void handshake_failed(const base::Error& error) override;
  void on_deadline();
  void read_hello(std::span<const char> bytes);
  [[nodiscard]] bool choose_host();
  [[nodiscard]] bool choose_policy();
  [[nodiscard]] bool acceptable();
  [[nodiscard]] bool make_engine();
  void advance();
  void succeed();
  void refuse(Verdict verdict, std::uint8_t alert);
  void answer_plain_http();
  void end(Ending ending);
  void report(const Verdict& verdict, std::optional<std::uint8_t> alert_sent);
  void linger_on(std::size_t bytes);
  void over();

  std::unique_ptr<Opening> opening_;  // until the handshake is over
};

}  // namespace sallyport::tls
