// The receiving half that both codecs share: head, body, trailers, end, in this order.
//
// Part of the codecs (codec.hpp), which decide what a head means and tell the reader how the
// body is framed. One connection, one thread.
#pragma once

#include <cstdint>
#include <span>

#include "sallyport/base/error.hpp"
#include "sallyport/http/semantics.hpp"
#include "sallyport/http1/body_parser.hpp"
#include "sallyport/http1/head_parser.hpp"
#include "sallyport/http1/limits.hpp"

namespace sallyport::http1 {

// What arrives behind a head. Receivers may call any function of the codec from within, but
// receive(), and may not destroy it.
class MessageEvents {
 public:
  virtual void on_data(std::span<const char> bytes, bool end) = 0;  // the view dies with the call
  virtual void on_trailers(http::Fields&& trailers) = 0;            // ends the message; never empty
  // Terminal: nothing more is parsed. malformed, head_too_large, uri_too_long, unsupported, closed.
  virtual void on_error(const base::Error& error) = 0;

 protected:
  ~MessageEvents() = default;
};

class MessageReader {
 public:
  enum class State : std::uint8_t {
    head,
    body,
    trailers,
    done,    // the message ended; what follows waits for the next one
    held,    // an upgrade was asked for: nobody knows yet whose bytes follow
    tunnel,  // bytes pass as they are
    failed,
  };

  MessageReader(const Limits& limits, HeadParser::Kind kind, base::Fault fault) noexcept;

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool idle() const noexcept { return state_ == State::head && !head_.started(); }
  [[nodiscard]] const Limits& limits() const noexcept { return limits_; }
  [[nodiscard]] HeadParser& head() noexcept { return head_; }

  void next_head() noexcept;
  // After a head: its body is framed so. `none` ends the message, with or without bytes behind it.
  void begin_body(const http::Framing& framing, bool more) noexcept;
  void hold() noexcept { state_ = State::held; }
  void end() noexcept { state_ = State::done; }
  void begin_tunnel() noexcept;

  // Body, trailers and tunnel bytes. Returns what was used.
  std::size_t receive(std::span<const char> bytes, MessageEvents& events);
  // The peer has closed its sending side.
  void receive_end_of_stream(MessageEvents& events);
  void fail(base::ErrorCode code, MessageEvents& events);

  // The message has ended, and more bytes were there behind it.
  [[nodiscard]] bool surplus() const noexcept { return surplus_; }

  void begin_receive() noexcept { stopped_ = false; }
  void stop() noexcept { stopped_ = true; }
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }
  void release() noexcept;

 private:
  void finish(bool more) noexcept {
    state_ = State::done;
    surplus_ = more;
  }
  std::size_t receive_trailers(std::span<const char> bytes, MessageEvents& events);

  Limits limits_;
  HeadParser head_;
  BodyParser body_;
  http::Fields trailers_;
  HeadParser::Kind kind_;
  base::Fault fault_;
  State state_ = State::head;
  bool stopped_ = false;
  bool surplus_ = false;
};

}  // namespace sallyport::http1
