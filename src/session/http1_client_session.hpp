// A client's HTTP/1.x connection: one request at a time, pipelined ones wait in the input buffer.
//
// Owned by the worker, one thread. It is its own http::Stream, borrowed by one exchange after
// the other. Bounds: the input buffer holds at most one read beyond a partial head or beyond the
// request that is running (then reading pauses); a body in flight is bounded by
// limits.body_window and one read.
#pragma once

#include <memory>

#include "sallyport/base/buffer.hpp"
#include "sallyport/http1/codec.hpp"
#include "sallyport/session/client_session.hpp"

#include "patience.hpp"

namespace sallyport::session {

class Http1ClientSession final : public ClientSession,
                                 private http::Stream,
                                 private net::ByteStream::Handler,
                                 private http1::RequestCodec::Events,
                                 private net::Wake {
 public:
  explicit Http1ClientSession(ClientSessionParts parts);
  ~Http1ClientSession() override;

  // Begins reading.
  void start();

  [[nodiscard]] const ConnectionInfo& info() const noexcept override { return info_; }
  [[nodiscard]] http::Version version() const noexcept override { return http::Version::http11; }
  [[nodiscard]] std::size_t active() const noexcept override { return exchange_ ? 1 : 0; }
  void drain() override;
  [[nodiscard]] bool draining() const noexcept override { return draining_; }
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

  // http1::RequestCodec::Events
  void on_request(http::RequestHead&& head, bool end) override;
  void on_data(std::span<const char> bytes, bool end) override;
  void on_trailers(http::Fields&& trailers) override;
  void on_error(const base::Error& error) override;

  void on_wake() override;

  // What the one receive timer waits for.
  enum class Waiting : std::uint8_t { nothing, quiet, idle, head, body, room, linger, drain_notice };
  void wait_for(Waiting what);
  void on_receive_timer();
  void look_for_hang_up();
  void on_write_timer();
  void watch_writing();
  void on_age();

  void parse(std::span<const char> bytes);
  void answer_bad_request(const base::Error& error);
  void fail_exchange(const base::Error& error);
  void begin_exchange();
  void body_arrived(std::size_t n, bool end);
  void write_out();
  void settle_sent();
  void next_request();
  void linger();
  void close_now(ClosedBy by, bool abortive);

  net::Loop& loop_;
  std::unique_ptr<net::ByteStream> connection_;
  ConnectionInfo info_;
  std::shared_ptr<const ClientLimits> limits_;
  RequestHandler& handler_;
  Owner& owner_;
  http1::RequestCodec codec_;
  base::Buffer in_;   // not parsed yet: a partial head, or what was pipelined
  base::Buffer out_;  // text of heads and framing, on its way to the connection
  http::StreamReceiver* receiver_ = nullptr;
  std::size_t unconsumed_ = 0;  // body bytes delivered and not given back
  std::size_t unsent_ = 0;      // body bytes written and not taken by the kernel
  Patience body_;               // the client sends the body that it announced
  Patience writing_;            // the client takes what we wrote
  std::uint64_t served_ = 0;
  bool exchange_ = false;        // a request was handed on and not detached
  bool request_open_ = false;    // more of the request's message will come
  bool long_body_ = false;       // and it may be much, or wait for a 100 that does not come
  bool response_begun_ = false;  // a final head was sent
  bool response_open_ = false;   // more of the response will be sent
  bool next_due_ = false;        // detached with both messages whole: the next request may be read
  bool parsing_ = false;
  bool broken_ = false;  // the input cannot be read any further
  bool draining_ = false;
  bool aged_ = false;  // connection_age is over: the running response is the last
  bool lingering_ = false;
  bool peer_ended_ = false;  // a tunnel's client has closed its side
  bool closed_ = false;
  Waiting waiting_ = Waiting::nothing;
  ClosedBy closed_by_ = ClosedBy::peer;
  net::MemberTimer<Http1ClientSession, &Http1ClientSession::on_receive_timer> receive_timer_{*this};
  net::MemberTimer<Http1ClientSession, &Http1ClientSession::on_write_timer> write_timer_{*this};
  net::MemberTimer<Http1ClientSession, &Http1ClientSession::on_age> age_timer_{*this};
};

}  // namespace sallyport::session
