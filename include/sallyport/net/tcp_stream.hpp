// A ByteStream in plain text: SocketIo with no layer between.
//
// Owned by one session, on one worker; see byte_stream.hpp for the contract.
#pragma once

#include "sallyport/net/byte_stream.hpp"
#include "sallyport/net/socket_io.hpp"

namespace sallyport::net {

class TcpStream final : public ByteStream, private SocketIo::Handler {
 public:
  // `early`: bytes that were read from the socket before, delivered first. `side` is who the peer is.
  TcpStream(Loop& loop, TcpSocket socket, base::Fault side, const Endpoint& peer, const Endpoint& local,
            std::span<const char> early = {});

  void start(ByteStream::Handler& handler) override;
  void pause() noexcept override { io_.pause(); }
  void resume() noexcept override { io_.resume(); }
  void write(std::span<const char> bytes) override;
  [[nodiscard]] std::size_t unwritten() const noexcept override { return io_.unsent(); }
  void finish() override { io_.finish(); }
  void close(bool abortive = false) noexcept override { io_.close(abortive); }
  void idle() noexcept override { io_.idle(); }
  [[nodiscard]] bool is_open() const noexcept override { return io_.is_open(); }
  [[nodiscard]] base::Error hang_up() noexcept override { return io_.hang_up(); }
  [[nodiscard]] const Endpoint& peer() const noexcept override { return peer_; }
  [[nodiscard]] const Endpoint& local() const noexcept override { return local_; }

 private:
  void on_read(std::span<char> bytes) override { handler_->on_bytes(bytes); }
  void on_read_end() override { handler_->on_eof(); }
  void on_sent(std::size_t n) override { handler_->on_written(n); }
  void on_failed(const base::Error& error) override { handler_->on_closed(error); }

  SocketIo io_;
  ByteStream::Handler* handler_ = nullptr;
  std::vector<char> early_;
  Endpoint peer_;
  Endpoint local_;
};

}  // namespace sallyport::net
