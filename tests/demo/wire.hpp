// One accepted connection, plain or TLS, for a thread of its own: calls that wait and calls that
// do not, over the same non-blocking socket.
//
// Owned by the connection's thread. A wait of any kind ends with Stopped when the process is to
// end; a connection that broke is reported as Gone.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <openssl/ssl.h>

namespace sallyport::demo {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct Gone : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Stopped : std::runtime_error {
  Stopped() : std::runtime_error("stopped") {}
};

struct TlsFacts {
  std::string sni;
  std::string alpn;
  std::string client_subject;
};

class Wire {
 public:
  // Takes the descriptor. `stop` is readable once the process is to end. `context` null = plain.
  Wire(int descriptor, int stop, SSL_CTX* context);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // The TLS handshake, within ten seconds; nothing on a plain connection.
  void handshake();
  [[nodiscard]] const std::optional<TlsFacts>& tls() const noexcept { return tls_; }
  [[nodiscard]] const std::string& peer() const noexcept { return peer_; }

  // Bytes read; 0 at the peer's end; nothing if none are there.
  [[nodiscard]] std::optional<std::size_t> try_read(std::span<char> out);
  // Bytes taken, which may be 0.
  [[nodiscard]] std::size_t try_write(std::string_view bytes);
  // Until readable (or writable, if asked), at most until `deadline`.
  void wait(bool writable, std::optional<Clock::time_point> deadline);

  // The same, waiting: some bytes, 0 at the end; all bytes.
  [[nodiscard]] std::size_t read(std::span<char> out);
  void write(std::string_view bytes);
  // Lets time pass; throws Gone if the peer leaves in the meantime.
  void pause(milliseconds time);

  // Ends our side, then waits shortly for the peer's end, so that what was sent is not lost to a
  // reset because of bytes that we did not read.
  void linger();
  // The next close is a TCP reset.
  void abort() noexcept;

 private:
  void poll_for(short events, int timeout_ms, short& got);
  std::size_t tls_result(int result, bool& blocked);

  int descriptor_;
  int stop_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
  bool tls_wants_write_ = false;
  std::optional<TlsFacts> tls_;
  std::string peer_;
};

}  // namespace sallyport::demo
