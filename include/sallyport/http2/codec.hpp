// HTTP/2 (RFC 9113) as a codec: bytes in, events out, output pulled. No socket, no clock, no
// timer. One class for both sides: a server towards clients, a client towards upstreams.
//
// Owned by one session, used on its thread, dies with it (never from within an event). Events
// come from receive() and pump() only. Within an event every function may be called except
// receive() and pump(): what they queue leaves with the next pump(). Calls with the id of a
// stream that is gone do nothing.
//
// Bounds: a stream holds at most its receive window of the other side in unsent data (the
// caller's credit, http/stream.hpp), one head at a time is collected within `head_bytes`, and
// FloodGuard bounds everything that carries no message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "sallyport/base/buffer.hpp"
#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/http/head.hpp"
#include "sallyport/http2/budgets.hpp"

namespace sallyport::http2 {

// Which peer we talk to: towards a client we are the server.
enum class Side : std::uint8_t { client, upstream };

using StreamId = std::int32_t;

// RFC 9113 §7, those that callers name.
namespace code {
inline constexpr std::uint32_t kNoError = 0x0;
inline constexpr std::uint32_t kProtocolError = 0x1;
inline constexpr std::uint32_t kInternalError = 0x2;
inline constexpr std::uint32_t kFlowControlError = 0x3;
inline constexpr std::uint32_t kStreamClosed = 0x5;
inline constexpr std::uint32_t kRefusedStream = 0x7;
inline constexpr std::uint32_t kCancel = 0x8;
inline constexpr std::uint32_t kConnectError = 0xa;
inline constexpr std::uint32_t kEnhanceYourCalm = 0xb;
inline constexpr std::uint32_t kHttp11Required = 0xd;
}  // namespace code

// The first octets that a client sends (RFC 9113 §3.4), for whoever tells the protocols apart.
inline constexpr std::string_view kClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct Settings {
  std::uint32_t max_concurrent_streams = 100;     // that the peer may open
  std::uint32_t stream_window = 64 * 1024;        // bytes of a body that may wait for us, to begin with
  std::uint32_t connection_window = 1024 * 1024;  // given back on receipt: bounds one burst only
  std::size_t head_bytes = 64 * 1024;             // names and values of one field section, together
  std::size_t field_bytes = 16 * 1024;            // name and value of one field
  std::size_t fields = 128;                       // of one field section; cookie crumbs count as one
  std::size_t target_bytes = 8 * 1024;            // :path
  std::uint32_t informational = 32;               // towards upstreams: 1xx heads before a response
  std::uint32_t max_frame = 16384;                // SETTINGS_MAX_FRAME_SIZE; 16384 is the least allowed
  std::uint32_t header_table = 4096;              // HPACK table, each direction
  bool enable_connect_protocol = true;            // RFC 8441, towards clients
  Budgets budgets;
};

class Codec {
 public:
  class Events {
   public:
    // Towards clients: a request whose head is whole and valid. What breaks RFC 9113 §8 never
    // comes here: its stream is reset with PROTOCOL_ERROR.
    virtual void on_request(StreamId id, http::RequestHead&& head, bool end) = 0;
    // Towards clients: well-formed HTTP/2 that we do not serve (head_too_large, uri_too_long,
    // unsupported, malformed): answer it on this stream; its body is dropped.
    virtual void on_bad_request(StreamId id, const base::Error& error) = 0;
    // Towards upstreams: 1xx (never 101) any number of times, then one other; 101 is an
    // accepted tunnel.
    virtual void on_response(StreamId id, http::ResponseHead&& head, bool end) = 0;
    virtual void on_data(StreamId id, std::span<const char> bytes, bool end) = 0;
    virtual void on_trailers(StreamId id, http::Fields&& trailers) = 0;  // ends the message
    virtual void on_sent(StreamId id, std::size_t n) = 0;                // pump() framed n bytes of its body
    // Once for every stream that was announced by on_request, on_bad_request or
    // open_request(), also after reset(): the last event of that id. No error: both directions
    // ended. Otherwise stream_refused (with `unsent`: provably not processed), malformed (the
    // peer broke the protocol on it), head_too_large, interim_flood, or stream_reset; cause = the HTTP/2
    // code, fault = who reset it.
    virtual void on_stream_closed(StreamId id, const base::Error& error) = 0;
    virtual void on_settings() = 0;  // the peer's SETTINGS are in force
    virtual void on_goaway(StreamId last,
                           std::uint32_t h2_code) = 0;  // the peer will take no stream above `last`
    virtual void on_ping_ack() {}
    // For counters.
    virtual void on_flood(Flood) {}  // receive() or failure() tells the rest
    virtual void on_reset(bool /*sent*/, std::uint32_t /*h2_code*/) {}  // one RST_STREAM
    virtual void on_goaway_sent(std::uint32_t /*h2_code*/) {}

   protected:
    ~Events() = default;
  };

  // Queues the preface and SETTINGS. `events` must outlive the codec.
  Codec(Side side, const Settings& settings, Events& events);
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;
  ~Codec();

  // The time that the budgets count by; set it before receive() and pump().
  void now(base::Instant instant) noexcept;

  // Takes all bytes. An error means that the connection is over: pump() once more for the
  // GOAWAY, send it, close. on_stream_closed does not come for what is still open then.
  base::Result<void> receive(std::span<const char> bytes);

  // Where pump() hands over bytes; the view dies with the call.
  class Output {
   public:
    virtual void on_output(std::span<const char> bytes) = 0;

   protected:
    ~Output() = default;
  };

  // Appends frames to `out` until it holds `limit` bytes or more (by at most one frame) or
  // nothing is left; returns whether there is more. Check failure() afterwards.
  // With a `direct`, a large DATA frame is not copied: what `out` holds is handed over and `out`
  // emptied, then the frame where it stands. All of this counts against `limit`.
  bool pump(base::Buffer& out, std::size_t limit, Output* direct = nullptr);
  [[nodiscard]] bool wants_write() const noexcept;
  // Frees what is kept for the next streams: the connection is idle.
  void release() noexcept;

  // Why the connection is over, as receive() returned it or as pump() found out (some
  // violations show only by the GOAWAY that they queued); no error while it lives.
  [[nodiscard]] const base::Error& failure() const noexcept;

  // Towards upstreams. 0: not now (the peer's stream limit, GOAWAY, an extended CONNECT that
  // the peer did not allow) or never again on this connection (ids used up, over).
  [[nodiscard]] StreamId open_request(const http::RequestHead& head, bool end);
  void send_response(StreamId id, const http::ResponseHead& head, bool end);
  void send_data(StreamId id, std::span<const char> bytes, bool end);
  void send_trailers(StreamId id, const http::Fields& trailers);
  // Gives n bytes back to the stream's receive window.
  void consumed(StreamId id, std::size_t n) noexcept;
  // The size of that window from here on: more is granted with the next pump(); for less, that much of what
  // is consumed is not given back.
  void resize_window(StreamId id, std::uint32_t bytes) noexcept;
  // Queues RST_STREAM; unsent data is dropped and nothing but on_stream_closed follows.
  void reset(StreamId id, std::uint32_t h2_code) noexcept;

  // Bytes taken by send_data() and not yet framed.
  [[nodiscard]] std::size_t unsent(StreamId id) const noexcept;
  // Whether the peer gives the stream, or the connection, no window to send in.
  [[nodiscard]] bool window_shut(StreamId id) const noexcept;
  [[nodiscard]] bool window_shut() const noexcept;
  // Whether our message is framed to its END_STREAM; also of a stream that is gone.
  [[nodiscard]] bool sent_whole(StreamId id) const noexcept;

  // The drain of RFC 9113 §6.8, towards clients: first shutdown_notice() (GOAWAY with the
  // highest id: open no more), then ping(), and after on_ping_ack or a second goaway(kNoError),
  // which names the last stream that is served. Later streams are refused.
  void shutdown_notice();
  // Any other code than kNoError ends the connection with the next pump().
  void goaway(std::uint32_t h2_code);
  void ping();

  [[nodiscard]] std::uint32_t peer_max_streams() const noexcept;
  [[nodiscard]] bool peer_connect_protocol() const noexcept;
  // Announced and not yet closed, whoever opened them.
  [[nodiscard]] std::size_t active_streams() const noexcept;
  // The stream whose request has begun and has no whole head yet: one at most. 0: none.
  [[nodiscard]] StreamId unfinished_head() const noexcept;
  // GOAWAY went out (not a mere notice) or came in, and no stream is left.
  [[nodiscard]] bool drained() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::http2
