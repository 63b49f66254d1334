// A codec with its eyes open, two of them joined in memory, and frames made by hand.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/http2/codec.hpp"

namespace sallyport::http2::testing {

using namespace std::string_literals;

// What arrived on one stream.
struct Seen {
  http::RequestHead request;
  std::vector<http::ResponseHead> responses;
  std::string body;
  std::optional<http::Fields> trailers;
  std::optional<base::Error> bad;
  std::optional<base::Error> closed;
  std::size_t sent = 0;
  bool announced = false;
  bool end = false;
};

class Endpoint final : public Codec::Events {
 public:
  explicit Endpoint(Side side, const Settings& settings = {}) : codec(side, settings, *this) {}

  // Hooks run within the event.
  std::function<void(StreamId)> on_head_hook;
  std::function<void(StreamId, std::string_view)> on_data_hook;
  std::function<void(StreamId)> on_sent_hook;
  bool consume = true;  // give the stream's window back at once

  std::map<StreamId, Seen> streams;
  std::vector<StreamId> data_order;  // which stream each on_data was for
  std::vector<std::pair<StreamId, std::uint32_t>> goaways;
  std::vector<std::pair<bool, std::uint32_t>> resets;
  std::vector<std::uint32_t> goaways_sent;
  std::vector<Flood> floods;
  int settings_seen = 0;
  int ping_acks = 0;

  Codec codec;

  void on_request(StreamId id, http::RequestHead&& head, bool end) override {
    Seen& s = streams[id];
    s.announced = true;
    s.request = std::move(head);
    s.end = end;
    if (on_head_hook) on_head_hook(id);
  }
  void on_bad_request(StreamId id, const base::Error& error) override {
    streams[id].announced = true;
    streams[id].bad = error;
    if (on_head_hook) on_head_hook(id);
  }
  void on_response(StreamId id, http::ResponseHead&& head, bool end) override {
    streams[id].responses.push_back(std::move(head));
    streams[id].end = end;
    if (on_head_hook) on_head_hook(id);
  }
  void on_data(StreamId id, std::span<const char> bytes, bool end) override {
    Seen& s = streams[id];
    s.body.append(bytes.data(), bytes.size());
    s.end = end;
    data_order.push_back(id);
    if (consume) codec.consumed(id, bytes.size());
    if (on_data_hook) on_data_hook(id, {bytes.data(), bytes.size()});
  }
  void on_trailers(StreamId id, http::Fields&& trailers) override {
    streams[id].trailers = std::move(trailers);
    streams[id].end = true;
  }
  void on_sent(StreamId id, std::size_t n) override {
    streams[id].sent += n;
    if (on_sent_hook) on_sent_hook(id);
  }
  void on_stream_closed(StreamId id, const base::Error& error) override { streams[id].closed = error; }
  void on_settings() override { ++settings_seen; }
  void on_goaway(StreamId last, std::uint32_t h2_code) override { goaways.emplace_back(last, h2_code); }
  void on_ping_ack() override { ++ping_acks; }
  void on_flood(Flood flood) override { floods.push_back(flood); }
  void on_reset(bool sent, std::uint32_t h2_code) override { resets.emplace_back(sent, h2_code); }
  void on_goaway_sent(std::uint32_t h2_code) override { goaways_sent.push_back(h2_code); }

  [[nodiscard]] std::string pull(std::size_t limit = 64 * 1024) {
    std::string all;
    for (;;) {
      base::Buffer out;
      const bool more = codec.pump(out, limit);
      all.append(out.view());
      if (!more || out.empty()) return all;
    }
  }
  base::Result<void> give(std::string_view bytes, std::size_t piece = std::string_view::npos) {
    while (!bytes.empty()) {
      const std::size_t n = std::min(piece, bytes.size());
      if (auto r = codec.receive({bytes.data(), n}); r.has_error()) return r;
      bytes.remove_prefix(n);
    }
    return {};
  }
};

// A server (towards the client) and a client (towards an upstream), joined.
struct Pair {
  explicit Pair(const Settings& server_settings = {}, const Settings& client_settings = {})
      : server(Side::client, server_settings), client(Side::upstream, client_settings) {}
  Endpoint server;
  Endpoint client;

  // Until neither has anything to say.
  void run(std::size_t piece = std::string_view::npos) {
    for (;;) {
      const std::string up = client.pull();
      const std::string down = server.pull();
      if (up.empty() && down.empty()) return;
      (void)server.give(up, piece);
      (void)client.give(down, piece);
    }
  }
};

inline http::RequestHead get(std::string_view target = "/") {
  http::RequestHead head;
  head.set_method("GET");
  head.set_scheme("https");
  head.set_authority("example.com");
  head.set_target(target);
  return head;
}
inline http::RequestHead post(std::optional<std::uint64_t> length = {}) {
  http::RequestHead head = get();
  head.set_method("POST");
  head.body = length ? http::BodySize{http::BodySize::Kind::known, *length}
                     : http::BodySize{http::BodySize::Kind::unknown, 0};
  return head;
}
inline http::ResponseHead response(std::uint16_t status, std::optional<std::uint64_t> length = {}) {
  http::ResponseHead head;
  head.status = status;
  if (length) head.body = {http::BodySize::Kind::known, *length};
  return head;
}
inline std::span<const char> bytes(std::string_view text) {
  return {text.data(), text.size()};
}

// ---- Frames by hand -----------------------------------------------------------------------------

enum Type : std::uint8_t {
  kData,
  kHeaders,
  kPriority,
  kRstStream,
  kSettings,
  kPushPromise,
  kPing,
  kGoaway,
  kWindowUpdate,
  kContinuation
};
enum Flag : std::uint8_t { kNone = 0, kEndStream = 1, kAck = 1, kEndHeaders = 4, kPadded = 8 };

inline std::string u32(std::uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}
inline std::string frame(unsigned type, unsigned flags, StreamId id, std::string_view payload = {}) {
  std::string f = u32(static_cast<std::uint32_t>(payload.size())).substr(1);
  f += static_cast<char>(type);
  f += static_cast<char>(flags);
  f += u32(static_cast<std::uint32_t>(id));
  return f.append(payload);
}
inline std::string hpack_length(std::size_t n) {
  if (n < 127) return std::string(1, static_cast<char>(n));
  std::string s(1, '\x7f');
  for (n -= 127; n >= 128; n /= 128) s += static_cast<char>(n % 128 + 128);
  return s += static_cast<char>(n);
}
using FieldLines = std::vector<std::pair<std::string, std::string>>;
// Literal fields without indexing, new names.
inline std::string hpack(const FieldLines& lines) {
  std::string block;
  for (const auto& [name, value] : lines)
    block += '\0' + hpack_length(name.size()) + name + hpack_length(value.size()) + value;
  return block;
}
inline FieldLines request_lines(FieldLines more = {}, std::string method = "GET", std::string path = "/") {
  FieldLines lines = {{":method", std::move(method)},
                      {":scheme", "https"},
                      {":authority", "example.com"},
                      {":path", std::move(path)}};
  lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}
inline std::string headers(StreamId id, const FieldLines& lines, bool end = true) {
  return frame(kHeaders, kEndHeaders | (end ? kEndStream : kNone), id, hpack(lines));
}
inline std::string client_start() {
  return std::string(kClientPreface) + frame(kSettings, kNone, 0);
}
inline std::string server_start() {
  return frame(kSettings, kNone, 0) + frame(kSettings, kAck, 0);
}

struct Frame {
  unsigned type;
  unsigned flags;
  StreamId id;
  std::string payload;
  [[nodiscard]] std::uint32_t word(std::size_t at) const {
    std::uint32_t v = 0;
    for (std::size_t i = at; i < at + 4; ++i) v = v << 8 | static_cast<unsigned char>(payload.at(i));
    return v;
  }
};
inline std::vector<Frame> frames(std::string_view stream) {
  if (stream.substr(0, kClientPreface.size()) == kClientPreface) stream.remove_prefix(kClientPreface.size());
  const auto octet = [&](std::size_t i) {
    return static_cast<unsigned>(static_cast<unsigned char>(stream[i]));
  };
  std::vector<Frame> all;
  while (stream.size() >= 9) {
    const std::size_t length = octet(0) << 16 | octet(1) << 8 | octet(2);
    const auto id = static_cast<StreamId>(octet(5) << 24 | octet(6) << 16 | octet(7) << 8 | octet(8));
    all.push_back({octet(3), octet(4), id, std::string(stream.substr(9, length))});
    stream.remove_prefix(9 + length);
  }
  return all;
}
// The first frame of a type on a stream.
inline std::optional<Frame> find(const std::vector<Frame>& all, unsigned type, StreamId id) {
  for (const Frame& f : all) {
    if (f.type == type && f.id == id) return f;
  }
  return {};
}
// The code of the RST_STREAM among what was pulled.
inline std::optional<std::uint32_t> reset_code(std::string_view pulled, StreamId id) {
  const auto f = find(frames(pulled), kRstStream, id);
  return f ? std::optional(f->word(0)) : std::nullopt;
}

}  // namespace sallyport::http2::testing
