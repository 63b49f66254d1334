// How a pool gets a new connection: TCP, TLS with ALPN, and the session on it. An interface, so
// that tests drive a pool without sockets.
//
// Owned by the worker, used by its pools on its thread; it outlives them. A Dial is owned by the
// connection that waits for it: dropping it (by Loop::reap()) cancels it. Connecting and the TLS
// handshake have a deadline each and fail with different errors, all of them `unsent`.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/net/address.hpp"
#include "sallyport/net/loop.hpp"
#include "sallyport/session/upstream_session.hpp"
#include "sallyport/tls/client_context.hpp"
#include "sallyport/upstream/cluster.hpp"

namespace sallyport::upstream {

// What ALPN offers; over cleartext `both` is HTTP/1.1 and `h2` is prior knowledge (RFC 9113 §3.3).
enum class Offer : std::uint8_t { h1, h2, both };

// What an endpoint's TLS sessions are resumed with, one for each thing that is offered.
struct Resumption {
  tls::ClientSession full;
  tls::ClientSession http1;
};

struct Dialed {
  std::unique_ptr<session::UpstreamSession> session;
  base::Duration connect{};
  base::Duration tls{};
};

class Dial : public net::Reapable {
 public:
  class Receiver {
   public:
    // Once, never from within dial(). Nothing follows.
    virtual void on_dialed(base::Result<Dialed> result) = 0;

   protected:
    ~Receiver() = default;
  };
};

struct DialTarget {
  net::Endpoint address;
  std::string_view host;  // as configured: the name to verify where the upstream names none
  Offer offer = Offer::h1;
  base::Milliseconds connect_timeout{0};
  base::Milliseconds tls_timeout{0};
  Resumption* resumption = nullptr;  // outlives the session that is dialed
};

class Dialer {
 public:
  // `owner` becomes the session's. Offer::h2 over TLS fails with tls_failed unless the peer picks h2.
  [[nodiscard]] virtual std::unique_ptr<Dial> dial(const std::shared_ptr<const ClusterSpec>& spec,
                                                   const DialTarget& target,
                                                   session::UpstreamSession::Owner& owner,
                                                   Dial::Receiver& receiver) = 0;

 protected:
  ~Dialer() = default;
};

// Real sockets.
class SocketDialer final : public Dialer {
 public:
  explicit SocketDialer(net::Loop& loop) noexcept : loop_(loop) {}
  [[nodiscard]] std::unique_ptr<Dial> dial(const std::shared_ptr<const ClusterSpec>& spec,
                                           const DialTarget& target, session::UpstreamSession::Owner& owner,
                                           Dial::Receiver& receiver) override;

 private:
  net::Loop& loop_;
};

}  // namespace sallyport::upstream
