// One side of an exchange: the only message interface that filters, proxy and upstream know.
//
// HTTP/1.x is a session with one active stream, HTTP/2 one with many; the side towards the
// client and the side towards the upstream look alike. A stream belongs to its session and
// lives on that session's worker. An exchange borrows it between attach() and detach().
//
// Order of a message: informational heads*, head, data*, then exactly one of end (a flag of the
// last piece), trailers, or an error. Both directions are independent.
//
// Flow control is by credit: a stream delivers at most its receive window of data that has not
// been given back by consumed(); whoever passes the data on calls consumed() when the other
// stream's on_sent() says that it left. So a stream's send buffer is bounded by the other
// side's receive window, and send_data() takes everything it is given.
//
// Receivers are called from the session's read or write handler. They may call any function of
// any stream, but a stream calls no receiver from within a call into it: what a call causes
// arrives later in the same loop turn (net::Loop).
#pragma once

#include <cstddef>
#include <span>

#include "sallyport/base/error.hpp"
#include "sallyport/http/head.hpp"

namespace sallyport::http {

// What arrives. After on_end, on_trailers (which is an end), on_request_broken or on_error nothing
// more arrives in that direction; after on_error nothing in either, and the stream must not be
// used again.
class StreamReceiver {
 public:
  // Upstream side only. Zero or more 1xx (never 101), then one other head (101 = tunnel from here on).
  virtual void on_response(ResponseHead&& head, bool end) = 0;
  virtual void on_data(std::span<const char> bytes,
                       bool end) = 0;  // the view dies with the call; may be empty with end
  virtual void on_trailers(Fields&& trailers) = 0;
  // Client side only, and only before a response was begun: the rest of the request did not come
  // in time or cannot be read. The stream still takes a response, which says so.
  virtual void on_request_broken(const base::Error&) {}
  // n bytes of what send_data() took have left the stream's buffer for the connection.
  virtual void on_sent(std::size_t n) = 0;
  virtual void on_error(const base::Error& error) = 0;

 protected:
  ~StreamReceiver() = default;
};

class Stream {
 public:
  // From here on the receiver is called, first with what came before it was attached. It must
  // outlive the attachment.
  virtual void attach(StreamReceiver* receiver) = 0;
  // The borrower is done and calls nothing more. If either direction is unfinished the stream
  // is reset (HTTP/2 CANCEL or NO_ERROR; HTTP/1.1: the connection closes after what was sent).
  virtual void detach() noexcept = 0;

  virtual void send_request(const RequestHead& head, bool end) = 0;    // upstream side, once
  virtual void send_response(const ResponseHead& head, bool end) = 0;  // client side; 1xx may come first
  virtual void send_data(std::span<const char> bytes, bool end) = 0;
  virtual void send_trailers(const Fields& trailers) = 0;  // ends the message

  // Client side: what arrives is a conversation, whose pauses are no sign of an attack.
  virtual void unhurried() noexcept {}

  // Gives n received bytes of credit back.
  virtual void consumed(std::size_t n) noexcept = 0;
  // Ends both directions at once, telling the peer as the protocol allows. Nothing more
  // arrives; the stream must not be used again. Implies detach().
  virtual void reset(const base::Error& why) noexcept = 0;

  // Bytes taken by send_data() and not yet reported by on_sent().
  [[nodiscard]] virtual std::size_t unsent() const noexcept = 0;
  [[nodiscard]] virtual Version version() const noexcept = 0;

 protected:
  ~Stream() = default;
};

}  // namespace sallyport::http
