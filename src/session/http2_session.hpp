// What both sides of HTTP/2 share: a codec on a byte stream, and the streams that exchanges borrow.
//
// One per connection, one thread. Output is pumped once, at the end of the loop turn, and again
// only when the last send was wholly taken, so frames gather into few records and sends, and what
// is framed but not sent stays under kBatch. Request and response bodies wait in the codec's
// per-stream buffers, bounded by the credit of the other side of their exchange.
#pragma once

#include <memory>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "sallyport/base/buffer.hpp"
#include "sallyport/http/stream.hpp"
#include "sallyport/http2/codec.hpp"
#include "sallyport/net/byte_stream.hpp"
#include "sallyport/net/loop.hpp"

#include "patience.hpp"
#include "receive_window.hpp"

namespace sallyport::session {

class Http2Session;

// One HTTP/2 stream as an exchange sees it. Owned by its session, which keeps it until the codec
// has closed the stream *and* the borrower has let go of it.
class Http2Stream final : public http::Stream, private net::Wake {
 public:
  explicit Http2Stream(Http2Session& session) noexcept;

  void attach(http::StreamReceiver* receiver) override { receiver_ = receiver; }
  void detach() noexcept override;
  void send_request(const http::RequestHead& head, bool end) override;
  void send_response(const http::ResponseHead& head, bool end) override;
  void send_data(std::span<const char> bytes, bool end) override;
  void send_trailers(const http::Fields& trailers) override;
  void consumed(std::size_t n) noexcept override;
  void unhurried() noexcept override;
  void reset(const base::Error& why) noexcept override;
  [[nodiscard]] std::size_t unsent() const noexcept override;
  [[nodiscard]] http::Version version() const noexcept override { return http::Version::http2; }

 private:
  friend class Http2Session;
  void on_wake() override;  // send_request() found no stream to open
  void on_stall();
  // Sees whose turn it is in both directions, and has the timer armed while it is the peer's.
  void watch();
  [[nodiscard]] bool owes_body() const noexcept;
  [[nodiscard]] bool refuses_body() const noexcept;
  // What waits to be sent is an exchange's, which has a deadline of its own for that.
  [[nodiscard]] bool watched_by_borrower() const noexcept;
  void forget_peer() noexcept;

  Http2Session& session_;
  http::StreamReceiver* receiver_ = nullptr;
  http2::StreamId id_ = 0;
  std::size_t unconsumed_ = 0;
  ReceiveWindow window_;
  bool borrowed_ = true;
  bool remote_end_ = false;  // their message is complete
  bool local_end_ = false;   // ours is queued to its end
  bool responded_ = false;   // client side: the final head is queued
  bool expecting_ = false;   // client side: it waits for a 100 before it sends
  bool closed_ = false;      // the codec knows it no more
  bool unhurried_ = false;   // their message is a conversation
  Patience receiving_;
  Patience sending_;
  net::MemberTimer<Http2Stream, &Http2Stream::on_stall> stall_{*this};
};

class Http2Session : protected net::ByteStream::Handler,
                     protected http2::Codec::Events,
                     private http2::Codec::Output,
                     private net::Flush {
 public:
  struct Stalls {
    base::Milliseconds receive{0};  // a body that we are ready to take pauses for so long; 0 = not watched
    base::Milliseconds send{0};     // the peer takes nothing of what is queued for so long
    // Bytes a second that it must keep up, on average over as long; 0 = any will do.
    std::uint32_t receive_rate = 0;
    std::uint32_t send_rate = 0;
  };

  Http2Session(net::Loop& loop, std::unique_ptr<net::ByteStream> connection, http2::Side side,
               const http2::Settings& settings, Stalls stalls);
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

 protected:
  virtual ~Http2Session() = default;

  // What the sides do differently.
  virtual void on_streams_changed() = 0;                          // one opened or closed
  virtual void on_connection_over(const base::Error& error) = 0;  // all receivers have been told
  virtual void on_too_slow(bool /*reading*/) {}                   // for counters
  virtual void on_body_refused() {}  // a stream was given up since nothing of its body was taken

  void start_reading() { connection_->start(*this); }
  Http2Stream& open(http2::StreamId id);
  [[nodiscard]] Http2Stream* find(http2::StreamId id) noexcept;
  // Frames go out once all that is ready now has run, so that the answers of many streams share a
  // send (measured: a quarter less CPU a request at 16 x 32 streams than a pump a turn).
  void pump_soon() noexcept { loop_.flush_late(*this); }
  // Tells every receiver, drops every stream.
  void fail_streams(const base::Error& error);
  // GOAWAY is out: sends what is queued, then ends the connection.
  void finish_connection();
  void close_connection(bool abortive) noexcept;
  [[nodiscard]] std::size_t borrowed() const noexcept { return borrowed_; }
  [[nodiscard]] bool no_streams() const noexcept { return streams_.empty(); }
  void go_quiet();
  // A request's body is awaited from here on, also when not a byte of it comes.
  static void await_body(Http2Stream& stream, const http::RequestHead& head) {
    stream.expecting_ = head.expects_continue;
    stream.watch();
  }
  static void remote_ended(Http2Stream& stream) noexcept { stream.remote_end_ = true; }
  [[nodiscard]] static http::StreamReceiver* receiver_of(Http2Stream& stream) noexcept {
    return stream.receiver_;
  }

  // net::ByteStream::Handler
  void on_bytes(std::span<const char> bytes) override;
  void on_eof() override;
  void on_written(std::size_t n) override;
  void on_closed(const base::Error& error) override;

  // http2::Codec::Events, as far as they are the same on both sides
  void on_data(http2::StreamId id, std::span<const char> bytes, bool end) override;
  void on_trailers(http2::StreamId id, http::Fields&& trailers) override;
  void on_sent(http2::StreamId id, std::size_t n) override;
  void on_stream_closed(http2::StreamId id, const base::Error& error) override;

  net::Loop& loop_;
  std::unique_ptr<net::ByteStream> connection_;
  http2::Side side_;
  http2::Codec codec_;
  base::Fault peer_fault_;
  std::uint64_t served_ = 0;
  bool over_ = false;  // closed, or closing: no more events matter

 private:
  friend class Http2Stream;
  void on_flush() override;
  void on_output(std::span<const char> bytes) override;
  void on_write_stall();
  void watch_writing();
  void codec_failed();
  void release(Http2Stream& stream) noexcept;
  void drop(Http2Stream& stream) noexcept;
  void cancel_finished();

  Stalls stalls_;
  Patience writing_;  // the peer's kernel takes what we wrote
  Patience opening_;  // the peer opens the connection's window
  std::uint32_t initial_window_;
  ReceiveWindow::Reserve window_reserve_;
  base::Buffer out_;
  std::size_t borrowed_ = 0;
  boost::unordered_flat_map<http2::StreamId, std::unique_ptr<Http2Stream>> streams_;
  std::vector<std::unique_ptr<Http2Stream>> unopened_;  // upstream side: lent, no request sent yet
  std::vector<std::unique_ptr<Http2Stream>> spare_;
  std::vector<http2::StreamId> cut_short_;         // within a pump: framed in part
  std::vector<http2::StreamId> cancel_when_sent_;  // our message is whole, theirs is not and nobody wants it
  net::MemberTimer<Http2Session, &Http2Session::on_write_stall> write_timer_{*this};
};

// The HTTP/2 error code that tells the peer why a stream ends.
[[nodiscard]] std::uint32_t http2_code_of(const base::Error& why) noexcept;

}  // namespace sallyport::session
