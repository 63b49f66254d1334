// Listening sockets: made for all workers at once (ListenerSocket), accepted from by each (Listener).
//
// Every worker has a socket of its own on the same port (SO_REUSEPORT), so the kernel spreads
// connections and no lock is shared. Two traps are dealt with here: with SO_REUSEPORT a second
// gateway would share a taken port in silence, so a probe binds without it first; and closing
// one socket of the set resets what is queued on it, so a listener drains before it closes.
// ListenerSocket: a value, control thread, until a Listener takes it. Listener: owned by its
// worker, on its thread; its handler outlives it.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <boost/system/result.hpp>

#include "sallyport/base/error.hpp"
#include "sallyport/base/lifetime.hpp"
#include "sallyport/net/loop.hpp"
#include "sallyport/net/tcp.hpp"

namespace sallyport::net {

// Why an address could not be listened on, in words for the operator.
struct BindError {
  int cause = 0;     // errno
  std::string text;  // address, what failed, errno's text, remedy
};

// One bound and listening descriptor.
class ListenerSocket {
 public:
  // Adopts a listening descriptor (socket activation, handover).
  explicit ListenerSocket(int fd) noexcept : fd_(fd) {}
  ListenerSocket(ListenerSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ListenerSocket& operator=(ListenerSocket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~ListenerSocket();

  // `count` sockets on one port; port 0: the first picks. "[::]" takes both families and falls
  // back to 0.0.0.0 where the system has no IPv6. All or none.
  [[nodiscard]] static boost::system::result<std::vector<ListenerSocket>, BindError> bind_set(
      const Endpoint& address, std::size_t count, int backlog = kBacklog, const TcpOptions& options = {});
  // The kernel caps it at net.core.somaxconn (4096 since Linux 5.4).
  static constexpr int kBacklog = 4096;

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] Endpoint local() const noexcept { return local_endpoint(fd_); }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

class Listener final : private Watched, private Wake {
 public:
  class Handler {
   public:
    // TCP_NODELAY and keep-alive are set. May pause(), drain() or destroy the listener.
    virtual void on_accept(TcpSocket socket, const Endpoint& peer, const Endpoint& local) = 0;
    // reset: one connection was gone before it was taken. Others (overloaded: out of descriptors
    // or memory): accepting rests for kBackOff. cause = errno.
    virtual void on_accept_error(const base::Error& error) = 0;
    // drain() is through and the socket closed.
    virtual void on_drained() {}

   protected:
    ~Handler() = default;
  };

  // Connections per readiness; the rest waits for the loop's next round, behind everybody's I/O.
  static constexpr std::size_t kBatch = 16;
  static constexpr base::Milliseconds kBackOff{100};

  Listener(Loop& loop, ListenerSocket socket, Handler& handler);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void start();
  // At a connection limit: what arrives waits in the backlog.
  void pause() noexcept;
  void resume() noexcept;
  // Accepts what is queued, also when paused, then closes. on_accept() is called for each, then
  // on_drained(), but none from within this call. A connection whose handshake is not through
  // by then is reset (unless net.ipv4.tcp_migrate_req moves it to another socket of the set).
  void drain();
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return socket_.is_open(); }
  [[nodiscard]] const Endpoint& local() const noexcept { return local_; }

 private:
  void on_ready(std::uint32_t events) override;
  void on_wake() override;
  void on_retry();
  void watch();
  void accept_batch();
  void drained();
  void rest(int error_number);
  [[nodiscard]] int accept_one(TcpSocket& socket, Endpoint& peer);
  [[nodiscard]] bool may_accept() const noexcept { return is_open() && (draining_ || !paused_); }

  Loop& loop_;
  Handler& handler_;
  TcpSocket socket_;
  base::Lifetime lifetime_;
  MemberTimer<Listener, &Listener::on_retry> retry_{*this};
  Endpoint local_;
  std::size_t drain_left_ = 0;
  bool watched_ = false;
  bool acceptable_ = false;  // the kernel may have connections that were not taken
  bool paused_ = false;
  bool draining_ = false;
};

}  // namespace sallyport::net
