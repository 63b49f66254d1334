// A connection's bytes under TLS, once its handshake is done: what ServerStream and ClientStream
// share. Our own (asio::ssl::stream costs 73 KiB a connection and a quarter more CPU): ciphertext is
// decrypted straight out of the pump's read buffer into the loop's scratch; small writes of one turn become
// one record; all records of a turn leave in one send.
//
// Owned by one session (before that by whoever runs its handshake), on one worker; see
// net/byte_stream.hpp for the contract. While idle() it holds the traffic secrets of TLS 1.3, or under
// TLS 1.2 the SSL object, and no buffer. May be destroyed from within its handler's calls, better by
// Loop::reap().
// RFC 8446 §5, §6.1: an end without close_notify is a truncation, on_closed(closed).
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "sallyport/base/buffer.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/base/lifetime.hpp"
#include "sallyport/net/byte_stream.hpp"
#include "sallyport/net/loop.hpp"
#include "sallyport/net/socket_io.hpp"

namespace sallyport::tls {

class Engine;

class Stream : public net::ByteStream,
               public net::Reapable,
               protected net::SocketIo::Handler,
               private net::Flush,
               private net::Wake {
 public:
  ~Stream() override;

  void start(net::ByteStream::Handler& handler) override;
  void pause() noexcept override;
  void resume() noexcept override;
  void write(std::span<const char> bytes) override;
  [[nodiscard]] std::size_t unwritten() const noexcept override { return unwritten_; }
  void finish() override;
  void close(bool abortive = false) noexcept override;
  void idle() noexcept override;
  [[nodiscard]] bool is_open() const noexcept override { return !dead_ && io_.is_open(); }
  [[nodiscard]] base::Error hang_up() noexcept override { return io_.hang_up(); }
  [[nodiscard]] const net::Endpoint& peer() const noexcept override { return peer_; }
  [[nodiscard]] const net::Endpoint& local() const noexcept override { return local_; }

 protected:
  Stream(net::Loop& loop, net::TcpSocket socket, base::Fault side, const net::Endpoint& peer,
         const net::Endpoint& local);

  // The handshake's side of it, until established().
  virtual void handshake_bytes(std::span<char> bytes) = 0;
  virtual void handshake_eof() = 0;
  virtual void handshake_failed(const base::Error& error) = 0;
  virtual void handshake_wake() {}

  void adopt(std::unique_ptr<Engine> engine) noexcept;
  // From here on the bytes are the session's.
  void established() noexcept { established_ = true; }
  [[nodiscard]] bool is_established() const noexcept { return established_; }
  // Decrypts what the engine was fed and hands it up; keeps it when nobody has called start() yet.
  void deliver();

  // Runs what may destroy this object; false if it did.
  template <class Call>
  [[nodiscard]] bool survives(Call call) {
    const base::Lifetime::Watch watch(lifetime_);
    call();
    return !watch.gone();
  }
  // For handshake_wake() in this turn.
  void wake_later() noexcept { loop_.wake(*this); }

  net::Loop& loop_;
  net::SocketIo io_;
  std::unique_ptr<Engine> engine_;

 private:
  void on_read(std::span<char> bytes) final;
  void on_read_end() final;
  void on_sent(std::size_t n) final;
  void on_failed(const base::Error& error) final;
  void on_flush() final;
  void on_wake() final;
  void encrypt(std::span<const char> bytes);
  void seal_staged();
  void fail(const base::Error& error);

  base::Lifetime lifetime_;
  net::ByteStream::Handler* handler_ = nullptr;
  base::Buffer staged_;  // plaintext of this turn's small writes, less than one record
  base::Buffer held_;    // ciphertext that came before start()
  std::size_t unwritten_ = 0;
  net::Endpoint peer_;
  net::Endpoint local_;
  base::Error failure_;  // to be told by on_wake()
  base::Fault side_;
  std::size_t answers_ = 0;  // ciphertext that reading made, since the queue was last empty
  bool established_ = false;
  bool paused_ = false;
  bool ended_ = false;     // close_notify received
  bool finished_ = false;  // close_notify sent
  bool dead_ = false;
};

}  // namespace sallyport::tls
