// What an exchange asks a pool for, and what it gets: the lease of one upstream stream.
//
//   LeaseRequest request(pools.pool(spec), changed_);
//   request.acquire(ask);
//   while (!request.done()) co_await changed_.wait();
//   base::Result<Lease> lease = request.take();
//   … on failure: if (request.retry(error, attempt) == RetryVerdict::retry) request.acquire(ask) again
//
// Both live in the exchange, on its worker, and die before the worker's Pools; destruction
// cancels. A lease must be told when its stream is no longer the exchange's: finished(), right
// after Stream::detach() or reset(), or from within on_error. A lease that dies without that
// detaches its stream itself (the exchange was cancelled, or never used it).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/base/intrusive_list.hpp"
#include "sallyport/http/stream.hpp"
#include "sallyport/net/address.hpp"
#include "sallyport/net/signal.hpp"
#include "sallyport/net/timer_wheel.hpp"
#include "sallyport/upstream/cluster.hpp"
#include "sallyport/upstream/retry.hpp"

namespace sallyport::upstream {

class Connection;
class EndpointPool;
class Pool;
struct WaitingTag;

// How an exchange's use of an endpoint ended, for passive ejection.
enum class Outcome : std::uint8_t {
  ok,              // a response, whatever its status below
  gateway_status,  // 502, 503 or 504 from the upstream
  timeout,         // no first byte, or a stalled body
  reset,           // reset, closed early or malformed; not a stale reused connection
  neutral,         // says nothing of the endpoint: client gone, stale connection, refused stream
};

class Lease {
 public:
  Lease() noexcept = default;
  Lease(Lease&& other) noexcept { *this = std::move(other); }
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();

  [[nodiscard]] explicit operator bool() const noexcept { return connection_ != nullptr; }
  // Until finished(). Attach a receiver before the loop's turn is over.
  [[nodiscard]] http::Stream& stream() const noexcept { return *stream_; }
  [[nodiscard]] http::Version version() const noexcept { return version_; }
  // The connection had served an exchange or been idle before: a failure may mean that it was stale.
  [[nodiscard]] bool reused() const noexcept { return reused_; }
  [[nodiscard]] bool takes_websocket() const noexcept { return websocket_; }
  [[nodiscard]] const net::Endpoint& address() const noexcept { return address_; }
  // How long the connection took to come up, if this lease waited for it; zero for one that was there.
  [[nodiscard]] base::Duration connect_time() const noexcept { return connect_time_; }
  [[nodiscard]] base::Duration tls_time() const noexcept { return tls_time_; }

  // The stream is not ours any more. The lease is empty afterwards; calls on an empty one do nothing.
  void finished(Outcome outcome) noexcept;

 private:
  friend class Connection;
  Connection* connection_ = nullptr;
  http::Stream* stream_ = nullptr;
  net::Endpoint address_;
  base::Duration connect_time_{};
  base::Duration tls_time_{};
  http::Version version_ = http::Version::http11;
  bool reused_ = false;
  bool websocket_ = false;
};

struct Ask {
  bool websocket = false;  // needs a connection that takes RFC 6455 or RFC 8441
  bool fresh = false;      // after a stale connection: none that was idle, or the retry may meet another
  base::Milliseconds connect_timeout{0};  // the route's; 0 = the upstream's
};

// One per exchange and upstream, used again for its retries: it remembers where it has been and
// passes those endpoints over while there is another. As long as it lives its pool does, and the
// exchange counts in the pool's retry budget.
class LeaseRequest final : private base::ListHook<WaitingTag>, private net::Timer {
 public:
  // `changed` is raised when an acquire() that did not complete at once is done.
  LeaseRequest(Pool& pool, net::Signal& changed) noexcept;
  LeaseRequest(const LeaseRequest&) = delete;
  LeaseRequest& operator=(const LeaseRequest&) = delete;
  ~LeaseRequest();

  // Completes at once (true; `changed` is not raised) or later. Not while one is under way.
  bool acquire(const Ask& ask);
  [[nodiscard]] bool done() const noexcept { return result_.has_value(); }
  // Once, when done. Every error is `unsent`: the request has met nobody.
  [[nodiscard]] base::Result<Lease> take() noexcept;
  // Gives up waiting; a lease that nobody took goes back.
  void cancel() noexcept;

  // Whether to try again after `error`. `retry` takes a place in the pool's budget, held until
  // answered() or the end of this request.
  [[nodiscard]] RetryVerdict retry(const base::Error& error, const Attempt& attempt) noexcept;
  // A response began: what runs from here on is no retry any more.
  void answered() noexcept;
  [[nodiscard]] std::uint32_t retries() const noexcept { return retries_; }

  // The endpoint that the last try went to, also when that failed; nullopt if none was picked.
  [[nodiscard]] const std::optional<net::Endpoint>& endpoint() const noexcept { return endpoint_; }
  [[nodiscard]] const ClusterSpec& spec() const noexcept;

 private:
  friend class Pool;
  friend class EndpointPool;
  friend class Connection;
  template <class, class>
  friend class base::IntrusiveList;
  static constexpr std::size_t kTried = 8;  // more than anybody retries; the oldest is forgotten

  void on_timer() override;
  void picked(const net::Endpoint& endpoint) noexcept;
  [[nodiscard]] bool tried(const net::Endpoint& endpoint) const noexcept;
  void complete(base::Result<Lease> result) noexcept;

  Pool& pool_;
  net::Signal& changed_;
  EndpointPool* at_ = nullptr;  // while waiting for a connection of this endpoint
  bool waiting_ = false;        // on some queue
  bool acquiring_ = false;      // within acquire(): its caller needs no signal
  bool in_retry_ = false;
  std::uint8_t lane_ = 0;
  Ask ask_;
  std::optional<base::Result<Lease>> result_;
  std::optional<net::Endpoint> endpoint_;
  std::array<net::Endpoint, kTried> tried_{};
  std::uint32_t tries_ = 0;
  std::uint32_t retries_ = 0;
};

}  // namespace sallyport::upstream
