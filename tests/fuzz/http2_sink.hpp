// What the HTTP/2 fuzz targets share: a codec whose events are answered, with the codec's
// promises checked: a stream is announced once, ends once, is silent after its end, gets no more
// data than its window, and nothing that a witness refused.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sallyport/http/semantics.hpp"
#include "sallyport/http2/codec.hpp"

#include "http2_witness.hpp"

namespace sallyport::http2::fuzz {

inline void must(bool holds) {
  if (!holds) std::abort();
}

class Sink final : public Codec::Events {
 public:
  explicit Sink(Side side, const Settings& settings = limits()) : codec(side, settings, *this) {}

  bool head_requests = false;  // what we asked for were HEADs
  Witness* witness = nullptr;  // of what is fed, if there is one

  static Settings limits() {
    Settings s;
    s.max_concurrent_streams = 16;
    s.head_bytes = 8 * 1024;
    s.field_bytes = 2 * 1024;
    s.fields = 32;
    s.target_bytes = 1024;
    return s;
  }

  void pump() {
    base::Buffer out;
    while (codec.pump(out, 16 * 1024)) out.clear();
  }

  void on_request(StreamId id, http::RequestHead&& head, bool end) override {
    must(begin(id));
    must(http::is_authority(head.authority()) && http::is_target(head.method, head.target()));
    must(!head.fields.has(http::FieldId::host) && !head.fields.has(http::FieldId::content_length));
    check(head.fields);
    Stream& s = streams_[id];
    s.length = head.body;
    s.ended = end;
    compare(id, s, true);
    if (id % 8 == 5) codec.reset(id, code::kCancel);
    respond(id);
  }
  void on_bad_request(StreamId id, const base::Error& error) override {
    must(begin(id) && static_cast<bool>(error));
    streams_[id].ended = streams_[id].refused = true;
    respond(id);
  }
  void on_response(StreamId id, http::ResponseHead&& head, bool end) override {
    Stream& s = alive(id);
    must(!s.final_head && head.status >= 100);
    check(head.fields);
    s.final_head = !head.informational() || head.status == 101;
    // A bodiless response states the length of what it leaves out.
    if (!end && !head_requests && head.status != 304) s.length = head.body;
    s.ended = end;
    compare(id, s, true);
    must(s.final_head || !end);
  }
  void on_data(StreamId id, std::span<const char> bytes, bool end) override {
    Stream& s = alive(id);
    s.received += bytes.size();
    s.ended = end;
    compare(id, s, false);
    if (s.length.kind == http::BodySize::Kind::known)
      must(s.received <= s.length.length && (!end || s.received == s.length.length));
    if (id % 4 == 1) {
      codec.consumed(id, bytes.size());
    } else {
      must(s.received <= limits().stream_window);
    }
  }
  void on_trailers(StreamId id, http::Fields&& trailers) override {
    Stream& s = alive(id);
    check(trailers);
    s.ended = true;
    compare(id, s, true);
  }
  void on_sent(StreamId id, std::size_t n) override { must(n > 0 && !streams_[id].closed); }
  void on_stream_closed(StreamId id, const base::Error&) override {
    Stream& s = streams_[id];
    must(!s.closed);
    s.closed = true;
    codec.send_data(id, std::span<const char>("late", 4), true);
    codec.reset(id, code::kCancel);
  }
  void on_settings() override {}
  void on_goaway(StreamId, std::uint32_t) override {}

  // Heads and trailers that came out; nothing for a request that was refused as a whole.
  std::optional<int> sections(StreamId id) const {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return 0;
    return found->second.refused ? std::nullopt : std::optional(found->second.sections);
  }

  Codec codec;

 private:
  struct Stream {
    http::BodySize length;
    std::uint64_t received = 0;
    int sections = 0;
    bool announced = false;
    bool final_head = false;
    bool ended = false;
    bool closed = false;
    bool refused = false;
  };

  bool begin(StreamId id) { return id % 2 == 1 && !std::exchange(streams_[id].announced, true); }
  Stream& alive(StreamId id) {
    Stream& s = streams_[id];
    must(!s.ended && !s.closed);
    return s;
  }
  void compare(StreamId id, Stream& s, bool section) {
    if (section) ++s.sections;
    if (witness == nullptr || !witness->attends()) return;
    const Witness::Stream& seen = (*witness)[id];
    must(s.sections <= seen.sections && s.received <= seen.octets && (!s.ended || seen.ended));
  }
  static void check(const http::Fields& fields) {
    fields.for_each([](const http::Fields::Field& f) {
      must(http::is_lower_field_name(f.name) && http::is_field_value(f.value));
      must(f.id != http::FieldId::connection && f.id != http::FieldId::transfer_encoding);
    });
  }
  void respond(StreamId id) {
    http::ResponseHead head;
    head.status = 200;
    const bool end = id % 4 == 3;
    codec.send_response(id, head, end);
    codec.send_data(id, std::span<const char>("body", 4), false);
    http::Fields trailers;
    trailers.add("grpc-status", "0");
    if (!end) codec.send_trailers(id, trailers);
    if (id % 8 == 7) codec.reset(id, code::kNoError);
  }

  std::map<StreamId, Stream> streams_;
};

// In pieces of `piece` octets (0: whole), pumping now and then.
inline void feed(Sink& sink, std::string_view input, std::size_t piece) {
  std::size_t round = 0;
  while (!input.empty()) {
    const std::size_t n = piece == 0 ? input.size() : std::min(piece, input.size());
    if (sink.witness != nullptr) sink.witness->hears(input.substr(0, n));
    const bool over = sink.codec.receive({input.data(), n}).has_error();
    if (++round % 3 == 0 || over) sink.pump();
    must(!over || sink.codec.failure());
    if (over) break;
    input.remove_prefix(n);
  }
  sink.pump();
  must(!sink.codec.failure() || !sink.codec.wants_write());
}

}  // namespace sallyport::http2::fuzz
