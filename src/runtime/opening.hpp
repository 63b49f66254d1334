// The first bytes of a connection that is not (yet) TLS: a PROXY protocol header from a sender
// that is configured to give one, and on a clear-text listener the choice between HTTP/1.x and
// HTTP/2 by prior knowledge (RFC 9113 §3.3).
//
// Owned by the worker until it is decided, on its thread, under the handshake's deadline. The
// socket and the bytes that were read too far go to whoever comes next.
#pragma once

#include <string>
#include <utility>

#include "sallyport/base/intrusive_list.hpp"
#include "sallyport/net/address_table.hpp"
#include "sallyport/net/proxy_protocol.hpp"
#include "sallyport/net/socket_io.hpp"
#include "sallyport/net/timer_wheel.hpp"
#include "sallyport/obs/metrics.hpp"

namespace sallyport::runtime {

struct OpeningTag;

class Opening final : public net::Reapable,
                      public base::ListHook<OpeningTag>,
                      private net::SocketIo::Handler {
 public:
  enum class Failure : std::uint8_t { closed, timeout, bad_header };

  class Owner {
   public:
    // Release()s the socket, takes rest(), and reaps the opening.
    virtual void on_opened(Opening& opening) = 0;
    virtual void on_opening_failed(Opening& opening, Failure why) = 0;

   protected:
    ~Owner() = default;
  };

  struct Wanted {
    bool proxy_header = false;
    bool protocol = false;  // tell HTTP/1.x and HTTP/2 apart
  };

  Opening(net::Loop& loop, net::TcpSocket socket, std::uint32_t door, const net::Endpoint& peer,
          const net::Endpoint& local, net::AddressTable::Seat seat, Wanted wanted, Owner& owner);

  void begin(base::Milliseconds deadline);

  [[nodiscard]] std::uint32_t door() const noexcept { return door_; }
  // Of the connection's peer, unless a PROXY header tells of another.
  void kind(obs::PeerKind kind) noexcept { kind_ = kind; }
  [[nodiscard]] obs::PeerKind kind() const noexcept { return kind_; }
  [[nodiscard]] bool wants_proxy_header() const noexcept { return wanted_.proxy_header; }
  [[nodiscard]] const net::Endpoint& peer() const noexcept { return peer_; }    // as the header says
  [[nodiscard]] const net::Endpoint& local() const noexcept { return local_; }  // likewise
  [[nodiscard]] bool proxied() const noexcept { return proxied_; }              // a header said so
  [[nodiscard]] bool is_http2() const noexcept { return http2_; }
  [[nodiscard]] std::string_view why() const noexcept { return proxy_.why(); }
  // From within on_opened() only.
  [[nodiscard]] net::TcpSocket release() noexcept { return io_.release(); }
  [[nodiscard]] net::AddressTable::Seat take_seat() noexcept { return std::move(seat_); }
  [[nodiscard]] std::span<const char> rest() const noexcept { return {seen_.data(), seen_.size()}; }

 private:
  void on_read(std::span<char> bytes) override;
  void on_read_end() override { fail(Failure::closed); }
  void on_sent(std::size_t) override {}
  void on_failed(const base::Error&) override { fail(Failure::closed); }
  void on_deadline() { fail(Failure::timeout); }
  void fail(Failure why);

  net::Loop& loop_;
  net::SocketIo io_;
  Owner& owner_;
  net::ProxyProtocol proxy_;
  net::Endpoint peer_;
  net::Endpoint local_;
  net::AddressTable::Seat seat_;
  std::string seen_;  // behind the header, at most one read
  std::uint32_t door_;
  Wanted wanted_;
  obs::PeerKind kind_ = obs::PeerKind::other;
  bool proxied_ = false;
  bool http2_ = false;
  bool over_ = false;
  net::MemberTimer<Opening, &Opening::on_deadline> deadline_{*this};
};

}  // namespace sallyport::runtime
