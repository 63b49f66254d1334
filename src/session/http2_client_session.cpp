#include "http2_client_session.hpp"

#include <algorithm>
#include <utility>

#include "waits.hpp"

namespace sallyport::session {

namespace {

// For the client to read the last GOAWAY and close.
constexpr base::Milliseconds kGoawayLinger{2'000};

http2::Settings settings_of(const ClientLimits& limits) {
  http2::Settings s;
  s.max_concurrent_streams = limits.streams;
  s.stream_window = limits.stream_window;
  s.connection_window = limits.connection_window;
  s.head_bytes = limits.head_bytes;
  s.field_bytes = limits.field_bytes;
  s.fields = limits.fields;
  s.target_bytes = limits.target_bytes;
  s.budgets = limits.budgets;
  return s;
}

}  // namespace

Http2ClientSession::Http2ClientSession(ClientSessionParts parts)
    : Http2Session(parts.loop, std::move(parts.connection), http2::Side::client, settings_of(*parts.limits),
                   {parts.limits->request_body, parts.limits->write_stall, parts.limits->body_rate,
                    parts.limits->write_rate}),
      info_(std::move(parts.info)),
      limits_(std::move(parts.limits)),
      handler_(parts.handler),
      owner_(parts.owner) {}

void Http2ClientSession::start() {
  if (limits_->max_age.count() > 0) loop_.timers().arm(age_timer_, limits_->max_age, loop_.now());
  wait_for(Waiting::preface);
  start_reading();
  pump_soon();
}

// A head that is never finished would keep the connection busy for good: no stream that a timer
// of its own watches over, and not idle either.
void Http2ClientSession::on_bytes(std::span<const char> bytes) {
  Http2Session::on_bytes(bytes);
  const http2::StreamId unfinished = over_ ? 0 : codec_.unfinished_head();
  if (unfinished == slow_head_) return;
  slow_head_ = unfinished;
  if (unfinished == 0) {
    head_timer_.cancel();
  } else {
    loop_.timers().arm(head_timer_, limits_->request_head, loop_.now());
  }
}

void Http2ClientSession::on_slow_head() {
  if (over_ || codec_.unfinished_head() == 0) return;
  codec_.goaway(http2::code::kEnhanceYourCalm);
  pump_soon();
}

// ---- streams ----

void Http2ClientSession::on_request(http2::StreamId id, http::RequestHead&& head, bool end) {
  Http2Stream& stream = open(id);
  if (end) {
    remote_ended(stream);
  } else if (head.protocol().empty()) {
    await_body(stream, head);
  }
  handler_.on_request(*this, stream, std::move(head), end);
  if (limits_->requests != 0 && served_ >= limits_->requests) drain_for(ClosedBy::max_age);
}

void Http2ClientSession::on_bad_request(http2::StreamId id, const base::Error& error) {
  handler_.on_bad_request(*this, open(id), error);
}

void Http2ClientSession::on_goaway(http2::StreamId, std::uint32_t code) {
  owner_.on_h2_goaway(false, code);
  loop_.wake(*this);
}

void Http2ClientSession::on_flood(http2::Flood flood) {
  closed_by_ = ClosedBy::abuse;
  owner_.on_h2_flood(*this, flood);
}

void Http2ClientSession::on_streams_changed() {
  if (over_) return;
  if (no_streams() && codec_.drained()) loop_.wake(*this);
  // Its timer sends the second GOAWAY to a client that does not answer the PING.
  if (waiting_ == Waiting::drain_notice) return;
  wait_for(no_streams() ? Waiting::quiet : Waiting::nothing);
}

// ---- the end ----

void Http2ClientSession::on_written(std::size_t n) {
  Http2Session::on_written(n);
  if (draining_) end_when_drained();
}

void Http2ClientSession::on_eof() {
  if (over_) {
    close_now(closed_by_, false);
  } else {
    Http2Session::on_eof();
  }
}

void Http2ClientSession::on_closed(const base::Error& error) {
  if (over_) {
    close_now(closed_by_, false);
  } else {
    Http2Session::on_closed(error);
  }
}

void Http2ClientSession::drain_for(ClosedBy by) {
  if (over_ || draining_) return;
  draining_ = true;
  closed_by_ = by;
  codec_.shutdown_notice();
  codec_.ping();
  pump_soon();
  wait_for(Waiting::drain_notice);
}

void Http2ClientSession::on_ping_ack() {
  if (draining_ && !goaway_sent_) final_goaway();
}

void Http2ClientSession::final_goaway() {
  goaway_sent_ = true;
  wait_for(Waiting::nothing);
  codec_.goaway(http2::code::kNoError);
  pump_soon();
  loop_.wake(*this);
}

void Http2ClientSession::end_when_drained() {
  if (over_ || !no_streams() || !codec_.drained() || codec_.wants_write()) return;
  over_ = true;
  finish_connection();
  wait_for(Waiting::linger);
}

// The client broke the connection, or the codec did: the GOAWAY that says why is still to go out.
void Http2ClientSession::on_connection_over(const base::Error& error) {
  over_ = true;
  age_timer_.cancel();
  if (closed_by_ != ClosedBy::abuse && !draining_) {
    const bool gone = error.code == base::ErrorCode::closed || error.code == base::ErrorCode::reset;
    closed_by_ = gone ? ClosedBy::peer : ClosedBy::error;
  }
  if (!connection_->is_open() || error.code == base::ErrorCode::closed ||
      error.code == base::ErrorCode::reset) {
    close_now(closed_by_, false);
    return;
  }
  wait_for(Waiting::linger);
}

void Http2ClientSession::on_wake() {
  if (reported_) {
    owner_.on_session_closed(*this, closed_by_);
    return;
  }
  end_when_drained();
}

void Http2ClientSession::close_now(ClosedBy by, bool abortive) {
  if (reported_) return;
  reported_ = true;
  closed_by_ = by;
  timer_.cancel();
  age_timer_.cancel();
  head_timer_.cancel();
  close_connection(abortive);
  loop_.wake(*this);
}

void Http2ClientSession::abort(const base::Error& why) {
  if (reported_) return;
  reported_ = true;
  timer_.cancel();
  age_timer_.cancel();
  head_timer_.cancel();
  over_ = true;
  fail_streams(why);
  close_connection(true);
  static_cast<net::Wake*>(this)->unlink();
}

// ---- time ----

void Http2ClientSession::wait_for(Waiting what) {
  waiting_ = what;
  base::Milliseconds after{0};
  switch (what) {
    case Waiting::nothing:
      timer_.cancel();
      return;
    case Waiting::preface:
      after = limits_->request_head;
      break;
    case Waiting::quiet:
      after = std::min(kQuiet, limits_->idle);
      break;
    case Waiting::idle:
      after = limits_->idle;
      break;
    case Waiting::drain_notice:
      after = kDrainNotice;
      break;
    case Waiting::linger:
      after = kGoawayLinger;
      break;
  }
  loop_.timers().arm(timer_, after, loop_.now());
}

void Http2ClientSession::on_timer() {
  switch (std::exchange(waiting_, Waiting::nothing)) {
    case Waiting::nothing:
      break;
    case Waiting::quiet:
      go_quiet();
      wait_for(Waiting::idle);
      break;
    case Waiting::preface:
    case Waiting::idle:
      drain_for(ClosedBy::idle);
      final_goaway();
      break;
    case Waiting::drain_notice:
      final_goaway();
      break;
    case Waiting::linger:
      close_now(closed_by_, false);
      break;
  }
}

}  // namespace sallyport::session
