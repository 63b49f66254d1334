// One attempt to connect a TCP socket to an endpoint, with a deadline.
//
// Owned by whoever wants the connection, on its loop's thread. Exactly one of the handler's two
// functions is called per connect(), from a turn of its own, never from within connect(); none
// after cancel() or destruction. The errors tell refused, timed out, unreachable and the rest
// apart. All of them are `unsent`: no byte of a request has left.
#pragma once

#include "sallyport/base/error.hpp"
#include "sallyport/net/loop.hpp"
#include "sallyport/net/tcp.hpp"

namespace sallyport::net {

class Connector final : private Watched, private Wake {
 public:
  class Handler {
   public:
    virtual void on_connected(TcpSocket socket, const Endpoint& local) = 0;
    virtual void on_connect_failed(const base::Error& error) = 0;

   protected:
    ~Handler() = default;
  };

  explicit Connector(Loop& loop, const TcpOptions& options = {});
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // One attempt at a time.
  void connect(const Endpoint& to, base::Milliseconds deadline, Handler& handler);
  void cancel() noexcept;
  [[nodiscard]] bool connecting() const noexcept { return handler_ != nullptr; }

 private:
  void on_ready(std::uint32_t events) override;
  void on_wake() override;
  void on_deadline();
  // 0, or the errno of what could not even begin.
  [[nodiscard]] int begin(const Endpoint& to);
  void fail(int error_number, base::ErrorCode code);

  Loop& loop_;
  TcpOptions options_;
  TcpSocket socket_;
  MemberTimer<Connector, &Connector::on_deadline> deadline_{*this};
  Handler* handler_ = nullptr;
  int early_error_ = 0;
};

}  // namespace sallyport::net
