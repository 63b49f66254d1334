// The byte pump over one TCP socket that TcpStream and tls::Stream are built on: reads what comes when
// it comes, gathers what is written and sends it once at the turn's end.
//
// Owned by its stream, used on its loop's thread only. Reads go into the loop's one read buffer, so a
// connection holds none; a read that did not fill it has emptied the socket, and the next is made when
// epoll tells of more. It may be closed or destroyed at any time, from within its own handler's calls too.
// The handler is never called from within a call into this object. Call from within a Loop::Turn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sallyport/base/buffer.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/base/lifetime.hpp"
#include "sallyport/net/loop.hpp"
#include "sallyport/net/tcp.hpp"

namespace sallyport::net {

class SocketIo final : private Watched, private Flush, private Wake {
 public:
  class Handler {
   public:
    // The view dies with the call; until then the bytes may be changed in place.
    virtual void on_read(std::span<char> bytes) = 0;
    // FIN. Nothing more is read.
    virtual void on_read_end() = 0;
    // The kernel took n more bytes.
    virtual void on_sent(std::size_t n) = 0;
    // The connection is dead and the socket closed; the last call. `cause` is the errno.
    virtual void on_failed(const base::Error& error) = 0;

   protected:
    ~Handler() = default;
  };

  // `side` is who the peer is: the fault of every error.
  SocketIo(Loop& loop, TcpSocket socket, base::Fault side);
  ~SocketIo();
  SocketIo(const SocketIo&) = delete;
  SocketIo& operator=(const SocketIo&) = delete;

  // Begins reading. Once, before anything is written. `early` are bytes that were read from the
  // socket before (behind a PROXY header); they are copied and delivered first.
  void start(Handler& handler, std::span<const char> early = {});
  // Gives the socket up, for whoever goes on with it: before start(), or from within on_read()
  // when nothing was written. What on_read() was given and not used is the caller's to pass on.
  [[nodiscard]] TcpSocket release() noexcept;

  // From here on nothing is read. What resume() finds to be read comes with the loop's next round.
  void pause() noexcept;
  void resume() noexcept;
  // Gives the write buffer back, once it is empty. Undone by the next byte; may be called at any time.
  void idle() noexcept;

  // Queue, then schedule(): the bytes leave at the turn's end in one send.
  [[nodiscard]] base::Buffer& out() noexcept { return out_; }
  void schedule() noexcept;
  void append(std::span<const char> bytes);
  // To write in place: at least n octets behind what is queued, or none when nothing can be sent any more;
  // then how many of them were written.
  [[nodiscard]] std::span<char> prepare(std::size_t n);
  void commit(std::size_t n) noexcept;
  // What is queued may wait for more, a tick long at most.
  void hold() noexcept;
  // Sends what is queued and then `big` at once in one call; what the kernel does not take of
  // `big` is queued. For spans that are dear to copy.
  void write_gather(std::span<const char> big);
  [[nodiscard]] std::size_t unsent() const noexcept { return out_.size(); }
  // The kernel's buffer is full: what is queued waits for it.
  [[nodiscard]] bool blocked() const noexcept { return write_waiting_; }

  // Sends all that is queued, then FIN; nothing may be written after it. Reading goes on.
  void finish();
  // Drops what is queued and closes, with RST if abortive. No call follows.
  void close(bool abortive = false) noexcept;
  [[nodiscard]] bool is_open() const noexcept { return socket_.is_open(); }
  // See ByteStream: RST or FIN that the kernel has, read or not.
  [[nodiscard]] base::Error hang_up() noexcept;
  [[nodiscard]] int fd() const noexcept { return socket_.fd(); }
  [[nodiscard]] Loop& loop() noexcept { return loop_; }

 private:
  void on_ready(std::uint32_t events) override;
  void on_flush() override;
  void on_wake() override;
  [[nodiscard]] bool may_read() const noexcept;
  void read();
  void end_of_input();
  void transmit(std::span<const char> big);
  void wait_writable();
  void settle();
  void give_up_buffers() noexcept;
  void fail(int error_number);

  Loop& loop_;
  TcpSocket socket_;
  base::Lifetime lifetime_;
  Handler* handler_ = nullptr;
  base::Buffer out_;
  std::vector<char> early_;
  std::size_t sent_ = 0;  // taken by the kernel, not yet told
  int write_error_ = 0;   // errno of a send; told when the input has been read to its end
  base::Fault side_;
  bool watched_ = false;
  bool watched_for_room_ = false;  // for EPOLLOUT too, from the first full buffer on
  bool readable_ = false;          // the kernel may have bytes, or an end, that were not read
  bool peer_gone_ = false;         // FIN, reset, or urgent data: a short read does not mean that it is empty
  bool paused_ = false;
  bool idle_ = false;
  bool ended_ = false;  // FIN received
  bool write_waiting_ = false;
  bool finishing_ = false;
  bool finished_ = false;  // FIN sent
};

}  // namespace sallyport::net
