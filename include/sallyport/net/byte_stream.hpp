// A connection's bytes, whether TCP or TLS: what a session reads and writes.
//
// Owned by one session, on one worker. Reading is push: bytes arrive in a view that dies with
// the call. Writing is gather: write() takes bytes into the connection's own buffer (or sends
// large ones at once), and everything of one turn leaves in one send at the turn's end.
// The handler is never called from within a call into the stream; after on_closed() it is not
// called again.
#pragma once

#include <cstddef>
#include <span>

#include "sallyport/base/error.hpp"
#include "sallyport/net/address.hpp"

namespace sallyport::net {

class ByteStream {
 public:
  class Handler {
   public:
    // Plaintext. The handler takes all of it (and pauses reading when it has enough).
    virtual void on_bytes(std::span<const char> bytes) = 0;
    // The peer's clean end: FIN; under TLS close_notify. A FIN without close_notify is on_closed(closed).
    virtual void on_eof() = 0;
    // n bytes (plaintext) taken by write() have been taken by the kernel.
    virtual void on_written(std::size_t n) = 0;
    // The connection is dead: reset, timed out, TLS failure. Fault is that of the peer's side.
    virtual void on_closed(const base::Error& error) = 0;

   protected:
    ~Handler() = default;
  };

  ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  // Begins reading. Once. The handler must outlive the stream or close() it before.
  virtual void start(Handler& handler) = 0;
  // While paused nothing is read from the kernel, so the peer's sends block; on_bytes() may still come with
  // what had been read and not yet decrypted.
  virtual void pause() noexcept = 0;
  virtual void resume() noexcept = 0;

  // Takes all bytes. Callers keep unwritten() within their own bound.
  virtual void write(std::span<const char> bytes) = 0;
  // Bytes (plaintext) that the kernel has not taken yet.
  [[nodiscard]] virtual std::size_t unwritten() const noexcept = 0;
  // Sends what is buffered, then TLS close_notify and FIN; reading goes on.
  virtual void finish() = 0;
  // Drops everything and closes. `abortive` sends RST instead of FIN.
  virtual void close(bool abortive = false) noexcept = 0;

  // Tells that nothing is expected for a while: read and write buffers are given back and the
  // connection waits for readiness only. Undone by the next byte or write().
  virtual void idle() noexcept = 0;
  [[nodiscard]] virtual bool is_open() const noexcept = 0;
  // For whoever is paused: what the kernel knows of the peer's leaving though nothing is read. `reset`,
  // or `closed` for a FIN, which may stand behind bytes that are still to be read; none while it is there.
  // A system call. A FIN that the peer holds back behind what we do not take is unknown to the kernel too.
  [[nodiscard]] virtual base::Error hang_up() noexcept = 0;
  [[nodiscard]] virtual const Endpoint& peer() const noexcept = 0;
  [[nodiscard]] virtual const Endpoint& local() const noexcept = 0;
};

}  // namespace sallyport::net
