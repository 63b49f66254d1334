// HTTP/2 as an origin, over nghttp2. One thread a connection: it reads, pumps the session and
// waits for the next byte or the next stream that has something to send.
#include <array>
#include <functional>
#include <map>

#include <nghttp2/nghttp2.h>

#include "digest.hpp"
#include "protocols.hpp"

namespace sallyport::demo {
namespace {

constexpr std::int32_t kStreamWindow = 1024 * 1024;
constexpr std::int32_t kConnectionWindow = 16 * 1024 * 1024;
constexpr std::size_t kOutput = 256 * 1024;

struct Stream {
  std::int32_t id = 0;
  Request request;
  Digest digest;
  bool head_done = false;
  bool answered = false;
  std::size_t held = 0;                  // received bytes whose credit waits for `open_at`
  Clock::time_point open_at{};           // until then the body counts as unread
  std::optional<Clock::time_point> due;  // when to look at this stream again
  Reply reply;
  bool sent_all = false;
};

std::vector<nghttp2_nv> views_of(const Fields& fields) {
  std::vector<nghttp2_nv> views;
  for (const auto& field : fields) {
    // nghttp2 takes no const, and copies.
    const auto* name = reinterpret_cast<const std::uint8_t*>(field.name.data());
    const auto* value = reinterpret_cast<const std::uint8_t*>(field.value.data());
    views.push_back({const_cast<std::uint8_t*>(name), const_cast<std::uint8_t*>(value), field.name.size(),
                     field.value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  return views;
}

class Connection {
 public:
  Connection(Wire& wire, Stats& stats, std::uint32_t max_streams) : wire_(wire), stats_(stats) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, &on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &on_close);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, 1024 * 1024);
    nghttp2_session* session = nullptr;
    nghttp2_session_server_new2(&session, callbacks, this, option);
    session_.reset(session);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);

    const std::array<nghttp2_settings_entry, 2> settings{
        nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow}};
    nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  }

  // What the peer left unfinished counts as canceled.
  ~Connection() {
    for (const auto& entry : streams_) {
      if (!entry.second.sent_all) ++stats_.canceled;
    }
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void run() {
    for (;;) {
      const bool more = read_some();
      run_due();
      pump();
      if (output_.empty() && nghttp2_session_want_read(session_.get()) == 0 &&
          nghttp2_session_want_write(session_.get()) == 0) {
        break;
      }
      if (ended_) throw Gone("the peer ended");
      if (!more) wire_.wait(!output_.empty(), next_due());
    }
    wire_.linger();
  }

 private:
  static Connection& self(void* user) { return *static_cast<Connection*>(user); }

  // Reads what is there, within bounds; true if there may be more.
  bool read_some() {
    std::array<char, 65536> block{};
    for (int turn = 0; turn < 8; ++turn) {
      const auto n = wire_.try_read(block);
      if (!n) return false;
      if (*n == 0) {
        ended_ = true;
        return false;
      }
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(block.data());
      if (nghttp2_session_mem_recv(session_.get(), bytes, *n) < 0) throw Gone("HTTP/2 protocol error");
    }
    return true;
  }

  void pump() {
    for (;;) {
      while (output_.size() < kOutput) {
        const std::uint8_t* bytes = nullptr;
        const auto n = nghttp2_session_mem_send(session_.get(), &bytes);
        if (n < 0) throw Gone("nghttp2 cannot send");
        if (n == 0) break;
        output_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
      }
      if (output_.empty()) return;
      const std::size_t sent = wire_.try_write(output_);
      output_.erase(0, sent);
      if (sent == 0) return;
    }
  }

  [[nodiscard]] std::optional<Clock::time_point> next_due() const {
    std::optional<Clock::time_point> first;
    for (const auto& entry : streams_) {
      if (entry.second.due && (!first || *entry.second.due < *first)) first = entry.second.due;
    }
    return first;
  }

  void run_due() {
    const auto now = Clock::now();
    for (auto& [id, stream] : streams_) {
      if (!stream.due || *stream.due > now) continue;
      stream.due.reset();
      if (stream.held > 0) {
        nghttp2_session_consume_stream(session_.get(), id, stream.held);
        stream.held = 0;
      }
      if (!stream.answered && stream.reply.delay.count() > 0) {
        send_reply(stream);
      } else if (stream.sent_all && stream.reply.end == Reply::End::reset) {
        nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
      } else if (stream.answered) {
        nghttp2_session_resume_data(session_.get(), id);
      }
    }
  }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      Stream& stream = self(user).streams_[frame->hd.stream_id];
      stream.id = frame->hd.stream_id;
      stream.request.version = "HTTP/2";
    }
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_length, const std::uint8_t* value, std::size_t value_length,
                       std::uint8_t, void* user) {
    const auto found = self(user).streams_.find(frame->hd.stream_id);
    if (found == self(user).streams_.end()) return 0;
    Request& request = found->second.request;
    Field field{std::string(reinterpret_cast<const char*>(name), name_length),
                std::string(reinterpret_cast<const char*>(value), value_length)};
    if (found->second.head_done) {
      request.trailers.push_back(std::move(field));
    } else if (field.name == ":method") {
      request.method = field.value;
    } else if (field.name == ":path") {
      request.target = field.value;
    } else if (field.name == ":authority") {
      request.authority = field.value;
    } else if (!field.name.starts_with(':')) {
      request.fields.push_back(std::move(field));
    }
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Connection& connection = self(user);
    const auto found = connection.streams_.find(frame->hd.stream_id);
    if (found == connection.streams_.end()) return 0;
    Stream& stream = found->second;
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !stream.head_done) connection.on_head(stream);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && end)
      connection.on_end(stream);
    return 0;
  }

  static int on_data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                     std::size_t length, void* user) {
    Connection& connection = self(user);
    nghttp2_session_consume_connection(session, length);
    const auto found = connection.streams_.find(id);
    if (found == connection.streams_.end()) return 0;
    Stream& stream = found->second;
    stream.digest.add({reinterpret_cast<const char*>(bytes), length});
    connection.stats_.body_bytes += length;
    if (Clock::now() < stream.open_at) {
      stream.held += length;
      stream.due = stream.open_at;
    } else {
      nghttp2_session_consume_stream(session, id, length);
    }
    return 0;
  }

  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
    Connection& connection = self(user);
    const auto found = connection.streams_.find(id);
    if (found == connection.streams_.end()) return 0;
    if (error != NGHTTP2_NO_ERROR && found->second.reply.end == Reply::End::clean &&
        !found->second.sent_all) {
      ++connection.stats_.canceled;
    }
    connection.streams_.erase(found);
    return 0;
  }

  void on_head(Stream& stream) {
    stream.head_done = true;
    ++stats_.requests;
    stream.open_at = Clock::now() + pause_before_body(stream.request);
    if (answers_early(stream.request)) {
      stream.reply = answer(stream.request, wire_, stats_);
      send_reply(stream);
    } else if (stream.request.field("expect") == "100-continue") {
      submit(stream, {{":status", "100"}}, NGHTTP2_FLAG_NONE);
    }
  }

  void on_end(Stream& stream) {
    if (stream.answered) return;
    stream.digest.finish(stream.request);
    stream.reply = answer(stream.request, wire_, stats_);
    if (stream.reply.delay.count() > 0) {
      stream.due = Clock::now() + stream.reply.delay;
    } else {
      send_reply(stream);
    }
  }

  void submit(const Stream& stream, const Fields& fields, std::uint8_t flags) {
    const auto views = views_of(fields);
    nghttp2_submit_headers(session_.get(), flags, stream.id, nullptr, views.data(), views.size(), nullptr);
  }

  void send_reply(Stream& stream) {
    stream.answered = true;
    Reply& reply = stream.reply;
    if (reply.last)
      nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_NO_ERROR, nullptr, 0);
    if (!reply.head) {
      nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_INTERNAL_ERROR);
      return;
    }
    for (const auto& hints : reply.early_hints) {
      Fields fields{{":status", "103"}};
      fields.insert(fields.end(), hints.begin(), hints.end());
      submit(stream, fields, NGHTTP2_FLAG_NONE);
    }
    Fields fields{{":status", std::to_string(reply.status)}};
    fields.insert(fields.end(), reply.fields.begin(), reply.fields.end());
    if (reply.length) fields.push_back({"content-length", std::to_string(*reply.length)});
    const auto views = views_of(fields);
    const bool empty = reply.body == nullptr || stream.request.method == "HEAD";
    nghttp2_data_provider provider{};
    provider.read_callback = &on_pull;
    stream.sent_all = empty;
    nghttp2_submit_response(session_.get(), stream.id, views.data(), views.size(),
                            empty ? nullptr : &provider);
  }

  static ssize_t on_pull(nghttp2_session* session, std::int32_t id, std::uint8_t* out, std::size_t room,
                         std::uint32_t* flags, nghttp2_data_source*, void* user) {
    Connection& connection = self(user);
    const auto found = connection.streams_.find(id);
    if (found == connection.streams_.end()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    Stream& stream = found->second;
    if (stream.due && *stream.due > Clock::now()) return NGHTTP2_ERR_DEFERRED;
    if (stream.sent_all) return NGHTTP2_ERR_DEFERRED;  // the reset comes next
    const Body::Pull pulled = stream.reply.body->pull({reinterpret_cast<char*>(out), room});
    if (pulled.pause.count() > 0) stream.due = Clock::now() + pulled.pause;
    if (!pulled.end) return static_cast<ssize_t>(pulled.bytes);
    stream.sent_all = true;
    if (stream.reply.end == Reply::End::reset) {
      stream.due = Clock::now() + kBeforeReset;
      return static_cast<ssize_t>(pulled.bytes);
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream.reply.trailers.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const auto views = views_of(stream.reply.trailers);
      nghttp2_submit_trailer(session, id, views.data(), views.size());
    }
    return static_cast<ssize_t>(pulled.bytes);
  }

  Wire& wire_;
  Stats& stats_;
  std::map<std::int32_t, Stream> streams_;
  std::unique_ptr<nghttp2_session, decltype(&nghttp2_session_del)> session_{nullptr, nghttp2_session_del};
  std::string output_;
  bool ended_ = false;
};

}  // namespace

void serve_http2(Wire& wire, Stats& stats, std::uint32_t max_streams) {
  Connection connection(wire, stats, max_streams);
  connection.run();
}

}  // namespace sallyport::demo
