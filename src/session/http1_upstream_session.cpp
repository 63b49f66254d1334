#include "http1_upstream_session.hpp"

#include <algorithm>
#include <utility>

#include "waits.hpp"

namespace sallyport::session {

namespace {

http1::Limits codec_limits(const UpstreamLimits& limits) {
  http1::Limits l;
  l.head_bytes = limits.head_bytes;
  l.field_bytes = limits.field_bytes;
  l.fields = limits.fields;
  l.informational = limits.informational;
  return l;
}

}  // namespace

Http1UpstreamSession::Http1UpstreamSession(net::Loop& loop, std::unique_ptr<net::ByteStream> connection,
                                           const UpstreamLimits& limits, Owner& owner)
    : loop_(loop),
      connection_(std::move(connection)),
      owner_(owner),
      codec_(codec_limits(limits)),
      window_(limits.body_window) {}

http::Stream* Http1UpstreamSession::open_stream() {
  if (capacity() == 0) return nullptr;
  quiet_timer_.cancel();
  exchange_ = request_open_ = response_open_ = true;
  written_any_ = answered_any_ = false;
  unconsumed_ = unsent_ = 0;
  ++served_;
  return this;
}

// ---- what is sent ----

void Http1UpstreamSession::send_request(const http::RequestHead& head, bool end) {
  if (closed_) return;
  codec_.write_request(head, end, out_);
  write_out();
  if (end) request_open_ = false;
}

void Http1UpstreamSession::send_response(const http::ResponseHead&, bool) {}  // not on this side

void Http1UpstreamSession::send_data(std::span<const char> bytes, bool end) {
  if (closed_) return;
  if (codec_.tunnel()) {
    connection_->write(bytes);
    if (end) connection_->finish();
  } else {
    const bool wanted = codec_.open_piece(bytes.size(), out_);
    write_out();
    if (wanted) connection_->write(bytes);
    codec_.close_piece(bytes.size(), end, out_);
    write_out();
  }
  unsent_ += bytes.size();
  if (connection_->unwritten() < unsent_) loop_.wake(*this);
  if (end) request_open_ = false;
}

void Http1UpstreamSession::send_trailers(const http::Fields& trailers) {
  if (closed_) return;
  codec_.write_trailers(trailers, out_);
  write_out();
  request_open_ = false;
}

void Http1UpstreamSession::write_out() {
  if (out_.empty()) return;
  connection_->write(out_.data());
  out_.clear();
}

void Http1UpstreamSession::on_written(std::size_t n) {
  if (n != 0) written_any_ = true;
  settle_sent();
}

// Body bytes that are no longer in the connection's buffer have been sent.
void Http1UpstreamSession::settle_sent() {
  const std::size_t still = std::min(unsent_, connection_->unwritten());
  const std::size_t sent = unsent_ - still;
  unsent_ = still;
  if (sent != 0 && receiver_ != nullptr) receiver_->on_sent(sent);
}

// ---- what arrives ----

void Http1UpstreamSession::on_bytes(std::span<const char> bytes) {
  if (closed_) return;
  if (!exchange_) {
    // Bytes that nobody asked for: the next response could be taken for another's (RFC 9112 §9.2).
    close_now(base::upstream_error(base::ErrorCode::malformed), true);
    return;
  }
  answered_any_ = true;
  const bool buffered = !in_.empty();
  if (buffered) in_.append(bytes);
  const std::span<const char> input = buffered ? in_.data() : bytes;
  const std::size_t used = codec_.receive(input, *this);
  if (buffered) {
    in_.consume(used);
  } else {
    in_.append(input.subspan(used));
  }
  if (closed_ || in_.empty() || response_open_) return;
  // More than the response that was asked for.
  ending_ = true;
  in_.clear();
}

void Http1UpstreamSession::on_response(http::ResponseHead&& head, bool end) {
  if (head.status == 101) {
    request_open_ = true;
  } else if (end) {
    response_ended();
  }
  if (receiver_ != nullptr) receiver_->on_response(std::move(head), end);
}

void Http1UpstreamSession::on_data(std::span<const char> bytes, bool end) {
  unconsumed_ += bytes.size();
  if (end) {
    response_ended();
  } else if (unconsumed_ >= loop_.body_window(window_)) {
    connection_->pause();
  }
  if (receiver_ != nullptr) receiver_->on_data(bytes, end);
}

void Http1UpstreamSession::on_trailers(http::Fields&& trailers) {
  response_ended();
  if (receiver_ != nullptr) receiver_->on_trailers(std::move(trailers));
}

void Http1UpstreamSession::on_error(const base::Error& error) {
  fail(error);
}

void Http1UpstreamSession::consumed(std::size_t n) noexcept {
  unconsumed_ -= std::min(n, unconsumed_);
  if (response_open_ && unconsumed_ < loop_.body_window(window_)) connection_->resume();
}

void Http1UpstreamSession::on_eof() {
  if (closed_) return;
  if (!exchange_) {
    close_now(base::upstream_error(base::ErrorCode::closed), false);
    return;
  }
  if (!response_open_) {
    ending_ = true;
    return;
  }
  ending_ = true;
  if (codec_.tunnel()) {
    response_ended();
    if (receiver_ != nullptr) receiver_->on_data({}, true);
    return;
  }
  codec_.on_eof(*this);
}

void Http1UpstreamSession::on_closed(const base::Error& error) {
  if (!closed_) fail(error);
}

// The exchange, if one runs, and the connection end with this.
void Http1UpstreamSession::fail(base::Error error) {
  error.fault = base::Fault::upstream;
  error.reused = served_ > 1;
  error.unsent = error.code != base::ErrorCode::malformed && !written_any_ && !answered_any_;
  exchange_ = false;
  if (http::StreamReceiver* receiver = std::exchange(receiver_, nullptr)) receiver->on_error(error);
  close_now(error, true);
}

// ---- the end of an exchange ----

void Http1UpstreamSession::detach() noexcept {
  receiver_ = nullptr;
  if (!exchange_) return;
  exchange_ = false;
  if (closed_) return;
  if (request_open_ || response_open_ || !codec_.keep_alive() || codec_.tunnel() || ending_) {
    const bool clean = !request_open_ && !response_open_;
    close_now(base::gateway_error(clean ? base::ErrorCode::none : base::ErrorCode::canceled), !clean);
    return;
  }
  codec_.next();
  connection_->resume();
  loop_.timers().arm(quiet_timer_, kQuiet, loop_.now());
  loop_.wake(*this);
}

void Http1UpstreamSession::reset(const base::Error& why) noexcept {
  receiver_ = nullptr;
  exchange_ = false;
  if (!closed_) close_now(why, true);
}

void Http1UpstreamSession::on_quiet() {
  if (exchange_ || closed_) return;
  in_.release();
  out_.release();
  codec_.release();
  connection_->idle();
}

void Http1UpstreamSession::on_wake() {
  if (closed_) {
    owner_.on_session_closed(*this, close_reason_);
  } else if (exchange_) {
    settle_sent();
  } else {
    owner_.on_session_changed(*this);
  }
}

void Http1UpstreamSession::shutdown() {
  ending_ = true;
  if (!exchange_ && !closed_) close_now(base::gateway_error(base::ErrorCode::draining), false);
}

void Http1UpstreamSession::abort(const base::Error& why) {
  if (closed_) return;
  closed_ = true;
  quiet_timer_.cancel();
  if (http::StreamReceiver* receiver = std::exchange(receiver_, nullptr)) receiver->on_error(why);
  exchange_ = false;
  connection_->close(true);
  static_cast<net::Wake*>(this)->unlink();
}

void Http1UpstreamSession::close_now(const base::Error& why, bool abortive) {
  closed_ = true;
  close_reason_ = why;
  quiet_timer_.cancel();
  connection_->close(abortive);
  loop_.wake(*this);
}

}  // namespace sallyport::session
