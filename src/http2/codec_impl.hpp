// What a Codec is made of: nghttp2's session, our streams, and the callbacks between them.
//
// nghttp2 must not be entered again by mem_recv/mem_send from within its own callbacks; `busy_`
// asserts that. Everything else may be called from them, so events go out straight from the
// callbacks and what they cause is queued.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <nghttp2/nghttp2.h>

#include "sallyport/http2/codec.hpp"

#include "frame_watch.hpp"
#include "head_reader.hpp"
#include "head_writer.hpp"
#include "library.hpp"
#include "peer_streams.hpp"
#include "stream_table.hpp"

namespace sallyport::http2 {

struct Codec::Impl {
  Impl(Side side, const Settings& settings, Events& events);

  base::Result<void> receive(std::span<const char> bytes);
  bool pump(base::Buffer& out, std::size_t limit, Output* direct);
  void release() noexcept;

  StreamId open_request(const http::RequestHead& head, bool end);
  void send_response(StreamId id, const http::ResponseHead& head, bool end);
  void send_data(StreamId id, std::span<const char> bytes, bool end);
  void send_trailers(StreamId id, const http::Fields& trailers);
  void consumed(StreamId id, std::size_t n) noexcept;
  void resize_window(StreamId id, std::uint32_t bytes) noexcept;
  void reset(StreamId id, std::uint32_t h2_code) noexcept;
  void goaway(std::uint32_t h2_code);
  [[nodiscard]] bool drained() const noexcept;

  // What nghttp2 calls; `user` is the Impl.
  static const nghttp2_session_callbacks* callbacks();

  // ---- What the callbacks do (callbacks.cpp)
  int begin_headers(const nghttp2_frame& frame);
  int field(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  void frame_received(const nghttp2_frame& frame);
  void headers_received(const nghttp2_frame& frame);
  void request_received(StreamState& s, bool end);
  void response_received(StreamState& s, bool end);
  void trailers_received(StreamState& s, bool end);
  void data_received(StreamId id, std::span<const char> bytes, std::uint8_t flags);
  void data_ended(StreamId id);
  void frame_sent(const nghttp2_frame& frame);
  void frame_not_sent(const nghttp2_frame& frame, int library_error);
  void stream_closed(StreamId id, std::uint32_t h2_code);
  [[nodiscard]] ssize_t read_out(StreamState& s, std::size_t room, std::uint32_t& flags);
  int write_out(StreamState& s, std::string_view frame_head, std::size_t n);

  // ---- Shared by both
  // The body of a message as nghttp2 asks for it: from the stream's buffer, when it can go.
  [[nodiscard]] static nghttp2_data_provider body_of(StreamState& s) noexcept;
  [[nodiscard]] base::Error peer_error(base::ErrorCode code, std::uint32_t h2_code = 0) const noexcept {
    return base::Error{code, side_ == Side::client ? base::Fault::client : base::Fault::upstream, false,
                       false, static_cast<std::int32_t>(h2_code)};
  }
  void announce(StreamState& s) noexcept;
  // Resets a stream for a fault of the peer's.
  void fail_stream(StreamState& s, std::uint32_t h2_code, base::ErrorCode why) noexcept;
  void close_stream(StreamState& s, const base::Error& error);
  [[nodiscard]] base::Error closing_error(const StreamState& s, std::uint32_t h2_code) const noexcept;
  // The connection is over: GOAWAY is queued, unless there was one.
  void fail(const base::Error& why, std::uint32_t h2_code) noexcept;
  void flooded(Flood flood) noexcept;
  // Before nghttp2 sees it: false when the connection ends with this frame.
  [[nodiscard]] bool admit_frame(const FrameFacts& frame) noexcept;
  [[nodiscard]] bool count_frame(const FrameFacts& frame) noexcept;
  [[nodiscard]] bool is_gone(StreamId id) const noexcept;
  [[nodiscard]] bool in_order(const FrameFacts& frame) noexcept;
  void resume(StreamState& s) noexcept;
  // Hands the request's priority (RFC 9218) on to nghttp2, which orders DATA by it.
  void heed_priority(const StreamState& s) noexcept;

  const Side side_;
  const Settings settings_;
  Events& events_;
  FloodGuard guard_;
  FrameWatch watch_;
  PeerStreams peer_streams_;
  HeadReader reader_;
  StreamTable streams_;
  base::Instant now_{};
  base::Error failure_;
  base::Buffer* pumped_ = nullptr;  // where pump() writes to
  std::size_t pump_limit_ = 0;
  Output* direct_ = nullptr;     // of this pump(), if it has one
  std::size_t handed_over_ = 0;  // to it, by this pump()
  std::size_t active_ = 0;       // announced streams
  std::uint32_t data_left_ = 0;  // of the DATA frame that is arriving
  std::uint32_t pings_ = 0;      // of ours, not answered yet
  StreamId head_of_ = 0;         // whose request has begun and is not whole; 0: nobody's
  StreamId last_served_ = -1;    // named by our GOAWAY; -1: none yet
  bool busy_ = false;
  bool pump_paused_ = false;
  bool goaway_sent_ = false;  // not a mere notice
  bool goaway_received_ = false;
  SessionMemory memory_;
  SessionPointer session_;  // last: its callbacks use the rest
};

}  // namespace sallyport::http2
