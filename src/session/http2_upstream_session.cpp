#include "http2_upstream_session.hpp"

#include <algorithm>
#include <utility>

#include "waits.hpp"

namespace sallyport::session {

namespace {

// An upstream that takes none of what we queued for so long is as good as gone. Bodies that its windows
// keep back have an exchange's deadline while there is one.
constexpr base::Milliseconds kSendStall{60'000};
// Streams at once before the peer's SETTINGS say how many it takes. One is what every server
// takes, so that no request is refused for our haste, and the first of a connection still does not
// wait for a round trip; a burst does, once a connection.
constexpr std::uint32_t kStreamsBeforeSettings = 1;

http2::Settings settings_of(const UpstreamLimits& limits) {
  http2::Settings s;
  s.max_concurrent_streams = 0;  // no pushes
  s.stream_window = limits.stream_window;
  s.connection_window = limits.connection_window;
  s.head_bytes = limits.head_bytes;
  s.field_bytes = limits.field_bytes;
  s.fields = limits.fields;
  s.informational = limits.informational;
  return s;
}

}  // namespace

Http2UpstreamSession::Http2UpstreamSession(net::Loop& loop, std::unique_ptr<net::ByteStream> connection,
                                           const UpstreamLimits& limits, Owner& owner)
    : Http2Session(loop, std::move(connection), http2::Side::upstream, settings_of(limits),
                   {base::Milliseconds{0}, kSendStall, 0, 0}),
      owner_(owner),
      max_streams_(limits.max_streams) {}

void Http2UpstreamSession::start() {
  start_reading();
  pump_soon();
}

std::size_t Http2UpstreamSession::capacity() const noexcept {
  if (!usable()) return 0;
  const std::uint32_t theirs = settled_ ? codec_.peer_max_streams() : kStreamsBeforeSettings;
  const std::size_t most = std::min(max_streams_, theirs);
  const std::size_t taken = std::max(borrowed(), codec_.active_streams());
  return most > taken ? most - taken : 0;
}

http::Stream* Http2UpstreamSession::open_stream() {
  if (capacity() == 0) return nullptr;
  quiet_timer_.cancel();
  return &open(0);
}

void Http2UpstreamSession::on_response(http2::StreamId id, http::ResponseHead&& head, bool end) {
  Http2Stream* stream = find(id);
  if (stream == nullptr) return;
  if (end) remote_ended(*stream);
  if (http::StreamReceiver* receiver = receiver_of(*stream)) receiver->on_response(std::move(head), end);
}

void Http2UpstreamSession::on_settings() {
  settled_ = true;
  loop_.wake(*this);
}

void Http2UpstreamSession::on_goaway(http2::StreamId, std::uint32_t code) {
  owner_.on_h2_goaway(false, code);
  ending_ = true;
  loop_.wake(*this);
}

void Http2UpstreamSession::on_streams_changed() {
  if (over_) return;
  if (borrowed() == 0) loop_.timers().arm(quiet_timer_, kQuiet, loop_.now());
  loop_.wake(*this);
}

void Http2UpstreamSession::on_connection_over(const base::Error& error) {
  over_ = true;
  close_reason_ = error;
  // No GOAWAY follows: an upstream that broke the protocol has no use for one.
  close_now(error, false);
}

// If it was not for want of the stream's window alone, the next body would fare no better here: the peer
// reads nothing at all, or keeps the window shut that all streams share.
void Http2UpstreamSession::on_body_refused() {
  if (over_ || (connection_->unwritten() == 0 && !codec_.window_shut())) return;
  ending_ = true;
  loop_.wake(*this);
}

void Http2UpstreamSession::on_wake() {
  if (reported_) {
    owner_.on_session_closed(*this, close_reason_);
    return;
  }
  if (ending_ && no_streams() && borrowed() == 0) {
    close_now(base::gateway_error(base::ErrorCode::draining), false);
    return;
  }
  owner_.on_session_changed(*this);
}

void Http2UpstreamSession::shutdown() {
  if (over_ || ending_) return;
  ending_ = true;
  loop_.wake(*this);
}

void Http2UpstreamSession::abort(const base::Error& why) {
  if (reported_) return;
  reported_ = true;
  over_ = true;
  quiet_timer_.cancel();
  fail_streams(why);
  close_connection(true);
  static_cast<net::Wake*>(this)->unlink();
}

void Http2UpstreamSession::close_now(const base::Error& why, bool abortive) {
  if (reported_) return;
  reported_ = true;
  close_reason_ = why;
  quiet_timer_.cancel();
  close_connection(abortive);
  loop_.wake(*this);
}

}  // namespace sallyport::session
