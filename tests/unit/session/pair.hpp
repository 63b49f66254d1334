// An upstream session and a client session of ours, wired to each other in memory, so that one
// suite drives both sides of both protocols. Bytes move when the test says so, in slices of the
// size it says, and a wire may be cut after any number of deliveries.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/net/loop.hpp"
#include "sallyport/session/client_session.hpp"
#include "sallyport/session/upstream_session.hpp"

namespace sallyport::session::test {

// One end of a wire.
class WireEnd final : public net::ByteStream {
 public:
  void start(Handler& handler) override { handler_ = &handler; }
  void pause() noexcept override { paused_ = true; }
  void resume() noexcept override { paused_ = false; }
  void write(std::span<const char> bytes) override {
    if (open_ && !finished_) out_.append(bytes.data(), bytes.size());
  }
  [[nodiscard]] std::size_t unwritten() const noexcept override { return out_.size(); }
  void finish() override { finished_ = true; }
  void close(bool abortive = false) noexcept override {
    if (!open_) return;
    open_ = false;
    aborted_ = abortive;
    out_.clear();
  }
  void idle() noexcept override { idle_ = true; }
  [[nodiscard]] bool is_open() const noexcept override { return open_; }
  [[nodiscard]] base::Error hang_up() noexcept override { return hung_up_; }
  [[nodiscard]] const net::Endpoint& peer() const noexcept override { return endpoint_; }
  [[nodiscard]] const net::Endpoint& local() const noexcept override { return endpoint_; }

  // What a socket would do: hands up to `most` bytes to the other end. False: nothing to do.
  bool deliver(WireEnd& to, std::size_t most) {
    if (!out_.empty() && !to.paused_) {
      const std::string slice = out_.substr(0, most);
      out_.erase(0, slice.size());
      if (to.open_) to.handler_->on_bytes(slice);
      if (open_) handler_->on_written(slice.size());
      return true;
    }
    if (ended_) return false;
    if (!open_ || (finished_ && out_.empty())) {
      ended_ = true;
      if (!to.open_) return false;
      if (aborted_) {
        to.handler_->on_closed(base::client_error(base::ErrorCode::reset));
      } else {
        to.handler_->on_eof();
      }
      return true;
    }
    return false;
  }
  [[nodiscard]] bool can_deliver(const WireEnd& to) const { return open_ && !out_.empty() && !to.paused_; }
  void cut() {
    if (!open_) return;
    open_ = false;
    ended_ = true;
    handler_->on_closed(base::client_error(base::ErrorCode::reset));
  }

  Handler* handler_ = nullptr;
  std::string out_;
  bool open_ = true;
  bool finished_ = false;
  bool aborted_ = false;
  bool ended_ = false;
  bool paused_ = false;
  bool idle_ = false;
  base::Error hung_up_;  // what a kernel would know

 private:
  net::Endpoint endpoint_;
};

// Writes down what a stream tells.
struct Log final : http::StreamReceiver {
  std::vector<std::uint16_t> informational;
  std::optional<std::uint16_t> status;
  std::string body;
  std::string trailer;  // the value of "x-sum"
  bool ended = false;
  std::optional<base::Error> error;
  std::optional<base::Error> broken;
  std::function<void(http::Stream&)> when_broken;
  std::size_t sent = 0;
  http::Stream* stream = nullptr;
  bool gives_credit = true;
  int after_end = 0;  // events that came when none should

  void on_response(http::ResponseHead&& head, bool end) override {
    if (ended || error) ++after_end;
    if (head.informational() && head.status != 101) {
      informational.push_back(head.status);
    } else {
      status = head.status;
    }
    ended = end;
  }
  void on_data(std::span<const char> bytes, bool end) override {
    if (ended || error) ++after_end;
    body.append(bytes.data(), bytes.size());
    if (gives_credit && stream != nullptr) stream->consumed(bytes.size());
    ended = end;
  }
  void on_trailers(http::Fields&& trailers) override {
    if (ended || error) ++after_end;
    trailer = trailers.find("x-sum").value_or("");
    ended = true;
  }
  void on_request_broken(const base::Error& e) override {
    if (ended || error || broken) ++after_end;
    broken = e;
    if (when_broken) when_broken(*stream);
  }
  void on_sent(std::size_t n) override { sent += n; }
  void on_error(const base::Error& e) override {
    if (error) ++after_end;
    error = e;
    stream = nullptr;
  }
};

struct Pair final : RequestHandler, ClientSession::Owner, UpstreamSession::Owner {
  struct Arrived {
    http::Stream* stream = nullptr;
    http::RequestHead head;
    bool end = false;
    std::optional<base::Error> bad;
    Log log;
  };

  explicit Pair(http::Version version, ClientLimits limits = {}, UpstreamLimits upstream_limits = {}) {
    auto server_end = std::make_unique<WireEnd>();
    auto client_end = std::make_unique<WireEnd>();
    at_server = server_end.get();
    at_client = client_end.get();
    const net::Loop::Turn turn(loop);
    ConnectionInfo info;
    info.tls = true;
    server = make_client_session({loop, std::move(server_end), std::move(info),
                                  std::make_shared<const ClientLimits>(limits), *this, *this},
                                 version);
    client = make_upstream_session(loop, std::move(client_end), version, upstream_limits, *this);
  }
  ~Pair() {
    const net::Loop::Turn turn(loop);
    if (server) server->abort(base::gateway_error(base::ErrorCode::draining));
    if (client) client->abort(base::gateway_error(base::ErrorCode::draining));
  }

  // What was posted runs, as it would in the loop.
  void poll() { loop.run_once(base::Milliseconds(0)); }
  // Runs f in a turn, then moves bytes until nothing moves.
  template <class F>
  void run(F&& f, std::size_t slice = 1 << 20) {
    {
      const net::Loop::Turn turn(loop);
      f();
    }
    poll();
    settle(slice);
  }
  void settle(std::size_t slice = 1 << 20) {
    for (std::size_t turn = 0; turn < 2'000'000; ++turn) {
      if (!step(slice)) return;
    }
  }
  bool step(std::size_t slice) {
    if (deliveries_left == 0) {
      deliveries_left = -1;
      const net::Loop::Turn turn(loop);
      at_server->cut();
      at_client->cut();
      return true;
    }
    poll();
    if (deliveries_left > 0) --deliveries_left;
    bool moved = false;
    {
      const net::Loop::Turn turn(loop);
      if (server_alive() || at_client->open_) moved = at_client->deliver(*at_server, slice) || moved;
    }
    {
      const net::Loop::Turn turn(loop);
      moved = at_server->deliver(*at_client, slice) || moved;
    }
    poll();
    return moved || at_server->can_deliver(*at_client) || at_client->can_deliver(*at_server);
  }
  // Lets so much time pass for every timer.
  void wait(base::Milliseconds time) {
    {
      const net::Loop::Turn turn(loop);
      loop.skip(time);
    }
    poll();
    settle();
  }
  [[nodiscard]] bool server_alive() const { return !server_closed; }

  // Opens a stream with its log attached.
  http::Stream& open(Log& log) {
    http::Stream* stream = client->open_stream();
    if (stream == nullptr) throw std::runtime_error("no stream");
    log.stream = stream;
    stream->attach(&log);
    return *stream;
  }

  // RequestHandler
  void on_request(ClientSession&, http::Stream& stream, http::RequestHead&& head, bool end) override {
    auto& a = arrived.emplace_back();
    a.stream = &stream;
    a.head = std::move(head);
    a.end = end;
    a.log.stream = &stream;
    a.log.ended = end;
    stream.attach(&a.log);
    if (on_arrival) on_arrival(a);
  }
  void on_bad_request(ClientSession&, http::Stream& stream, const base::Error& error) override {
    auto& a = arrived.emplace_back();
    a.stream = &stream;
    a.bad = error;
    a.end = true;
    a.log.stream = &stream;
    stream.attach(&a.log);
    if (on_arrival) on_arrival(a);
  }
  void on_session_closed(ClientSession&, ClosedBy by) override {
    server_closed = by;
    parked_.push_back(std::move(server));
  }
  void on_h2_flood(ClientSession&, http2::Flood kind) override { flood = kind; }
  void on_h2_flood(http2::Flood kind) override { flood = kind; }
  // Of both sides.
  void on_h2_reset(bool sent, std::uint32_t code) override {
    if (sent) resets.push_back(code);
  }
  void on_slow_client(bool reading) override { (reading ? slow_readers : slow_senders) += 1; }
  void on_h2_goaway(bool sent, std::uint32_t) override { goaways += sent ? 1 : 0; }
  void on_session_changed(UpstreamSession&) override { ++changes; }
  void on_session_closed(UpstreamSession&, const base::Error& error) override {
    client_closed = error;
    parked_.push_back(std::move(client));
  }

  net::Loop loop;
  WireEnd* at_server;
  WireEnd* at_client;
  std::unique_ptr<ClientSession> server;
  std::unique_ptr<UpstreamSession> client;
  std::deque<Arrived> arrived;
  std::function<void(Arrived&)> on_arrival;
  std::optional<ClosedBy> server_closed;
  int slow_readers = 0, slow_senders = 0;
  std::optional<base::Error> client_closed;
  std::optional<http2::Flood> flood;
  std::vector<std::uint32_t> resets;
  int goaways = 0;
  int changes = 0;
  int deliveries_left = -1;  // then the wire is cut; -1: never

 private:
  // Dead sessions, and with them their ends of the wire, stay until the test is over.
  std::vector<std::unique_ptr<net::Reapable>> parked_;
};

inline http::RequestHead request(std::string_view method, std::string_view target, http::BodySize body = {}) {
  http::RequestHead head;
  head.set_method(method);
  head.set_scheme("https");
  head.set_authority("example.com");
  head.set_target(target);
  head.body = body;
  head.trailers_ok = true;
  return head;
}

inline http::ResponseHead response(std::uint16_t status, http::BodySize body = {}) {
  http::ResponseHead head;
  head.status = status;
  head.body = body;
  return head;
}

inline constexpr http::BodySize kUnknown{http::BodySize::Kind::unknown, 0};
inline http::BodySize known(std::size_t n) {
  return {http::BodySize::Kind::known, n};
}

}  // namespace sallyport::session::test
