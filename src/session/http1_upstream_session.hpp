// A connection to an HTTP/1.x upstream: one exchange after the other, always with a read
// outstanding, so that a close by the upstream is seen before the connection is picked again.
//
// Owned by its pool, one thread. It is its own http::Stream. Bounds: a partial response head
// (codec limits); a body in flight by limits.body_window and one read.
#pragma once

#include <memory>

#include "sallyport/base/buffer.hpp"
#include "sallyport/http1/codec.hpp"
#include "sallyport/session/upstream_session.hpp"

namespace sallyport::session {

class Http1UpstreamSession final : public UpstreamSession,
                                   private http::Stream,
                                   private net::ByteStream::Handler,
                                   private http1::ResponseCodec::Events,
                                   private net::Wake {
 public:
  Http1UpstreamSession(net::Loop& loop, std::unique_ptr<net::ByteStream> connection,
                       const UpstreamLimits& limits, Owner& owner);

  void start() { connection_->start(*this); }

  [[nodiscard]] http::Stream* open_stream() override;
  [[nodiscard]] bool settled() const noexcept override { return true; }
  [[nodiscard]] std::size_t capacity() const noexcept override { return usable() && !exchange_ ? 1 : 0; }
  [[nodiscard]] std::size_t active() const noexcept override { return exchange_ ? 1 : 0; }
  [[nodiscard]] bool usable() const noexcept override { return !closed_ && !ending_; }
  [[nodiscard]] http::Version version() const noexcept override { return http::Version::http11; }
  [[nodiscard]] bool takes_websocket() const noexcept override { return true; }
  [[nodiscard]] std::uint64_t served() const noexcept override { return served_; }
  [[nodiscard]] base::Seconds idle_hint() const noexcept override {
    return codec_.keep_alive_timeout().value_or(base::Seconds{0});
  }
  void shutdown() override;
  void abort(const base::Error& why) override;

 private:
  // http::Stream
  void attach(http::StreamReceiver* receiver) override { receiver_ = receiver; }
  void detach() noexcept override;
  void send_request(const http::RequestHead& head, bool end) override;
  void send_response(const http::ResponseHead& head, bool end) override;
  void send_data(std::span<const char> bytes, bool end) override;
  void send_trailers(const http::Fields& trailers) override;
  void consumed(std::size_t n) noexcept override;
  void reset(const base::Error& why) noexcept override;
  [[nodiscard]] std::size_t unsent() const noexcept override { return unsent_; }

  // net::ByteStream::Handler
  void on_bytes(std::span<const char> bytes) override;
  void on_eof() override;
  void on_written(std::size_t n) override;
  void on_closed(const base::Error& error) override;

  // http1::ResponseCodec::Events
  void on_response(http::ResponseHead&& head, bool end) override;
  void on_data(std::span<const char> bytes, bool end) override;
  void on_trailers(http::Fields&& trailers) override;
  void on_error(const base::Error& error) override;

  void on_wake() override;
  void on_quiet();

  void write_out();
  void settle_sent();
  void fail(base::Error error);
  void response_ended() noexcept { response_open_ = false; }
  void close_now(const base::Error& why, bool abortive);

  net::Loop& loop_;
  std::unique_ptr<net::ByteStream> connection_;
  Owner& owner_;
  http1::ResponseCodec codec_;
  std::size_t window_;
  base::Buffer in_;   // a partial head or chunk line
  base::Buffer out_;  // text of heads and framing, on its way to the connection
  http::StreamReceiver* receiver_ = nullptr;
  std::size_t unconsumed_ = 0;
  std::size_t unsent_ = 0;
  std::uint64_t served_ = 0;
  bool written_any_ = false;   // a byte of the running request reached the kernel
  bool answered_any_ = false;  // a byte of its response was seen
  bool exchange_ = false;
  bool request_open_ = false;
  bool response_open_ = false;
  bool ending_ = false;  // lends no stream any more
  bool closed_ = false;
  base::Error close_reason_;
  net::MemberTimer<Http1UpstreamSession, &Http1UpstreamSession::on_quiet> quiet_timer_{*this};
};

}  // namespace sallyport::session
