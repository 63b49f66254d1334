// Our TLS connection to an upstream: does the handshake on a connected socket, verifies whom it
// reached, and is then a ByteStream.
//
// Owned by the connector (its ConnectHandler) until on_connected(), then by a session; one worker.
// Errors: tls_untrusted (cause: X509_V_… code), tls_failed (cause: the alert, either direction, or
// 0), tls_timeout, tls_closed, tls_reset. All are `unsent`: nothing of a request was written.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/net/timer_wheel.hpp"
#include "sallyport/tls/client_context.hpp"
#include "sallyport/tls/names.hpp"
#include "sallyport/tls/stream.hpp"

namespace sallyport::tls {

struct Connected {
  Version version = Version::none;
  std::string_view cipher;  // static
  Protocol protocol = Protocol::none;
  bool resumed = false;
  base::Duration duration{};
};

// The words of an X509_V_… code, for logs. Static text.
[[nodiscard]] std::string_view verify_reason(long code) noexcept;

class ClientStream;

class ConnectHandler {
 public:
  // The stream goes to a session, which calls start().
  virtual void on_connected(ClientStream& stream, const Connected& facts) = 0;
  // The last call: give it to Loop::reap().
  virtual void on_connect_failed(ClientStream& stream, const base::Error& error) = 0;

 protected:
  ~ConnectHandler() = default;
};

class ClientStream final : public Stream {
 public:
  // `endpoint_name` is the name or IP literal that the endpoint was configured with; it is what is
  // verified and sent as SNI (unless a literal) when the context names nobody. `sessions` may be
  // null; else it outlives the stream.
  ClientStream(net::Loop& loop, net::TcpSocket socket, const net::Endpoint& peer, const net::Endpoint& local,
               std::shared_ptr<const ClientContext> context, std::string endpoint_name,
               ClientSession* sessions, base::Milliseconds timeout, ConnectHandler& handler);
  ~ClientStream() override;

  // Begins the handshake, from within a Loop::Turn.
  void begin();
  // The session memory goes away before the stream does (a pool that a reload removed).
  void forget_sessions() noexcept;

 private:
  struct Opening;

  void handshake_bytes(std::span<char> bytes) override;
  void handshake_eof() override;
  void handshake_failed(const base::Error& error) override;
  void handshake_wake() override;
  void on_deadline();
  [[nodiscard]] bool make_engine();
  void advance();
  void succeed();
  void fail_handshake();
  void end(base::ErrorCode code, std::int32_t cause);

  std::unique_ptr<Opening> opening_;  // until the handshake is over
};

}  // namespace sallyport::tls
