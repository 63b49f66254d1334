// OpenSSL as a client of a certain kind, over a BlockingSocket. What the server sends in the clear is
// read along (AnswerReader), since OpenSSL does not tell all of it. Private to tls.
#pragma once

#include <optional>
#include <string>

#include "sallyport/net/blocking_socket.hpp"
#include "sallyport/tls/probe.hpp"
#include "sallyport/tls/server_answer.hpp"

#include "openssl.hpp"

namespace sallyport::tls {

class ProbeEngine {
 public:
  ProbeEngine(net::BlockingSocket socket, ProbeKind kind, const ProbeTarget& target,
              const ProbeSession& session);
  // Says close_notify, so that the session stays good.
  ~ProbeEngine();
  ProbeEngine(const ProbeEngine&) = delete;
  ProbeEngine& operator=(const ProbeEngine&) = delete;

  void handshake(ProbeResult& result, base::Instant deadline);
  [[nodiscard]] bool write(std::string_view bytes, base::Instant deadline);
  [[nodiscard]] ProbeConnection::Read read(std::span<char> into, base::Instant deadline);
  [[nodiscard]] ProbeConnection::Read settle(base::Instant deadline);
  [[nodiscard]] const ProbeSession& session() const noexcept { return session_; }

 private:
  static void on_info(const SSL* ssl, int where, int value);
  static int on_certificate_request(SSL* ssl, void* self);
  static int on_session(SSL* ssl, SSL_SESSION* session);

  [[nodiscard]] ProbeEnd run_handshake(base::Instant deadline, std::string& detail);
  [[nodiscard]] bool flush(base::Instant deadline);
  [[nodiscard]] ProbeEnd fill(base::Instant deadline);
  [[nodiscard]] ProbeConnection::Read read_some(base::Instant deadline, int (*step)(SSL*, void*, int),
                                                std::span<char> into);
  [[nodiscard]] ProbeEnd end_of_failure(std::string& detail) const;
  void describe(ProbeResult& result) const;

  net::BlockingSocket socket_;
  SslCtxPtr context_;
  SslPtr ssl_;
  BIO* in_ = nullptr;   // of ssl_
  BIO* out_ = nullptr;  // of ssl_
  AnswerReader reader_;
  std::shared_ptr<const Certificate> certificate_;
  std::optional<std::uint8_t> alert_;
  ProbeSession session_;
  bool certificate_asked_ = false;
  bool done_ = false;
};

}  // namespace sallyport::tls
