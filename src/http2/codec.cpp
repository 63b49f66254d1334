#include "sallyport/http2/codec.hpp"

#include <cassert>
#include <utility>

#include "sallyport/base/scope_guard.hpp"

#include "codec_impl.hpp"

namespace sallyport::http2 {

using base::ErrorCode;

static_assert(code::kEnhanceYourCalm == NGHTTP2_ENHANCE_YOUR_CALM && code::kCancel == NGHTTP2_CANCEL &&
              code::kRefusedStream == NGHTTP2_REFUSED_STREAM);

namespace {
constexpr std::uint8_t kPriorityUpdate = 0x10;  // RFC 9218 §7.1
constexpr std::uint32_t kSettingsEntry = 6;     // octets, RFC 9113 §6.5.1
}  // namespace

Codec::Impl::Impl(Side side, const Settings& settings, Events& events)
    : side_(side),
      settings_(settings),
      events_(events),
      guard_(settings.budgets),
      watch_(side == Side::client ? kClientPreface.size() : 0),
      reader_(settings_),
      session_(open_session(side, settings_, callbacks(), this, memory_)) {}

// ---- Bytes ------------------------------------------------------------------------------------

base::Result<void> Codec::Impl::receive(std::span<const char> bytes) {
  assert(!busy_ && "receive() from within an event");
  if (failure_) return failure_;
  if (!watch_.scan(bytes, [this](const FrameFacts& frame) { return admit_frame(frame); })) return failure_;

  busy_ = true;
  const base::ScopeGuard done([this] { busy_ = false; });
  const auto* octets = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const auto taken = nghttp2_session_mem_recv(session_.get(), octets, bytes.size());
  if (taken >= 0) return failure_ ? base::Result<void>(failure_) : base::Result<void>();
  switch (static_cast<int>(taken)) {
    case NGHTTP2_ERR_CALLBACK_FAILURE:
      break;  // said why already, if it was ours
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
      fail(peer_error(ErrorCode::malformed, code::kProtocolError), code::kProtocolError);
      break;
    case NGHTTP2_ERR_FLOODED:  // answers to PING and SETTINGS that the peer does not read
      flooded(Flood::ping);
      break;
    default:
      break;
  }
  fail(base::gateway_error(ErrorCode::internal, static_cast<std::int32_t>(taken)), code::kInternalError);
  return failure_;
}

bool Codec::Impl::pump(base::Buffer& out, std::size_t limit, Output* direct) {
  assert(!busy_ && "pump() from within an event");
  busy_ = true;
  pumped_ = &out;
  pump_limit_ = limit;
  direct_ = direct;
  handed_over_ = 0;
  const base::ScopeGuard done([this] {
    busy_ = false;
    pumped_ = nullptr;
  });
  while (out.size() + handed_over_ < limit && nghttp2_session_want_write(session_.get()) != 0) {
    pump_paused_ = false;
    const std::uint8_t* frame = nullptr;
    const auto n = nghttp2_session_mem_send(session_.get(), &frame);
    if (n < 0) {
      fail(base::gateway_error(ErrorCode::internal, static_cast<std::int32_t>(n)), code::kInternalError);
      return false;
    }
    if (n == 0 && !pump_paused_) break;
    out.append(std::span<const char>(reinterpret_cast<const char*>(frame), static_cast<std::size_t>(n)));
  }
  return nghttp2_session_want_write(session_.get()) != 0;
}

void Codec::Impl::release() noexcept {
  streams_.release();
  if (head_of_ == 0) reader_.release();
  // Behind a GOAWAY that ends the session nghttp2 says that it wants nothing, whatever it holds.
  if (!goaway_sent_ && nghttp2_session_want_write(session_.get()) == 0) memory_.rest();
}

bool Codec::Impl::admit_frame(const FrameFacts& frame) noexcept {
  return count_frame(frame) && (side_ == Side::upstream || in_order(frame));
}

bool Codec::Impl::in_order(const FrameFacts& frame) noexcept {
  const auto refuse = [this](std::uint32_t h2_code) {
    fail(peer_error(ErrorCode::malformed, h2_code), h2_code);
    return false;
  };
  const bool headers = frame.type == NGHTTP2_HEADERS;
  if (headers || frame.type == NGHTTP2_DATA) {
    switch (peer_streams_.continues(frame.stream)) {
      case PeerStreams::Verdict::fine:
        break;
      case PeerStreams::Verdict::ended:
        return refuse(code::kStreamClosed);
      case PeerStreams::Verdict::skipped:
        return refuse(code::kProtocolError);
    }
    if (headers) peer_streams_.opened(frame.stream);
    if ((frame.flags & NGHTTP2_FLAG_END_STREAM) != 0) peer_streams_.ended(frame.stream);
  } else if (frame.type == NGHTTP2_RST_STREAM) {
    peer_streams_.ended(frame.stream);
  } else if (frame.type == NGHTTP2_PRIORITY && frame.stream == 0) {
    // RFC 9113 §6.3. nghttp2 looks at none of them, since we said that we do not (RFC 9218).
    return refuse(code::kProtocolError);
  }
  return true;
}

// Frames are counted ahead of nghttp2: a stream may be one that these same bytes open.
bool Codec::Impl::is_gone(StreamId id) const noexcept {
  return id <= nghttp2_session_get_last_proc_stream_id(session_.get()) && streams_.find(id) == nullptr;
}

bool Codec::Impl::count_frame(const FrameFacts& frame) noexcept {
  const auto take = [this](Flood flood) {
    if (guard_.take(flood, now_)) return true;
    flooded(flood);
    return false;
  };
  switch (frame.type) {
    case NGHTTP2_DATA:
      return !frame.empty || (frame.flags & NGHTTP2_FLAG_END_STREAM) != 0 || take(Flood::empty_frames);
    case NGHTTP2_HEADERS:
      guard_.head_begins();
      if (is_gone(frame.stream) && !take(Flood::unknown_frames)) return false;
      return !frame.empty || take(Flood::empty_frames);
    case NGHTTP2_CONTINUATION:
      return take(Flood::continuation) && (!frame.empty || take(Flood::empty_frames));
    case NGHTTP2_PRIORITY:
    case kPriorityUpdate:
      return take(Flood::priority);
    case NGHTTP2_RST_STREAM:
      // An upstream that fails many requests is no attacker: we chose to send them.
      return side_ == Side::upstream || take(Flood::rapid_reset);
    case NGHTTP2_SETTINGS:
      if ((frame.flags & NGHTTP2_FLAG_ACK) != 0) return true;
      if (frame.length > kMostSettings * kSettingsEntry) flooded(Flood::settings);
      return !failure_ && take(Flood::settings);
    case NGHTTP2_PING:
      return take(Flood::ping);
    case NGHTTP2_WINDOW_UPDATE:
      return take(Flood::window_update);
    default:
      return take(Flood::unknown_frames);
  }
}

void Codec::Impl::flooded(Flood flood) noexcept {
  if (failure_) return;
  fail(peer_error(ErrorCode::enhance_your_calm, code::kEnhanceYourCalm), code::kEnhanceYourCalm);
  events_.on_flood(flood);
}

void Codec::Impl::fail(const base::Error& why, std::uint32_t h2_code) noexcept {
  if (failure_) return;
  failure_ = why;
  nghttp2_session_terminate_session(session_.get(), h2_code);
}

// ---- Messages ---------------------------------------------------------------------------------

StreamId Codec::Impl::open_request(const http::RequestHead& head, bool end) {
  const bool tunnel = !head.protocol().empty();
  if (side_ != Side::upstream || failure_ || nghttp2_session_check_request_allowed(session_.get()) == 0)
    return 0;
  nghttp2_session* const session = session_.get();
  if (streams_.size() >=
      nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
    return 0;
  if (tunnel && nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) != 1)
    return 0;

  Digits digits;
  FieldList list;
  write_request(head, digits, list);
  StreamState& s = streams_.insert(static_cast<StreamId>(nghttp2_session_get_next_stream_id(session)));
  const nghttp2_data_provider body = body_of(s);
  const StreamId id =
      nghttp2_submit_request(session, nullptr, list.data(), list.size(), end ? nullptr : &body, nullptr);
  if (id < 0) {
    streams_.remove(s);
    streams_.recycle(s);
    return 0;
  }
  assert(id == s.id);
  s.method = tunnel ? http::Method::connect : head.method;
  s.tunnel = tunnel;
  s.out_end = end;
  announce(s);
  return id;
}

void Codec::Impl::send_response(StreamId id, const http::ResponseHead& head, bool end) {
  StreamState* const s = streams_.find(id);
  if (s == nullptr || s->asked_reset || s->out_end || side_ != Side::client) return;
  Digits digits;
  FieldList list;
  write_response(head, digits, list);
  int result = 0;
  if (head.informational() && head.status != 101) {
    result = nghttp2_submit_headers(session_.get(), NGHTTP2_FLAG_NONE, id, nullptr, list.data(), list.size(),
                                    nullptr);
  } else {
    const nghttp2_data_provider body = body_of(*s);
    s->out_end = end;
    result = nghttp2_submit_response(session_.get(), id, list.data(), list.size(), end ? nullptr : &body);
  }
  if (result != 0) reset(id, code::kInternalError);
}

void Codec::Impl::send_data(StreamId id, std::span<const char> bytes, bool end) {
  StreamState* const s = streams_.find(id);
  if (s == nullptr || s->asked_reset || s->out_end) return;
  s->out.append(bytes);
  s->out_end = end;
  resume(*s);
}

void Codec::Impl::send_trailers(StreamId id, const http::Fields& trailers) {
  StreamState* const s = streams_.find(id);
  if (s == nullptr || s->asked_reset || s->out_end) return;
  s->out_trailers = trailers;
  s->has_out_trailers = !trailers.empty();
  s->out_end = true;
  resume(*s);
}

void Codec::Impl::resume(StreamState& s) noexcept {
  if (!s.deferred) return;
  s.deferred = false;
  nghttp2_session_resume_data(session_.get(), s.id);
}

void Codec::Impl::consumed(StreamId id, std::size_t n) noexcept {
  const StreamState* const s = streams_.find(id);
  // A window is of no use to a peer that has nothing more to send.
  if (s == nullptr || s->deaf || s->got_end || n == 0) return;
  nghttp2_session_consume_stream(session_.get(), id, n);
}

void Codec::Impl::resize_window(StreamId id, std::uint32_t bytes) noexcept {
  const StreamState* const s = streams_.find(id);
  if (s == nullptr || s->deaf || s->got_end) return;
  nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, id,
                                        static_cast<std::int32_t>(bytes));
}

void Codec::Impl::reset(StreamId id, std::uint32_t h2_code) noexcept {
  StreamState* const s = streams_.find(id);
  if (s == nullptr || s->asked_reset) return;
  s->asked_reset = s->deaf = true;
  s->why = base::gateway_error(ErrorCode::stream_reset, static_cast<std::int32_t>(h2_code));
  if (h2_code == code::kNoError && s->out_end && !s->sent_end) {
    // "Stop uploading, you have your answer" (RFC 9113 §8.1) must not overtake the answer.
    s->reset_after_end = true;
    return;
  }
  s->out.clear();
  nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, h2_code);
}

void Codec::Impl::goaway(std::uint32_t h2_code) {
  if (failure_) return;
  if (h2_code != code::kNoError) {
    fail(base::gateway_error(ErrorCode::canceled, static_cast<std::int32_t>(h2_code)), h2_code);
    return;
  }
  if (last_served_ >= 0) return;
  last_served_ = nghttp2_session_get_last_proc_stream_id(session_.get());
  // What crosses this GOAWAY is refused, through no fault of the client's.
  guard_.allow(Flood::provoked_reset, settings_.max_concurrent_streams);
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, last_served_, h2_code, nullptr, 0);
}

bool Codec::Impl::drained() const noexcept {
  return (goaway_sent_ || goaway_received_) && streams_.size() == 0;
}

// ---- The public face --------------------------------------------------------------------------

Codec::Codec(Side side, const Settings& settings, Events& events)
    : impl_(std::make_unique<Impl>(side, settings, events)) {}
Codec::~Codec() = default;

void Codec::now(base::Instant instant) noexcept {
  impl_->now_ = instant;
}
base::Result<void> Codec::receive(std::span<const char> bytes) {
  return impl_->receive(bytes);
}
bool Codec::pump(base::Buffer& out, std::size_t limit, Output* direct) {
  return impl_->pump(out, limit, direct);
}
void Codec::release() noexcept {
  impl_->release();
}

bool Codec::wants_write() const noexcept {
  return nghttp2_session_want_write(impl_->session_.get()) != 0;
}
const base::Error& Codec::failure() const noexcept {
  return impl_->failure_;
}

StreamId Codec::open_request(const http::RequestHead& head, bool end) {
  return impl_->open_request(head, end);
}
void Codec::send_response(StreamId id, const http::ResponseHead& head, bool end) {
  impl_->send_response(id, head, end);
}
void Codec::send_data(StreamId id, std::span<const char> bytes, bool end) {
  impl_->send_data(id, bytes, end);
}
void Codec::send_trailers(StreamId id, const http::Fields& trailers) {
  impl_->send_trailers(id, trailers);
}
void Codec::consumed(StreamId id, std::size_t n) noexcept {
  impl_->consumed(id, n);
}
void Codec::resize_window(StreamId id, std::uint32_t bytes) noexcept {
  impl_->resize_window(id, bytes);
}
void Codec::reset(StreamId id, std::uint32_t h2_code) noexcept {
  impl_->reset(id, h2_code);
}

std::size_t Codec::unsent(StreamId id) const noexcept {
  const StreamState* const s = impl_->streams_.find(id);
  return s == nullptr ? 0 : s->out.size();
}

bool Codec::window_shut(StreamId id) const noexcept {
  return nghttp2_session_get_stream_remote_window_size(impl_->session_.get(), id) <= 0;
}
bool Codec::window_shut() const noexcept {
  return nghttp2_session_get_remote_window_size(impl_->session_.get()) <= 0;
}

bool Codec::sent_whole(StreamId id) const noexcept {
  const StreamState* const s = impl_->streams_.find(id);
  return s == nullptr || s->sent_end;
}

void Codec::shutdown_notice() {
  if (impl_->side_ == Side::client) nghttp2_submit_shutdown_notice(impl_->session_.get());
}
void Codec::goaway(std::uint32_t h2_code) {
  impl_->goaway(h2_code);
}
void Codec::ping() {
  if (nghttp2_submit_ping(impl_->session_.get(), NGHTTP2_FLAG_NONE, nullptr) == 0) ++impl_->pings_;
}

std::uint32_t Codec::peer_max_streams() const noexcept {
  return nghttp2_session_get_remote_settings(impl_->session_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}
bool Codec::peer_connect_protocol() const noexcept {
  return nghttp2_session_get_remote_settings(impl_->session_.get(),
                                             NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}
std::size_t Codec::active_streams() const noexcept {
  return impl_->active_;
}
StreamId Codec::unfinished_head() const noexcept {
  return impl_->head_of_;
}
bool Codec::drained() const noexcept {
  return impl_->drained();
}

}  // namespace sallyport::http2
