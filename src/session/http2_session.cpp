#include "http2_session.hpp"

#include <algorithm>
#include <utility>

namespace sallyport::session {

namespace {

// Frames gathered into one send. Measured: 64-256 KiB serve alike.
constexpr std::size_t kBatch = 128 * 1024;
// A piece of a body that fills records by itself has nothing to gain from waiting for others, and
// is encrypted and sent while it is in the cache.
constexpr std::size_t kBulk = 16 * 1024;
// Stream objects kept for reuse, a connection.
constexpr std::size_t kSpareStreams = 8;

}  // namespace

using http2::code::kCancel;
using http2::code::kEnhanceYourCalm;
using http2::code::kInternalError;
using http2::code::kNoError;
using http2::code::kProtocolError;
using http2::code::kRefusedStream;

// A code of an upstream's is not passed on: behind a part of its response NO_ERROR would say that
// it was whole, REFUSED_STREAM that the request may be repeated, ENHANCE_YOUR_CALM that the client
// is to blame.
std::uint32_t http2_code_of(const base::Error& why) noexcept {
  using base::ErrorCode;
  const bool upstream = why.fault == base::Fault::upstream;
  switch (why.code) {
    case ErrorCode::none:
      return kNoError;
    case ErrorCode::stream_reset:
      if (!upstream) return static_cast<std::uint32_t>(why.cause);
      return why.cause == static_cast<std::int32_t>(kCancel) ? kCancel : kInternalError;
    case ErrorCode::stream_refused:
    case ErrorCode::overloaded:
      return upstream ? kInternalError : kRefusedStream;
    case ErrorCode::malformed:
      return why.fault == base::Fault::client ? kProtocolError : kInternalError;
    case ErrorCode::enhance_your_calm:
      return upstream ? kInternalError : kEnhanceYourCalm;
    case ErrorCode::canceled:
    case ErrorCode::draining:
    case ErrorCode::body_timeout:
    case ErrorCode::idle_timeout:
    case ErrorCode::total_timeout:
      return kCancel;
    default:
      return kInternalError;
  }
}

// ---- the stream ----

Http2Stream::Http2Stream(Http2Session& session) noexcept
    : session_(session),
      window_(session.initial_window_),
      receiving_(session.stalls_.receive, session.stalls_.receive_rate),
      sending_(session.stalls_.send, session.stalls_.send_rate) {}

void Http2Stream::send_request(const http::RequestHead& head, bool end) {
  if (closed_) return;
  local_end_ = end;
  const http2::StreamId id = session_.over_ ? 0 : session_.codec_.open_request(head, end);
  if (id == 0) {
    session_.loop_.wake(*this);
    return;
  }
  id_ = id;
  auto& unopened = session_.unopened_;
  const auto at =
      std::find_if(unopened.begin(), unopened.end(), [this](const auto& s) { return s.get() == this; });
  session_.streams_.emplace(id, std::move(*at));
  unopened.erase(at);
  session_.pump_soon();
}

void Http2Stream::on_wake() {
  base::Error refused = base::upstream_error(base::ErrorCode::stream_refused);
  refused.unsent = true;
  http::StreamReceiver* receiver = receiver_;
  closed_ = true;
  session_.release(*this);
  if (receiver != nullptr) receiver->on_error(refused);
}

void Http2Stream::send_response(const http::ResponseHead& head, bool end) {
  if (closed_) return;
  if (!head.informational() || head.status == 101) responded_ = true;
  expecting_ = false;
  watch();
  if (end) local_end_ = true;
  session_.codec_.send_response(id_, head, end);
  session_.pump_soon();
}

void Http2Stream::send_data(std::span<const char> bytes, bool end) {
  if (closed_) return;
  if (end) local_end_ = true;
  session_.codec_.send_data(id_, bytes, end);
  if (bytes.size() >= kBulk) {
    session_.loop_.flush(session_);
  } else {
    session_.pump_soon();
  }
  watch();
}

void Http2Stream::send_trailers(const http::Fields& trailers) {
  if (closed_) return;
  local_end_ = true;
  session_.codec_.send_trailers(id_, trailers);
  session_.pump_soon();
}

void Http2Stream::consumed(std::size_t n) noexcept {
  unconsumed_ -= std::min(n, unconsumed_);
  if (closed_) return;
  const std::size_t bound = session_.loop_.body_window(session_.initial_window_);
  if (!remote_end_ && window_.taken(n, unconsumed_, bound, session_.window_reserve_)) {
    session_.codec_.resize_window(id_, window_.size());
  }
  session_.codec_.consumed(id_, n);
  session_.pump_soon();
  if (!remote_end_) watch();
}

std::size_t Http2Stream::unsent() const noexcept {
  return closed_ || id_ == 0 ? 0 : session_.codec_.unsent(id_);
}

void Http2Stream::detach() noexcept {
  if (!borrowed_) return;
  receiver_ = nullptr;
  if (!closed_ && id_ != 0) {
    if (!local_end_) {
      // Our message stays unfinished, and must not look finished.
      session_.codec_.reset(id_, session_.side_ == http2::Side::client ? kInternalError : kCancel);
    } else if (!remote_end_) {
      session_.cancel_when_sent_.push_back(id_);
    }
    session_.pump_soon();
  }
  session_.release(*this);
  // What is still to be sent of a request that was answered has nobody else to watch it now.
  if (session_.side_ == http2::Side::upstream && !closed_ && id_ != 0) watch();
}

void Http2Stream::reset(const base::Error& why) noexcept {
  if (!borrowed_) return;
  receiver_ = nullptr;
  if (!closed_ && id_ != 0) {
    session_.codec_.reset(id_, http2_code_of(why));
    session_.pump_soon();
  }
  if (why.code == base::ErrorCode::body_timeout && why.fault == session_.peer_fault_) {
    session_.on_body_refused();
  }
  session_.release(*this);
}

void Http2Stream::unhurried() noexcept {
  unhurried_ = true;
  watch();
}

// A body that we have room for. Less than half a window in use, so that the peer knows of the
// rest: WINDOW_UPDATE waits until it is worth a frame. A request that is being answered may take
// its time (gRPC, WebSocket): the exchange's idle timeout rules.
bool Http2Stream::owes_body() const noexcept {
  return !remote_end_ && !responded_ && !unhurried_ && !expecting_ && unconsumed_ < window_.size() / 2;
}

// What keeps our bytes back is the window of this very stream. Whatever the connection is slow
// in is the connection's matter: many streams share it.
bool Http2Stream::refuses_body() const noexcept {
  return !watched_by_borrower() && unsent() != 0 && session_.codec_.window_shut(id_);
}

bool Http2Stream::watched_by_borrower() const noexcept {
  return borrowed_ && session_.side_ == http2::Side::upstream;
}

void Http2Stream::watch() {
  const base::Instant now = session_.loop_.now();
  receiving_.turn(owes_body() && session_.stalls_.receive.count() != 0, now);
  sending_.turn(refuses_body(), now);
  if (!receiving_.waiting() && !sending_.waiting()) {
    stall_.cancel();
    return;
  }
  base::Milliseconds after = base::Milliseconds::max();
  for (const Patience* patience : {&receiving_, &sending_}) {
    if (patience->waiting()) after = std::min(after, patience->deadline(now));
  }
  // What moves only puts it off: the timer finds that out when it fires.
  if (stall_.armed() && stall_.deadline() <= now + after) return;
  session_.loop_.timers().arm(stall_, after, now);
}

void Http2Stream::on_stall() {
  if (closed_) return;
  watch();
  const base::Instant now = session_.loop_.now();
  const bool owing = receiving_.waiting() && receiving_.left(now) == base::Duration(0);
  const bool refusing = sending_.waiting() && sending_.left(now) == base::Duration(0);
  if (!owing && !refusing) return;
  stall_.cancel();
  session_.on_too_slow(refusing);
  base::Error stalled = base::client_error(base::ErrorCode::body_timeout);
  stalled.fault = session_.peer_fault_;
  if (receiver_ != nullptr && session_.side_ == http2::Side::client && !responded_) {
    receiver_->on_request_broken(stalled);
    return;
  }
  http::StreamReceiver* receiver = std::exchange(receiver_, nullptr);
  if (receiver != nullptr) receiver->on_error(stalled);
  session_.codec_.reset(id_, kCancel);
  session_.pump_soon();
  session_.release(*this);
}

// ---- the session ----

Http2Session::Http2Session(net::Loop& loop, std::unique_ptr<net::ByteStream> connection, http2::Side side,
                           const http2::Settings& settings, Stalls stalls)
    : loop_(loop),
      connection_(std::move(connection)),
      side_(side),
      codec_(side, settings, *this),
      peer_fault_(side == http2::Side::client ? base::Fault::client : base::Fault::upstream),
      stalls_(stalls),
      writing_(stalls.send, stalls.send_rate),
      opening_(stalls.send, stalls.send_rate),
      initial_window_(settings.stream_window),
      window_reserve_(settings.connection_window) {
  codec_.now(loop_.now());
}

Http2Stream& Http2Session::open(http2::StreamId id) {
  std::unique_ptr<Http2Stream> stream;
  if (spare_.empty()) {
    stream = std::make_unique<Http2Stream>(*this);
  } else {
    stream = std::move(spare_.back());
    spare_.pop_back();
  }
  Http2Stream& made = *stream;
  made.id_ = id;
  ++borrowed_;
  ++served_;
  if (id == 0) {
    unopened_.push_back(std::move(stream));
  } else {
    streams_.emplace(id, std::move(stream));
  }
  on_streams_changed();
  return made;
}

Http2Stream* Http2Session::find(http2::StreamId id) noexcept {
  const auto at = streams_.find(id);
  return at == streams_.end() ? nullptr : at->second.get();
}

// The borrower has let go.
void Http2Session::release(Http2Stream& stream) noexcept {
  if (stream.borrowed_) {
    stream.borrowed_ = false;
    --borrowed_;
  }
  stream.receiver_ = nullptr;
  if (stream.closed_ || stream.id_ == 0) drop(stream);
  on_streams_changed();
}

// Nobody knows the stream any more: back to the spare ones.
void Http2Session::drop(Http2Stream& stream) noexcept {
  std::unique_ptr<Http2Stream> dead;
  if (stream.id_ != 0) {
    const auto at = streams_.find(stream.id_);
    if (at == streams_.end()) return;
    dead = std::move(at->second);
    streams_.erase(at);
  } else {
    const auto at = std::find_if(unopened_.begin(), unopened_.end(),
                                 [&stream](const auto& s) { return s.get() == &stream; });
    if (at == unopened_.end()) return;
    dead = std::move(*at);
    unopened_.erase(at);
  }
  dead->forget_peer();
  // Also when it is not to be reused: code of its own may be on the stack.
  spare_.push_back(std::move(dead));
}

void Http2Stream::forget_peer() noexcept {
  static_cast<net::Wake*>(this)->unlink();
  stall_.cancel();
  id_ = 0;
  unconsumed_ = 0;
  window_.restart(session_.window_reserve_);
  borrowed_ = true;
  remote_end_ = local_end_ = responded_ = closed_ = unhurried_ = expecting_ = false;
  receiving_.renew();
  sending_.renew();
}

void Http2Session::on_bytes(std::span<const char> bytes) {
  if (over_) return;
  codec_.now(loop_.now());
  const base::Result<void> result = codec_.receive(bytes);
  pump_soon();
  if (result.has_error()) codec_failed();
  if (spare_.size() > kSpareStreams) spare_.resize(kSpareStreams);
}

// The codec queued a GOAWAY that says why; it leaves with the next pump.
void Http2Session::codec_failed() {
  if (over_ || !codec_.failure()) return;
  base::Error error = codec_.failure();
  error.fault = peer_fault_;
  fail_streams(error);
  on_connection_over(error);
}

void Http2Session::on_eof() {
  base::Error error = base::client_error(base::ErrorCode::closed);
  on_closed(error);
}

void Http2Session::on_closed(const base::Error& error) {
  if (over_) return;
  base::Error e = error;
  e.fault = peer_fault_;
  fail_streams(e);
  on_connection_over(e);
}

void Http2Session::fail_streams(const base::Error& error) {
  base::Error e = error;
  e.reused = served_ > 1;
  while (!unopened_.empty()) {
    Http2Stream& stream = *unopened_.back();
    base::Error unsent = e;
    unsent.unsent = true;
    http::StreamReceiver* receiver = std::exchange(stream.receiver_, nullptr);
    stream.closed_ = true;
    release(stream);
    if (receiver != nullptr) receiver->on_error(unsent);
  }
  // Receivers may release streams while they are told, so no iterator is kept.
  while (!streams_.empty()) {
    Http2Stream& stream = *streams_.begin()->second;
    http::StreamReceiver* receiver = std::exchange(stream.receiver_, nullptr);
    stream.closed_ = true;
    release(stream);
    if (receiver != nullptr) receiver->on_error(e);
  }
}

void Http2Session::on_data(http2::StreamId id, std::span<const char> bytes, bool end) {
  Http2Stream* stream = find(id);
  if (stream == nullptr) return;
  if (end) stream->remote_end_ = true;
  if (stream->receiver_ == nullptr) {
    // Nobody wants it; the credit goes back so that the peer can end.
    codec_.consumed(id, bytes.size());
    return;
  }
  stream->unconsumed_ += bytes.size();
  stream->receiving_.moved(bytes.size(), loop_.now());
  stream->expecting_ = false;
  stream->watch();
  stream->receiver_->on_data(bytes, end);
}

void Http2Session::on_trailers(http2::StreamId id, http::Fields&& trailers) {
  Http2Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->remote_end_ = true;
  stream->watch();
  if (stream->receiver_ != nullptr) stream->receiver_->on_trailers(std::move(trailers));
}

void Http2Session::on_sent(http2::StreamId id, std::size_t n) {
  Http2Stream* stream = find(id);
  if (stream == nullptr) return;
  opening_.moved(n, loop_.now());
  stream->sending_.moved(n, loop_.now());
  // The library takes these bytes off the window only after it has framed them.
  if (stream->unsent() == 0) {
    stream->watch();
  } else {
    cut_short_.push_back(id);
  }
  if (stream->receiver_ != nullptr) stream->receiver_->on_sent(n);
}

void Http2Session::on_stream_closed(http2::StreamId id, const base::Error& error) {
  Http2Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->closed_ = true;
  stream->stall_.cancel();
  if (!stream->borrowed_) {
    drop(*stream);
    on_streams_changed();
    return;
  }
  // A peer that answered in full may drop the rest of what we send (RFC 9113 §8.1).
  const bool answered = side_ == http2::Side::upstream && stream->remote_end_;
  if (!error || answered) return;
  base::Error e = error;
  e.fault = peer_fault_;
  e.reused = served_ > 1;
  http::StreamReceiver* receiver = std::exchange(stream->receiver_, nullptr);
  release(*stream);
  if (receiver != nullptr) receiver->on_error(e);
}

// ---- output ----

void Http2Session::on_flush() {
  while (connection_->is_open() && connection_->unwritten() == 0) {
    codec_.now(loop_.now());
    const bool more = codec_.pump(out_, kBatch, this);
    if (!cancel_when_sent_.empty()) cancel_finished();
    if (out_.empty() && connection_->unwritten() == 0) break;
    connection_->write(out_.data());
    out_.clear();
    if (!more) break;
  }
  for (const http2::StreamId id : cut_short_) {
    if (Http2Stream* stream = find(id)) stream->watch();
  }
  cut_short_.clear();
  watch_writing();
  codec_failed();
}

void Http2Session::on_output(std::span<const char> bytes) {
  connection_->write(bytes);
}

// The rest of their message is unwanted once all of ours is framed (RFC 9113 §8.1: NO_ERROR).
void Http2Session::cancel_finished() {
  std::erase_if(cancel_when_sent_, [this](http2::StreamId id) {
    Http2Stream* stream = find(id);
    if (stream == nullptr || stream->closed_ || stream->remote_end_) return true;
    // Not before its END_STREAM: a request that was given whole must not arrive cut.
    if (!codec_.sent_whole(id)) return false;
    codec_.reset(id, side_ == http2::Side::client ? kNoError : kCancel);
    pump_soon();
    return true;
  });
}

void Http2Session::on_written(std::size_t n) {
  writing_.moved(n, loop_.now());
  if (connection_->unwritten() == 0) {
    if (codec_.wants_write()) loop_.flush(*this);
    if (over_) finish_connection();
  }
  watch_writing();
}

// Whether the connection as a whole waits for its peer: to take what was written, or to open the
// window that all streams share.
void Http2Session::watch_writing() {
  if (!connection_->is_open()) return;
  const base::Instant now = loop_.now();
  writing_.turn(connection_->unwritten() != 0, now);
  const bool shut = !streams_.empty() && codec_.window_shut() &&
                    std::any_of(streams_.begin(), streams_.end(), [this](const auto& entry) {
                      return !entry.second->watched_by_borrower() && codec_.unsent(entry.first) != 0;
                    });
  opening_.turn(shut, now);
  if (!writing_.waiting() && !opening_.waiting()) {
    write_timer_.cancel();
    return;
  }
  base::Milliseconds after = base::Milliseconds::max();
  for (const Patience* patience : {&writing_, &opening_}) {
    if (patience->waiting()) after = std::min(after, patience->deadline(now));
  }
  if (write_timer_.armed() && write_timer_.deadline() <= now + after) return;
  loop_.timers().arm(write_timer_, after, now);
}

void Http2Session::on_write_stall() {
  watch_writing();
  const base::Instant now = loop_.now();
  const auto over = [now](const Patience& p) { return p.waiting() && p.left(now) == base::Duration(0); };
  if (!over(writing_) && !over(opening_)) return;
  on_too_slow(true);
  base::Error error = base::client_error(base::ErrorCode::body_timeout);
  on_closed(error);
  close_connection(true);
}

void Http2Session::finish_connection() {
  if (connection_->unwritten() == 0 && !codec_.wants_write()) connection_->finish();
}

void Http2Session::close_connection(bool abortive) noexcept {
  over_ = true;
  write_timer_.cancel();
  static_cast<net::Flush*>(this)->unlink();
  connection_->close(abortive);
}

void Http2Session::go_quiet() {
  out_.release();
  spare_.clear();
  spare_.shrink_to_fit();
  if (streams_.empty()) streams_.rehash(0);
  codec_.release();
  connection_->idle();
}

}  // namespace sallyport::session
