// One connection to an upstream endpoint, as its pool sees it: something that lends streams.
//
// Made by the pool on a connected byte stream, owned by the pool, lives on the pool's worker.
// HTTP/1.1 lends one stream at a time, HTTP/2 as many as the peer's SETTINGS allow, and before
// they came (settled()) a single one. When the session dies it says so once to its owner, which
// then hands it to Loop::reap().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/http/stream.hpp"
#include "sallyport/http2/budgets.hpp"
#include "sallyport/net/byte_stream.hpp"
#include "sallyport/net/loop.hpp"

namespace sallyport::session {

struct UpstreamLimits {
  std::size_t head_bytes = 128 * 1024;  // response head, whole
  std::size_t field_bytes = 32 * 1024;  // one response field
  std::size_t fields = 256;             // response fields
  std::uint32_t informational = 32;     // 1xx heads before the final one
  // HTTP/1.1: credit for response body bytes. More buys nothing, for a turn of the loop reads no
  // more; a client that takes nothing makes us hold so much on each of its streams.
  std::size_t body_window = 64 * 1024;
  std::uint32_t stream_window = 256 * 1024;  // HTTP/2: the same, a stream; a round trip's worth of bytes
  std::uint32_t connection_window = 4 * 1024 * 1024;  // HTTP/2 only
  std::uint32_t max_streams = 100;  // HTTP/2: cap on our own use, the peer's SETTINGS may lower it
};

class UpstreamSession : public net::Reapable {
 public:
  class Owner {
   public:
    // A stream was given back, or SETTINGS or GOAWAY changed what may be opened: look at
    // capacity() and usable(). Called as a wake-up, never from within a call into the session.
    virtual void on_session_changed(UpstreamSession& session) = 0;
    // Dead; every open stream's receiver has been told. The owner reaps it.
    virtual void on_session_closed(UpstreamSession& session, const base::Error& error) = 0;
    // HTTP/2 frames and abuse budgets, for counters; from within the session, so only count.
    virtual void on_h2_flood(http2::Flood flood) = 0;
    virtual void on_h2_reset(bool sent, std::uint32_t code) = 0;
    virtual void on_h2_goaway(bool sent, std::uint32_t code) = 0;

   protected:
    ~Owner() = default;
  };

  // Borrows a stream; the receiver is attached by the caller before send_request(). nullptr if
  // capacity() is 0. Given back by Stream::detach() or reset(), or by on_error to its receiver.
  [[nodiscard]] virtual http::Stream* open_stream() = 0;
  // Whether what the peer allows is known: HTTP/2's SETTINGS have come (HTTP/1.1: always).
  // on_session_changed tells when they do.
  [[nodiscard]] virtual bool settled() const noexcept = 0;
  // How many more streams may be opened right now.
  [[nodiscard]] virtual std::size_t capacity() const noexcept = 0;
  [[nodiscard]] virtual std::size_t active() const noexcept = 0;
  // Whether it will ever lend a stream again: no GOAWAY, no close seen or promised.
  [[nodiscard]] virtual bool usable() const noexcept = 0;
  [[nodiscard]] virtual http::Version version() const noexcept = 0;
  // RFC 8441: the peer takes extended CONNECT (HTTP/2), or an upgrade (HTTP/1.1: always).
  [[nodiscard]] virtual bool takes_websocket() const noexcept = 0;
  // How many exchanges were opened on it; > 1 means that a failure may be a stale connection.
  [[nodiscard]] virtual std::uint64_t served() const noexcept = 0;
  // The peer's Keep-Alive: timeout hint, 0 = none (HTTP/1.1).
  [[nodiscard]] virtual base::Seconds idle_hint() const noexcept = 0;
  // Lets running streams end, opens no more, then closes; on_session_closed follows.
  virtual void shutdown() = 0;
  // Closes now; receivers get `why`; on_session_closed is not called.
  virtual void abort(const base::Error& why) = 0;
};

// `connection` is connected and, if TLS, through its handshake. `owner` and `loop` outlive the session.
[[nodiscard]] std::unique_ptr<UpstreamSession> make_upstream_session(
    net::Loop& loop, std::unique_ptr<net::ByteStream> connection, http::Version version,
    const UpstreamLimits& limits, UpstreamSession::Owner& owner);

}  // namespace sallyport::session
