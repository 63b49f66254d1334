// What nghttp2 tells, turned into events. Each function returns to nghttp2 what it must do.

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "codec_impl.hpp"

namespace sallyport::http2 {

using base::ErrorCode;

namespace {

constexpr std::size_t kFrameHead = 9;
// A frame's size with its head: what a TLS record holds, so that a body of full frames makes full records.
constexpr std::size_t kLargestFrame = 16 * 1024;
// From here on a copy costs more than a record of its own, which the frames before it may need.
constexpr std::size_t kDirect = 8 * 1024;
static_assert(kFrameHead <= base::Buffer::kHeadroom);

std::string_view text(const std::uint8_t* octets, std::size_t n) noexcept {
  return {reinterpret_cast<const char*>(octets), n};
}

bool ends_stream(const nghttp2_frame& frame) noexcept {
  return (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

// What makes a message malformed behind its head (RFC 9113 §8.1, §8.1.1).
bool exceeds_due(const StreamState& s) noexcept {
  return !s.head_done || (s.due.kind == http::BodySize::Kind::known && s.received > s.due.length);
}
bool falls_short(const StreamState& s) noexcept {
  return !s.head_done || (s.due.kind == http::BodySize::Kind::known && s.received != s.due.length);
}

}  // namespace

// ---- Arriving ---------------------------------------------------------------------------------

int Codec::Impl::begin_headers(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const StreamId id = frame.hd.stream_id;
  if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
    if (last_served_ >= 0 && id > last_served_) {
      // It crossed our GOAWAY, which told the client that it may try again elsewhere.
      nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, code::kRefusedStream);
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    streams_.insert(id);
    reader_.begin_request();
    head_of_ = id;
    return 0;
  }
  const StreamState* const s = streams_.find(id);
  if (s == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (side_ == Side::upstream && !s->head_done) {
    reader_.begin_response(s->tunnel);
  } else {
    reader_.begin_trailers(side_ == Side::client, s->host_told, s->due.kind == http::BodySize::Kind::known);
  }
  return 0;
}

int Codec::Impl::field(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
  const HeadReader::Added added = reader_.add(name, value);
  if (added == HeadReader::Added::taken) return 0;
  if (StreamState* const s = streams_.find(frame.hd.stream_id); s != nullptr) {
    if (added == HeadReader::Added::malformed) {
      fail_stream(*s, code::kProtocolError, ErrorCode::malformed);
    } else {
      fail_stream(*s, code::kEnhanceYourCalm, ErrorCode::head_too_large);
    }
  }
  // nghttp2 goes on with the section for its HPACK table, and is silent about it.
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

void Codec::Impl::frame_received(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      headers_received(frame);
      break;
    case NGHTTP2_DATA:
      if (ends_stream(frame)) data_ended(frame.hd.stream_id);
      break;
    case NGHTTP2_RST_STREAM:
      if (StreamState* const s = streams_.find(frame.hd.stream_id); s != nullptr) s->rst_received = true;
      events_.on_reset(false, frame.rst_stream.error_code);
      break;
    case NGHTTP2_SETTINGS:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) events_.on_settings();
      break;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0 && pings_ > 0) {
        --pings_;
        events_.on_ping_ack();
      }
      break;
    case NGHTTP2_GOAWAY:
      // A mere notice (the highest id, no error) is a GOAWAY to us too: open no more.
      goaway_received_ = true;
      events_.on_goaway(frame.goaway.last_stream_id, frame.goaway.error_code);
      break;
    default:
      break;
  }
}

void Codec::Impl::headers_received(const nghttp2_frame& frame) {
  head_of_ = 0;
  StreamState* const s = streams_.find(frame.hd.stream_id);
  if (s == nullptr) return;
  const bool end = ends_stream(frame);
  if (end) s->got_end = true;
  switch (reader_.section()) {
    case HeadReader::Section::request:
      request_received(*s, end);
      break;
    case HeadReader::Section::response:
      response_received(*s, end);
      break;
    case HeadReader::Section::trailers:
      trailers_received(*s, end);
      break;
  }
  reader_.trim();
}

void Codec::Impl::request_received(StreamState& s, bool end) {
  switch (reader_.finish_request(end)) {
    case HeadReader::Outcome::reset:
      fail_stream(s, code::kProtocolError, ErrorCode::malformed);
      return;
    case HeadReader::Outcome::refused:
      s.head_done = s.deaf = true;
      s.due = reader_.due();
      s.host_told = reader_.host_told();
      announce(s);
      events_.on_bad_request(s.id, peer_error(reader_.problem()));
      return;
    case HeadReader::Outcome::good:
      break;
  }
  s.head_done = true;
  http::RequestHead head = reader_.request();
  s.method = head.method;
  s.tunnel = !head.protocol().empty();
  s.due = reader_.due();
  s.host_told = reader_.host_told();
  heed_priority(s);
  announce(s);
  events_.on_request(s.id, std::move(head), end);
}

void Codec::Impl::response_received(StreamState& s, bool end) {
  switch (reader_.finish_response(s.method, end)) {
    case HeadReader::Outcome::reset:
      fail_stream(s, code::kProtocolError, ErrorCode::malformed);
      return;
    case HeadReader::Outcome::refused:
      if (!s.deaf) fail_stream(s, code::kCancel, reader_.problem());
      break;
    case HeadReader::Outcome::good:
      break;
  }
  const http::ResponseHead& read = reader_.response();
  s.head_done = !read.informational() || read.status == 101;
  if (s.head_done) s.due = reader_.due();
  if (s.deaf) return;
  if (!s.head_done && ++s.informational > settings_.informational)
    return fail_stream(s, code::kEnhanceYourCalm, ErrorCode::interim_flood);
  events_.on_response(s.id, http::ResponseHead(read), end);
}

void Codec::Impl::trailers_received(StreamState& s, bool end) {
  if (falls_short(s)) return fail_stream(s, code::kProtocolError, ErrorCode::malformed);
  switch (reader_.finish_trailers(end, s.received)) {
    case HeadReader::Outcome::reset:
      fail_stream(s, code::kProtocolError, ErrorCode::malformed);
      return;
    case HeadReader::Outcome::refused:
      if (!s.deaf) fail_stream(s, code::kCancel, reader_.problem());
      return;
    case HeadReader::Outcome::good:
      break;
  }
  if (!s.deaf) events_.on_trailers(s.id, http::Fields(reader_.trailers()));
}

void Codec::Impl::data_received(StreamId id, std::span<const char> bytes, std::uint8_t flags) {
  // On receipt, so that a stream whose reader stalls never stops the others.
  nghttp2_session_consume_connection(session_.get(), bytes.size());
  data_left_ -= std::min(data_left_, static_cast<std::uint32_t>(bytes.size()));
  StreamState* const s = streams_.find(id);
  if (s == nullptr) return;
  s->received += bytes.size();
  if (exceeds_due(*s)) return fail_stream(*s, code::kProtocolError, ErrorCode::malformed);
  if (s->deaf) return;
  // The end comes with the last octets when they can be told, which spares the receiver a call.
  const bool last = (flags & NGHTTP2_FLAG_END_STREAM) != 0 && data_left_ == 0;
  const bool end = last && !falls_short(*s);
  s->got_end = end;
  events_.on_data(id, bytes, end);
}

void Codec::Impl::data_ended(StreamId id) {
  StreamState* const s = streams_.find(id);
  if (s == nullptr || s->got_end) return;
  s->got_end = true;
  if (falls_short(*s)) return fail_stream(*s, code::kProtocolError, ErrorCode::malformed);
  if (!s->deaf) events_.on_data(id, {}, true);
}

// ---- Leaving ----------------------------------------------------------------------------------

ssize_t Codec::Impl::read_out(StreamState& s, std::size_t room, std::uint32_t& flags) {
  const std::size_t n = std::min({room, s.out.size(), kLargestFrame - kFrameHead});
  if (n == 0 && !s.out_end) {
    s.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (n != 0) flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (n == s.out.size() && s.out_end) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s.has_out_trailers) {
      flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      FieldList list;
      write_trailers(s.out_trailers, list);
      if (nghttp2_submit_trailer(session_.get(), s.id, list.data(), list.size()) != 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
  }
  return static_cast<ssize_t>(n);
}

int Codec::Impl::write_out(StreamState& s, std::string_view frame_head, std::size_t n) {
  base::Buffer& out = *pumped_;
  if (direct_ != nullptr && n >= kDirect) {
    handed_over_ += out.size() + frame_head.size() + n;
    if (!out.empty()) direct_->on_output(out.data());
    out.clear();
    s.out.prepend(frame_head);
    direct_->on_output(s.out.data().first(frame_head.size() + n));
    s.out.consume(frame_head.size() + n);
  } else {
    out.append(frame_head);
    out.append(s.out.data().first(n));
    s.out.consume(n);
  }
  guard_.data_sent();
  if (!s.asked_reset) events_.on_sent(s.id, n);
  if (out.size() + handed_over_ < pump_limit_) return 0;
  pump_paused_ = true;
  return NGHTTP2_ERR_PAUSE;
}

void Codec::Impl::frame_sent(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS: {
      StreamState* const s = streams_.find(frame.hd.stream_id);
      if (s == nullptr || !ends_stream(frame)) return;
      s->sent_end = true;
      if (s->reset_after_end && nghttp2_session_get_stream_remote_close(session_.get(), s->id) == 0)
        nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, s->id, code::kNoError);
      return;
    }
    case NGHTTP2_RST_STREAM: {
      const std::uint32_t h2_code = frame.rst_stream.error_code;
      StreamState* const s = streams_.find(frame.hd.stream_id);
      if (s != nullptr) s->rst_sent = true;
      events_.on_reset(true, h2_code);
      const bool provoked = s == nullptr || !s->asked_reset;
      if (side_ == Side::client && provoked && !guard_.take(Flood::provoked_reset, now_))
        flooded(Flood::provoked_reset);
      return;
    }
    case NGHTTP2_GOAWAY: {
      const std::uint32_t h2_code = frame.goaway.error_code;
      goaway_sent_ = goaway_sent_ || frame.goaway.last_stream_id != INT32_MAX;
      // nghttp2 found a violation and queued this itself.
      if (h2_code != code::kNoError && !failure_) failure_ = peer_error(ErrorCode::malformed, h2_code);
      events_.on_goaway_sent(h2_code);
      return;
    }
    default:
      return;
  }
}

void Codec::Impl::frame_not_sent(const nghttp2_frame& frame, int library_error) {
  if (frame.hd.type != NGHTTP2_HEADERS) return;
  StreamState* const s = streams_.find(frame.hd.stream_id);
  if (s == nullptr) return;
  const bool too_large = library_error == NGHTTP2_ERR_FRAME_SIZE_ERROR;
  if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
    base::Error error = s->why;
    if (!error && too_large) error = base::gateway_error(ErrorCode::head_too_large);
    if (!error) error = peer_error(ErrorCode::stream_refused, code::kRefusedStream);
    error.unsent = true;
    close_stream(*s, error);
  } else if (!s->asked_reset && !s->deaf) {
    s->why = base::gateway_error(too_large ? ErrorCode::head_too_large : ErrorCode::internal);
    s->deaf = true;
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, s->id, code::kInternalError);
  }
}

// ---- The end of a stream ----------------------------------------------------------------------

void Codec::Impl::announce(StreamState& s) noexcept {
  s.announced = true;
  ++active_;
}

void Codec::Impl::fail_stream(StreamState& s, std::uint32_t h2_code, ErrorCode why) noexcept {
  s.deaf = true;
  if (!s.why) s.why = peer_error(why, h2_code);
  s.out.clear();
  nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, s.id, h2_code);
}

void Codec::Impl::stream_closed(StreamId id, std::uint32_t h2_code) {
  if (head_of_ == id) head_of_ = 0;  // a head that nghttp2 failed
  if (StreamState* const s = streams_.find(id); s != nullptr) close_stream(*s, closing_error(*s, h2_code));
}

void Codec::Impl::close_stream(StreamState& s, const base::Error& error) {
  streams_.remove(s);
  const StreamId id = s.id;
  const bool announced = s.announced;
  streams_.recycle(s);
  if (!announced) return;
  --active_;
  events_.on_stream_closed(id, error);
}

base::Error Codec::Impl::closing_error(const StreamState& s, std::uint32_t h2_code) const noexcept {
  // A stream that we failed may end by itself before its RST_STREAM is framed.
  if (s.why && (s.rst_sent || !s.asked_reset)) return s.why;
  if (s.rst_sent) return peer_error(ErrorCode::malformed, h2_code);
  // Refused before it was looked at: by the upstream's RST_STREAM, or above its GOAWAY.
  if (h2_code == code::kRefusedStream && side_ == Side::upstream) {
    base::Error error = peer_error(ErrorCode::stream_refused, h2_code);
    error.unsent = true;
    return error;
  }
  if (s.rst_received || h2_code != code::kNoError) return peer_error(ErrorCode::stream_reset, h2_code);
  return {};
}

// By RFC 9218's default the streams of one connection are served one after the other, and behind
// an edge they belong to many people: a client that states nothing gets round robin.
void Codec::Impl::heed_priority(const StreamState& s) noexcept {
  Priority wish{NGHTTP2_EXTPRI_DEFAULT_URGENCY, true};
  if (reader_.has_priority()) wish = reader_.priority().value_or(Priority{});
  nghttp2_extpri priority{wish.urgency, wish.incremental ? 1 : 0};
  nghttp2_session_change_extpri_stream_priority(session_.get(), s.id, &priority, 0);
}

// ---- The table --------------------------------------------------------------------------------

namespace {

struct CallbacksDelete {
  void operator()(nghttp2_session_callbacks* c) const noexcept { nghttp2_session_callbacks_del(c); }
};
using CallbacksPointer = std::unique_ptr<nghttp2_session_callbacks, CallbacksDelete>;

}  // namespace

nghttp2_data_provider Codec::Impl::body_of(StreamState& s) noexcept {
  nghttp2_data_provider provider{};
  provider.source.ptr = &s;
  provider.read_callback = [](nghttp2_session*, StreamId, std::uint8_t*, std::size_t room,
                              std::uint32_t* flags, nghttp2_data_source* source, void* user) {
    return static_cast<Impl*>(user)->read_out(*static_cast<StreamState*>(source->ptr), room, *flags);
  };
  return provider;
}

const nghttp2_session_callbacks* Codec::Impl::callbacks() {
  // Immutable after its making, so that all threads may share it.
  static const CallbacksPointer table = [] {
    nghttp2_session_callbacks* c = nullptr;
    if (nghttp2_session_callbacks_new(&c) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, [](nghttp2_session*,
                                                                const nghttp2_frame_hd* head, void* user) {
      if (head->type == NGHTTP2_DATA) {
        // Padding hides where the data ends; then the end comes by itself.
        const bool padded = (head->flags & NGHTTP2_FLAG_PADDED) != 0;
        static_cast<Impl*>(user)->data_left_ = padded ? UINT32_MAX : static_cast<std::uint32_t>(head->length);
      }
      return 0;
    });
    nghttp2_session_callbacks_set_on_begin_headers_callback(
        c, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          return static_cast<Impl*>(user)->begin_headers(*frame);
        });
    nghttp2_session_callbacks_set_on_header_callback(
        c, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_length,
              const std::uint8_t* value, std::size_t value_length, std::uint8_t, void* user) {
          return static_cast<Impl*>(user)->field(*frame, text(name, name_length), text(value, value_length));
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        c, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          static_cast<Impl*>(user)->frame_received(*frame);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        c, [](nghttp2_session*, std::uint8_t flags, StreamId id, const std::uint8_t* data, std::size_t n,
              void* user) {
          static_cast<Impl*>(user)->data_received(id, {reinterpret_cast<const char*>(data), n}, flags);
          return 0;
        });
    nghttp2_session_callbacks_set_send_data_callback(
        c, [](nghttp2_session*, nghttp2_frame*, const std::uint8_t* frame_head, std::size_t n,
              nghttp2_data_source* source, void* user) {
          return static_cast<Impl*>(user)->write_out(*static_cast<StreamState*>(source->ptr),
                                                     text(frame_head, kFrameHead), n);
        });
    nghttp2_session_callbacks_set_on_frame_send_callback(
        c, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          static_cast<Impl*>(user)->frame_sent(*frame);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_not_send_callback(
        c, [](nghttp2_session*, const nghttp2_frame* frame, int library_error, void* user) {
          static_cast<Impl*>(user)->frame_not_sent(*frame, library_error);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        c, [](nghttp2_session*, StreamId id, std::uint32_t h2_code, void* user) {
          static_cast<Impl*>(user)->stream_closed(id, h2_code);
          return 0;
        });
    return CallbacksPointer(c);
  }();
  return table.get();
}

}  // namespace sallyport::http2
