#include "http1_client_session.hpp"

#include <algorithm>
#include <utility>

#include "waits.hpp"

namespace sallyport::session {

namespace {

// How long a connection whose response is done goes on taking the rest of a request that nobody
// wants, so that the client can read the response before it sees a reset (RFC 9112 §9.6).
constexpr base::Milliseconds kUnreadLinger{5'000};
// While its body is not read, a client's leaving is seen by looking for it.
constexpr base::Milliseconds kHangUpLook{1'000};

http1::Limits codec_limits(const ClientLimits& limits) {
  http1::Limits l;
  l.head_bytes = limits.head_bytes;
  l.field_bytes = limits.field_bytes;
  l.fields = limits.fields;
  l.target_bytes = limits.target_bytes;
  return l;
}

}  // namespace

Http1ClientSession::Http1ClientSession(ClientSessionParts parts)
    : loop_(parts.loop),
      connection_(std::move(parts.connection)),
      info_(std::move(parts.info)),
      limits_(std::move(parts.limits)),
      handler_(parts.handler),
      owner_(parts.owner),
      codec_(codec_limits(*limits_), info_.tls),
      body_(limits_->request_body, limits_->body_rate),
      writing_(limits_->write_stall, limits_->write_rate) {}

Http1ClientSession::~Http1ClientSession() = default;

void Http1ClientSession::start() {
  if (limits_->max_age.count() > 0) loop_.timers().arm(age_timer_, limits_->max_age, loop_.now());
  wait_for(Waiting::head);
  connection_->start(*this);
}

// ---- what arrives ----

void Http1ClientSession::on_bytes(std::span<const char> bytes) {
  if (lingering_ || broken_ || closed_) return;
  if (in_.empty()) {
    parse(bytes);
  } else {
    in_.append(bytes);
    parse({});
  }
}

// Parses the input buffer if it holds anything, `bytes` otherwise, and keeps what is left over.
void Http1ClientSession::parse(std::span<const char> bytes) {
  const bool buffered = !in_.empty();
  const std::span<const char> input = buffered ? in_.data() : bytes;
  if (waiting_ == Waiting::quiet || waiting_ == Waiting::idle || waiting_ == Waiting::drain_notice)
    wait_for(Waiting::nothing);
  parsing_ = true;
  const std::size_t used = codec_.receive(input, *this);
  parsing_ = false;
  if (buffered) {
    in_.consume(used);
  } else {
    in_.append(input.subspan(used));
  }
  if (closed_ || broken_ || lingering_) return;
  if (!exchange_ && !codec_.idle() && waiting_ == Waiting::nothing) wait_for(Waiting::head);
  // More is there than the running request: it waits in the buffer, and the rest in the kernel.
  if (exchange_ && !request_open_ && !in_.empty()) connection_->pause();
}

void Http1ClientSession::begin_exchange() {
  exchange_ = true;
  response_begun_ = false;
  response_open_ = true;
  unconsumed_ = unsent_ = 0;
  ++served_;
  if (draining_ || aged_ || (limits_->requests != 0 && served_ >= limits_->requests)) codec_.close_after();
}

void Http1ClientSession::on_request(http::RequestHead&& head, bool end) {
  begin_exchange();
  request_open_ = !end;
  const bool short_body =
      head.body.kind == http::BodySize::Kind::known && head.body.length <= limits_->body_window;
  const bool body = !end && head.protocol().empty();  // a tunnel's bytes are none
  body_.renew();
  long_body_ = body && (!short_body || head.expects_continue);
  // Who expects a 100 sends nothing until it comes: that is not the client's delay.
  wait_for(body && !head.expects_continue ? Waiting::body : Waiting::nothing);
  handler_.on_request(*this, *this, std::move(head), end);
}

void Http1ClientSession::on_data(std::span<const char> bytes, bool end) {
  if (lingering_ || closed_) return;
  body_arrived(bytes.size(), end);
  if (receiver_ != nullptr) receiver_->on_data(bytes, end);
}

void Http1ClientSession::body_arrived(std::size_t n, bool end) {
  unconsumed_ += n;
  body_.moved(n, loop_.now());
  if (end) {
    request_open_ = false;
    wait_for(Waiting::nothing);
  } else if (unconsumed_ >= loop_.body_window(limits_->body_window)) {
    connection_->pause();
    wait_for(Waiting::room);  // now it is we who keep the client waiting
  } else if (!response_begun_ && waiting_ != Waiting::body) {
    wait_for(Waiting::body);
  }
}

void Http1ClientSession::on_trailers(http::Fields&& trailers) {
  if (lingering_ || closed_) return;
  request_open_ = false;
  wait_for(Waiting::nothing);
  if (receiver_ != nullptr) receiver_->on_trailers(std::move(trailers));
}

void Http1ClientSession::on_error(const base::Error& error) {
  if (!lingering_ && !closed_) answer_bad_request(error);
}

// The input is unreadable from here on. What runs answers if no response has begun, where nothing
// runs the handler does; then the connection closes.
void Http1ClientSession::answer_bad_request(const base::Error& error) {
  broken_ = true;
  wait_for(Waiting::nothing);
  connection_->pause();
  if (exchange_ && response_begun_) {
    fail_exchange(error);
    close_now(ClosedBy::error, true);
    return;
  }
  if (exchange_) {
    request_open_ = false;
    codec_.close_after();
    if (receiver_ != nullptr) receiver_->on_request_broken(error);
    return;
  }
  begin_exchange();
  request_open_ = false;
  codec_.close_after();
  handler_.on_bad_request(*this, *this, error);
}

void Http1ClientSession::fail_exchange(const base::Error& error) {
  exchange_ = false;
  if (http::StreamReceiver* receiver = std::exchange(receiver_, nullptr)) receiver->on_error(error);
}

void Http1ClientSession::on_eof() {
  if (closed_) return;
  if (exchange_ && codec_.tunnel()) {
    request_open_ = false;
    peer_ended_ = true;
    if (receiver_ != nullptr) receiver_->on_data({}, true);
    return;
  }
  // A client that ends its half in the middle of an exchange has gone away: the other side is told.
  fail_exchange(base::client_error(base::ErrorCode::closed));
  close_now(lingering_ || !exchange_ ? closed_by_ : ClosedBy::peer, false);
}

void Http1ClientSession::on_closed(const base::Error& error) {
  if (closed_) return;
  base::Error e = error;
  e.fault = base::Fault::client;
  fail_exchange(e);
  close_now(ClosedBy::peer, false);
}

void Http1ClientSession::consumed(std::size_t n) noexcept {
  unconsumed_ -= std::min(n, unconsumed_);
  if (request_open_ && !broken_ && unconsumed_ < loop_.body_window(limits_->body_window)) {
    connection_->resume();
    if (waiting_ == Waiting::room) wait_for(Waiting::nothing);
    if (!response_begun_ && waiting_ == Waiting::nothing) wait_for(Waiting::body);
  }
}

// ---- what is sent ----

void Http1ClientSession::send_request(const http::RequestHead&, bool) {}  // not on this side

void Http1ClientSession::send_response(const http::ResponseHead& head, bool end) {
  if (closed_) return;
  const bool interim = head.informational() && head.status != 101;
  if (!interim) {
    response_begun_ = true;
    // Answered before a body that may be long has come: the client learns that it need not send the rest.
    if (request_open_ && long_body_) codec_.close_after();
  }
  codec_.write_response(head, end, out_);
  write_out();
  if (head.status == 101) connection_->resume();
  if (head.status == 100 && request_open_ && waiting_ == Waiting::nothing) wait_for(Waiting::body);
  if (!interim) {
    // A WebSocket request that is not accepted has no body; any other, and a tunnel, may go on for
    // as long as it likes.
    if (codec_.received()) request_open_ = false;
    if (waiting_ == Waiting::body) wait_for(Waiting::nothing);
  }
  if (end) response_open_ = false;
}

void Http1ClientSession::send_data(std::span<const char> bytes, bool end) {
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
  watch_writing();
  if (connection_->unwritten() < unsent_) loop_.wake(*this);
  if (end) response_open_ = false;
}

void Http1ClientSession::send_trailers(const http::Fields& trailers) {
  if (closed_) return;
  codec_.write_trailers(trailers, out_);
  write_out();
  response_open_ = false;
}

void Http1ClientSession::write_out() {
  if (out_.empty()) return;
  connection_->write(out_.data());
  out_.clear();
  watch_writing();
}

void Http1ClientSession::on_written(std::size_t n) {
  if (closed_) return;
  writing_.moved(n, loop_.now());
  watch_writing();
  settle_sent();
}

// It is the client's turn for as long as its kernel has not taken all.
void Http1ClientSession::watch_writing() {
  const base::Instant now = loop_.now();
  if (connection_->unwritten() == 0) {
    writing_.rest(now);
    write_timer_.cancel();
    return;
  }
  writing_.wait(now);
  // What the client takes only puts it off: the timer finds that out when it fires.
  if (!write_timer_.armed()) loop_.timers().arm(write_timer_, writing_.deadline(now), now);
}

// Body bytes that are no longer in the connection's buffer have been sent. Framing bytes count
// as body until the buffer is empty, which only errs towards later.
void Http1ClientSession::settle_sent() {
  const std::size_t still = std::min(unsent_, connection_->unwritten());
  const std::size_t sent = unsent_ - still;
  unsent_ = still;
  if (sent != 0 && receiver_ != nullptr) receiver_->on_sent(sent);
}

// ---- the end of an exchange ----

void Http1ClientSession::detach() noexcept {
  receiver_ = nullptr;
  if (!exchange_) return;
  exchange_ = false;
  if (closed_) return;
  if (response_open_) {
    // The response stays incomplete: it must not look complete, so the client gets a reset.
    close_now(ClosedBy::error, true);
  } else if (peer_ended_) {
    close_now(ClosedBy::peer, false);
  } else if (request_open_ || broken_ || !codec_.keep_alive() || codec_.tunnel()) {
    linger();
  } else {
    next_due_ = true;
    loop_.wake(*this);
  }
}

void Http1ClientSession::reset(const base::Error& why) noexcept {
  receiver_ = nullptr;
  exchange_ = false;
  if (closed_) return;
  close_now(why.code == base::ErrorCode::draining ? ClosedBy::drain : ClosedBy::error, true);
}

void Http1ClientSession::on_wake() {
  if (closed_) {
    owner_.on_session_closed(*this, closed_by_);
  } else if (exchange_) {
    settle_sent();
  } else if (std::exchange(next_due_, false)) {
    next_request();
  }
}

void Http1ClientSession::next_request() {
  codec_.next();
  if (in_.empty()) {
    wait_for(Waiting::quiet);
    connection_->resume();
    return;
  }
  parse({});
  if (!exchange_ && !closed_ && !broken_) connection_->resume();
}

// The response is out; the connection ends as soon as the client has had the chance to read it.
void Http1ClientSession::linger() {
  lingering_ = true;
  closed_by_ = draining_ ? ClosedBy::drain : (broken_ ? ClosedBy::error : ClosedBy::peer);
  if (!parsing_) in_.release();
  connection_->finish();
  connection_->resume();
  wait_for(Waiting::linger);
}

void Http1ClientSession::drain() {
  if (closed_ || draining_) return;
  draining_ = true;
  closed_by_ = ClosedBy::drain;
  if (exchange_) {
    codec_.close_after();
  } else if (codec_.idle() && in_.empty()) {
    wait_for(Waiting::drain_notice);
  }
}

void Http1ClientSession::abort(const base::Error& why) {
  if (closed_) return;
  closed_ = true;
  fail_exchange(why);
  receive_timer_.cancel();
  write_timer_.cancel();
  age_timer_.cancel();
  static_cast<net::Wake*>(this)->unlink();
  connection_->close(true);
}

// The owner hears of it as a wake-up, so never from within a call of its own.
void Http1ClientSession::close_now(ClosedBy by, bool abortive) {
  if (closed_) return;
  closed_ = true;
  closed_by_ = by;
  receive_timer_.cancel();
  write_timer_.cancel();
  age_timer_.cancel();
  connection_->close(abortive);
  loop_.wake(*this);
}

// ---- time ----

void Http1ClientSession::wait_for(Waiting what) {
  waiting_ = what;
  base::Milliseconds after{0};
  if (what != Waiting::body) body_.rest(loop_.now());
  switch (what) {
    case Waiting::nothing:
      receive_timer_.cancel();
      return;
    case Waiting::quiet:
      after = std::min(kQuiet, limits_->idle);
      break;
    case Waiting::idle:
      after = limits_->idle;
      break;
    case Waiting::head:
      after = limits_->request_head;
      break;
    case Waiting::body:
      body_.wait(loop_.now());
      after = body_.deadline(loop_.now());
      break;
    case Waiting::room:
      after = kHangUpLook;
      break;
    case Waiting::linger:
      after = kUnreadLinger;
      break;
    case Waiting::drain_notice:
      after = kDrainNotice;
      break;
  }
  loop_.timers().arm(receive_timer_, after, loop_.now());
}

void Http1ClientSession::on_receive_timer() {
  switch (std::exchange(waiting_, Waiting::nothing)) {
    case Waiting::nothing:
      break;
    case Waiting::quiet:
      in_.release();
      out_.release();
      codec_.release();
      connection_->idle();
      wait_for(Waiting::idle);
      break;
    case Waiting::idle:
      close_now(draining_ ? ClosedBy::drain : ClosedBy::idle, false);
      break;
    case Waiting::head:
      // Nothing of a request was sent: there is nobody to answer.
      if (codec_.idle() && in_.empty()) {
        close_now(ClosedBy::idle, false);
      } else {
        answer_bad_request(base::client_error(base::ErrorCode::head_timeout));
      }
      break;
    case Waiting::body:
      if (body_.left(loop_.now()) != base::Duration(0)) {
        wait_for(Waiting::body);
        break;
      }
      owner_.on_slow_client(false);
      answer_bad_request(base::client_error(base::ErrorCode::body_timeout));
      break;
    case Waiting::room:
      look_for_hang_up();
      break;
    case Waiting::linger:
    case Waiting::drain_notice:
      close_now(closed_by_, false);
      break;
  }
}

// The upstream takes nothing of a body, so nothing is read here, and a client that has gone would hold
// its exchange and a drain until the upstream's `send` is over. As in on_eof(), a closed half counts as
// gone but in a tunnel. A FIN behind bytes that found no room in our kernel cannot be seen: `send` bounds it.
void Http1ClientSession::look_for_hang_up() {
  const base::Error left = connection_->hang_up();
  if (!left || (codec_.tunnel() && left.code == base::ErrorCode::closed)) {
    wait_for(Waiting::room);
  } else {
    on_closed(left);
  }
}

void Http1ClientSession::on_write_timer() {
  if (writing_.left(loop_.now()) != base::Duration(0)) {
    watch_writing();
    return;
  }
  owner_.on_slow_client(true);
  fail_exchange(base::client_error(base::ErrorCode::body_timeout));
  close_now(ClosedBy::error, true);
}

void Http1ClientSession::on_age() {
  if (closed_) return;
  closed_by_ = ClosedBy::max_age;
  codec_.close_after();
  aged_ = true;
  if (!exchange_ && codec_.idle() && in_.empty()) close_now(ClosedBy::max_age, false);
}

}  // namespace sallyport::session
