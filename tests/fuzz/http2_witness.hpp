// A second opinion on HTTP/2 messages: nghttp2's own rules (RFC 9113 §8), which the codec's session
// is told to leave to the codec. The same bytes go to both, and nothing may come out of the codec
// that the witness refused. The codec may be stricter, and often is.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <new>
#include <span>
#include <string_view>

#include <nghttp2/nghttp2.h>

#include "sallyport/http2/codec.hpp"

namespace sallyport::http2::fuzz {

class Witness {
 public:
  struct Stream {
    std::uint64_t octets = 0;  // of DATA
    int sections = 0;          // heads and trailers
    bool ended = false;
  };

  explicit Witness(Side side) {
    nghttp2_session_callbacks* c = nullptr;
    nghttp2_option* option = nullptr;
    if (nghttp2_session_callbacks_new(&c) != 0 || nghttp2_option_new(&option) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_invalid_header_callback(
        c,
        [](nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t, const std::uint8_t*,
           std::size_t, std::uint8_t, void*) -> int { return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        c, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          static_cast<Witness*>(user)->frame_received(frame->hd);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        c, [](nghttp2_session*, std::uint8_t, StreamId id, const std::uint8_t*, std::size_t n, void* user) {
          static_cast<Witness*>(user)->streams_[id].octets += n;
          return 0;
        });
    nghttp2_option_set_no_closed_streams(option, 1);
    const bool server = side == Side::client;
    const int made = server ? nghttp2_session_server_new2(&session_, c, this, option)
                            : nghttp2_session_client_new2(&session_, c, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(c);
    if (made != 0) throw std::bad_alloc();
    const std::array<nghttp2_settings_entry, 2> entries = {{
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {server ? NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL : NGHTTP2_SETTINGS_ENABLE_PUSH, server ? 1U : 0U},
    }};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries.data(), entries.size());
  }
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;
  ~Witness() { nghttp2_session_del(session_); }

  // A request whose answer will come; without `end` its body is never sent.
  void asked(std::string_view method, bool end) {
    const auto field = [](std::string_view name, std::string_view value) {
      const auto octets = [](std::string_view text) {
        return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
      };
      return nghttp2_nv{octets(name), octets(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
    };
    const std::array<nghttp2_nv, 4> list = {field(":method", method), field(":scheme", "https"),
                                            field(":authority", "example.com"), field(":path", "/")};
    nghttp2_data_provider never{};
    never.read_callback = [](nghttp2_session*, StreamId, std::uint8_t*, std::size_t, std::uint32_t*,
                             nghttp2_data_source*, void*) -> ssize_t { return NGHTTP2_ERR_DEFERRED; };
    nghttp2_submit_request(session_, nullptr, list.data(), list.size(), end ? nullptr : &never, nullptr);
    send();
  }

  // Before the codec takes them.
  void hears(std::string_view bytes) {
    if (!attends()) return;
    const auto* octets = reinterpret_cast<const std::uint8_t*>(bytes.data());
    attends_ = nghttp2_session_mem_recv(session_, octets, bytes.size()) >= 0;
    send();
  }
  // False once its own connection is over: it never closes a stream by an answer, so it may take
  // for a fault what the codec has forgotten.
  [[nodiscard]] bool attends() const { return attends_; }
  [[nodiscard]] const Stream& operator[](StreamId id) { return streams_[id]; }

 private:
  void frame_received(const nghttp2_frame_hd& frame) {
    if (frame.type != NGHTTP2_HEADERS && frame.type != NGHTTP2_DATA) return;
    Stream& s = streams_[frame.stream_id];
    if (frame.type == NGHTTP2_HEADERS) ++s.sections;
    if ((frame.flags & NGHTTP2_FLAG_END_STREAM) != 0) s.ended = true;
  }
  void send() {
    const std::uint8_t* out = nullptr;
    while (nghttp2_session_mem_send(session_, &out) > 0) {
    }
    attends_ = attends_ && nghttp2_session_want_read(session_) != 0;
  }

  nghttp2_session* session_ = nullptr;
  std::map<StreamId, Stream> streams_;
  bool attends_ = true;
};

}  // namespace sallyport::http2::fuzz
