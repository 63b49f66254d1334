// A connection's TLS: the handshake by an SSL object over a custom BIO, which reads from a view of
// ciphertext that is handed in, writes into the socket's queue, and remembers what a verdict wants to
// know; then the records, by our own record layer where it can take over, else by the SSL object as
// well. No callback of ours is called by it. Owned by its Stream; private to tls.
//
// The error queue is per thread and shared by all connections of a worker: it is emptied before
// each call, so that nobody is judged by another's error.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "sallyport/net/socket_io.hpp"
#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/client_certificate.hpp"
#include "sallyport/tls/hello.hpp"
#include "sallyport/tls/server_context.hpp"

#include "key_schedule.hpp"
#include "openssl.hpp"
#include "record_layer.hpp"

namespace sallyport::tls {

class ClientSession;

class Engine final : private RecordSink {
 public:
  enum class Step : std::uint8_t { done, want_read, failed };
  using End = RecordLayer::End;
  using Read = RecordLayer::Read;

  // ok() tells whether there was memory for it.
  Engine(SSL_CTX* context, net::SocketIo& io, bool server);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] bool ok() const noexcept { return ssl_ != nullptr; }
  // Until the handshake is settled.
  [[nodiscard]] SSL* ssl() const noexcept { return ssl_.get(); }

  // Ciphertext for the calls that follow; must outlive them or be taken back with rest().
  void feed(std::span<const char> bytes) noexcept { in_ = bytes; }
  [[nodiscard]] std::span<const char> rest() const noexcept { return in_; }

  [[nodiscard]] Step handshake() noexcept;
  // Fills `room` with plaintext of as many records as there are. `more`: the room is full.
  [[nodiscard]] Read read(std::span<char> room) noexcept;
  // Encrypts all of it. False: broken, and stays so.
  [[nodiscard]] bool write(std::span<const char> bytes) noexcept;
  void close_notify() noexcept;

  // For verdicts.
  [[nodiscard]] unsigned long error() const noexcept { return error_; }
  [[nodiscard]] std::optional<std::uint8_t> alert_sent() const noexcept { return alert_sent_; }
  [[nodiscard]] std::optional<std::uint8_t> alert_received() const noexcept { return alert_received_; }
  [[nodiscard]] bool flight_sent() const noexcept { return flight_sent_; }
  [[nodiscard]] bool hello_retried() const noexcept { return hellos_ > 1; }
  [[nodiscard]] bool hello_changed() const noexcept { return hello_changed_; }
  // The client's certificate that will not do, or one above it: what was found first. nullptr: it
  // does, or none was shown.
  [[nodiscard]] const RefusedCertificate* refused() const noexcept { return refused_.get(); }
  [[nodiscard]] std::unique_ptr<const RefusedCertificate> take_refused() noexcept {
    return std::move(refused_);
  }
  // The alert that ended it, either direction; 0: none.
  [[nodiscard]] std::int32_t last_alert() const noexcept;

  // What each ClientHello must say; the view outlives the handshake.
  void expect_sni(SniState state, std::string_view name) noexcept;
  // Those that the host has, until settle(). The tickets say which one a session was made under.
  void shows(std::span<const std::shared_ptr<const Certificate>> certificates) noexcept {
    certificates_ = certificates;
  }
  // Of those, the one that is shown; nullptr: none was chosen.
  [[nodiscard]] const Certificate* shown() const noexcept;
  // The SHA-256 of the certificate that a resumed session was made under, if its ticket says.
  [[nodiscard]] std::optional<Digest> session_certificate() const noexcept;

  // The handshake is done: forgets what only that needs. Of a TLS 1.3 server that is the SSL object, too; a
  // client keeps it until the first data have come, behind the tickets.
  void settle() noexcept;

  // Gives back what only a busy connection needs.
  void idle() noexcept {
    if (records_ != nullptr) records_->idle();
  }

  // Where a client's new sessions go, under what name; nullptr: nowhere.
  struct SessionSink {
    ClientSession* sessions = nullptr;
    std::string name;
    Digest context{};
  };
  [[nodiscard]] SessionSink& sink() noexcept { return sink_; }

  // Puts the callbacks that serve the above on a context.
  static void watch_server(SSL_CTX* context);
  static void watch_client(SSL_CTX* context);
  // For SSL_CTX_set_verify: adds the rule's names and pins to what OpenSSL checks, and notes what will
  // not do. Where that ends no handshake, what was found first is what the session keeps.
  static int on_verify(int ok, X509_STORE_CTX* verification);

 private:
  [[nodiscard]] bool drained() const noexcept;
  [[nodiscard]] static Engine& of(const SSL* ssl) noexcept;
  [[nodiscard]] static const BIO_METHOD* bio_method();
  static int bio_read(BIO* bio, char* out, int size);
  static int bio_write(BIO* bio, const char* bytes, int size);
  static long bio_control(BIO* bio, int command, long number, void* pointer);
  static void on_info(const SSL* ssl, int where, int value);
  static void on_message(int written, int version, int type, const void* bytes, std::size_t size, SSL* ssl,
                         void*);
  static int on_client_hello(SSL* ssl, int* alert, void*);
  static int on_ticket(SSL* ssl, void*);
  static int on_new_session(SSL* ssl, SSL_SESSION* session);
  [[nodiscard]] bool same_sni(SSL* ssl) const;
  std::span<char> prepare(std::size_t n) override;
  void commit(std::size_t n) override;
  [[nodiscard]] bool can_take_over() const noexcept;
  void take_over() noexcept;
  void note_error(int result) noexcept;
  void note_refusal(X509_STORE_CTX* verification, X509* certificate, const ClientRule& rule);

  net::SocketIo& io_;
  std::span<const char> in_;
  SslPtr ssl_;
  std::unique_ptr<TrafficSecrets> secrets_;  // until take_over(), or until it is known that there is none
  std::unique_ptr<RecordLayer> records_;
  SessionSink sink_;
  std::string_view expected_name_;
  std::span<const std::shared_ptr<const Certificate>> certificates_;
  std::unique_ptr<const RefusedCertificate> refused_;
  unsigned long error_ = 0;
  std::optional<std::uint8_t> alert_sent_;
  std::optional<std::uint8_t> alert_received_;
  SniState expected_sni_ = SniState::absent;
  std::uint8_t hellos_ = 0;
  bool settled_ = false;
  bool final_keys_ = false;    // what is written from here on is under the application traffic secret
  std::uint64_t written_ = 0;  // records under it, by the SSL object
  std::uint64_t read_ = 0;     // records since the handshake was settled
  bool hello_changed_ = false;
  bool flight_sent_ = false;
};

// What the SSL object negotiated, in our words. Static text.
[[nodiscard]] Version negotiated_version(const SSL* ssl) noexcept;
[[nodiscard]] Protocol negotiated_protocol(const SSL* ssl) noexcept;
[[nodiscard]] std::string_view negotiated_cipher(const SSL* ssl) noexcept;
[[nodiscard]] std::string_view negotiated_group(SSL* ssl) noexcept;
[[nodiscard]] std::string_view own_signature(SSL* ssl) noexcept;

}  // namespace sallyport::tls
