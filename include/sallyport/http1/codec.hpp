// HTTP/1.x as bytes and events (RFC 9112): RequestCodec faces a client, ResponseCodec an upstream.
//
// One codec a connection, owned by its session, one thread, no I/O. Heads come and go in the
// neutral form of http/head.hpp. One message is under way in each direction; both are
// independent, so a response may begin before its request has ended.
//
// receive() returns how many bytes it used; the caller keeps the others and offers them again
// with more behind them (an incomplete head or trailer section stays unused, bounded by Limits).
// It stops after a message's end until next(), and after any event that called stop().
//
// A body piece of n bytes is written as
//     if (codec.open_piece(n, out)) out.append(bytes);  // or gathered from elsewhere
//     codec.close_piece(n, end, out);
// where false means that the message takes none of these bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "sallyport/base/buffer.hpp"
#include "sallyport/base/clock.hpp"
#include "sallyport/http/head.hpp"
#include "sallyport/http1/limits.hpp"
#include "sallyport/http1/message_reader.hpp"
#include "sallyport/http1/message_writer.hpp"

namespace sallyport::http1 {

// Parses requests, writes responses. Errors are the client's fault.
class RequestCodec {
 public:
  class Events : public MessageEvents {
   public:
    // The receiver moves the head out (and may recycle() it later) or leaves it. A WebSocket
    // request (protocol() == "websocket") comes without end: its bytes flow after a 101. If it
    // is answered otherwise the request ends without a further event.
    virtual void on_request(http::RequestHead&& head, bool end) = 0;

   protected:
    ~Events() = default;
  };

  // tls: the scheme of requests on this connection is https.
  RequestCodec(const Limits& limits, bool tls) noexcept;

  std::size_t receive(std::span<const char> bytes, Events& events);
  // The client has closed its sending side: nothing if idle or done, the end of a tunnel's
  // direction, the error `closed` within a request.
  void on_eof(Events& events) { reader_.receive_end_of_stream(events); }
  // From within an event: receive() returns after it.
  void stop() noexcept { reader_.stop(); }
  // Both messages ended: ready for the next request.
  void next() noexcept;

  [[nodiscard]] bool idle() const noexcept { return reader_.idle(); }  // no byte of a request was offered
  // The request, the response have ended.
  [[nodiscard]] bool received() const noexcept { return reader_.state() == MessageReader::State::done; }
  [[nodiscard]] bool written() const noexcept { return writer_.done(); }
  // After both ended: may another request follow on this connection? By the client's version and
  // Connection, by what our response said and whether it kept its length.
  [[nodiscard]] bool keep_alive() const noexcept {
    return keep_alive_ && !writer_.broken() && reader_.state() != MessageReader::State::failed;
  }
  // The response will say Connection: close; call before write_response() of a final status.
  void close_after() noexcept { keep_alive_ = false; }
  // Bytes pass unframed both ways: a 101 was written.
  [[nodiscard]] bool tunnel() const noexcept { return reader_.state() == MessageReader::State::tunnel; }

  // 1xx any number of times (dropped for HTTP/1.0), then one other. Decides Content-Length,
  // chunked, or close for HTTP/1.0. body = {known, n} with end is what HEAD or 304 say of a
  // length. 101 is for WebSocket requests and opens the tunnel.
  void write_response(const http::ResponseHead& head, bool end, base::Buffer& out);
  [[nodiscard]] bool open_piece(std::size_t n, base::Buffer& out) { return writer_.open_piece(n, out); }
  void close_piece(std::size_t n, bool end, base::Buffer& out) { writer_.close_piece(n, end, out); }
  // Ends the response. Written if it is chunked and the client sent TE: trailers, else dropped.
  void write_trailers(const http::Fields& trailers, base::Buffer& out);

  // A head that on_request gave away: its memory serves the next request.
  void recycle(http::RequestHead&& head) noexcept { head_ = std::move(head); }
  // Idle: gives all memory back.
  void release() noexcept;

 private:
  void take_head(std::span<const char> bytes, Events& events);
  void open_tunnel(const http::ResponseHead& head, base::Buffer& out);

  MessageReader reader_;
  MessageWriter writer_;
  http::RequestHead head_;
  http::Method method_ = http::Method::get;
  http::Version version_ = http::Version::http11;
  bool tls_;
  bool keep_alive_ = true;
  bool trailers_ok_ = false;
  bool upgrade_asked_ = false;
};

// Writes requests, parses responses. Errors are the upstream's fault.
class ResponseCodec {
 public:
  class Events : public MessageEvents {
   public:
    // Zero or more 1xx, then one other. After 101, which comes only if the request asked for a
    // WebSocket, what follows is the tunnel's.
    virtual void on_response(http::ResponseHead&& head, bool end) = 0;

   protected:
    ~Events() = default;
  };

  explicit ResponseCodec(const Limits& limits) noexcept;

  // Host comes from the authority; Content-Length or chunked from body and end; TE, Expect and
  // the WebSocket upgrade from the head's flags. Begins an exchange: idle() before.
  void write_request(const http::RequestHead& head, bool end, base::Buffer& out);
  [[nodiscard]] bool open_piece(std::size_t n, base::Buffer& out) { return writer_.open_piece(n, out); }
  void close_piece(std::size_t n, bool end, base::Buffer& out) { writer_.close_piece(n, end, out); }
  // Ends the request; dropped if it is not chunked.
  void write_trailers(const http::Fields& trailers, base::Buffer& out);

  // Bytes while no request is outstanding are an error: nobody knows whose answer they are.
  std::size_t receive(std::span<const char> bytes, Events& events);
  // The upstream has closed: the end of a close-delimited body or of a tunnel's direction, the
  // error `closed` within a response, nothing otherwise.
  void on_eof(Events& events);
  void stop() noexcept { reader_.stop(); }
  // Both messages ended: ready for write_request().
  void next() noexcept;

  [[nodiscard]] bool idle() const noexcept { return writer_.state() == MessageWriter::State::idle; }
  [[nodiscard]] bool written() const noexcept { return writer_.done(); }
  [[nodiscard]] bool received() const noexcept { return reader_.state() == MessageReader::State::done; }
  // Something of the response's head, a 1xx included, was received.
  [[nodiscard]] bool response_begun() const noexcept { return informational_ != 0 || !reader_.idle(); }
  // After both ended: may another request follow? Not if bytes came behind the response: they
  // would be taken for the next one's.
  [[nodiscard]] bool keep_alive() const noexcept {
    return keep_alive_ && received() && written() && !reader_.surplus() && !writer_.broken();
  }
  // The request will say Connection: close; call before write_request().
  void close_after() noexcept { keep_alive_ = false; }
  [[nodiscard]] bool tunnel() const noexcept { return reader_.state() == MessageReader::State::tunnel; }
  // The last response's "Keep-Alive: timeout=N".
  [[nodiscard]] std::optional<base::Seconds> keep_alive_timeout() const noexcept {
    return keep_alive_timeout_;
  }

  void recycle(http::ResponseHead&& head) noexcept { head_ = std::move(head); }
  void release() noexcept;

 private:
  void take_head(std::span<const char> bytes, std::size_t size, Events& events);

  MessageReader reader_;
  MessageWriter writer_;
  http::ResponseHead head_;
  std::optional<base::Seconds> keep_alive_timeout_;
  std::uint32_t informational_ = 0;
  http::Method method_ = http::Method::get;
  bool keep_alive_ = true;
  bool upgrade_asked_ = false;
};

}  // namespace sallyport::http1
