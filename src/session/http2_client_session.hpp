// A client's HTTP/2 connection: streams in, exchanges out, and a drain in two phases.
//
// Owned by the worker, one thread. The drain (RFC 9113 §6.8): a notice that no new streams
// should be opened, then, when the client has seen it (PING) or after a second, the last id that
// is served; what runs ends in its own time.
#pragma once

#include "sallyport/session/client_session.hpp"

#include "http2_session.hpp"

namespace sallyport::session {

class Http2ClientSession final : public ClientSession, private Http2Session, private net::Wake {
 public:
  explicit Http2ClientSession(ClientSessionParts parts);

  void start();

  [[nodiscard]] const ConnectionInfo& info() const noexcept override { return info_; }
  [[nodiscard]] http::Version version() const noexcept override { return http::Version::http2; }
  [[nodiscard]] std::size_t active() const noexcept override { return borrowed(); }
  [[nodiscard]] bool draining() const noexcept override { return draining_; }
  void drain() override { drain_for(ClosedBy::drain); }
  void abort(const base::Error& why) override;

 private:
  // net::ByteStream::Handler
  void on_bytes(std::span<const char> bytes) override;
  void on_eof() override;
  void on_written(std::size_t n) override;
  void on_closed(const base::Error& error) override;

  // http2::Codec::Events
  void on_request(http2::StreamId id, http::RequestHead&& head, bool end) override;
  void on_bad_request(http2::StreamId id, const base::Error& error) override;
  void on_response(http2::StreamId, http::ResponseHead&&, bool) override {}  // not on this side
  void on_settings() override {}
  void on_goaway(http2::StreamId last, std::uint32_t code) override;
  void on_ping_ack() override;
  void on_flood(http2::Flood flood) override;
  void on_reset(bool sent, std::uint32_t code) override { owner_.on_h2_reset(sent, code); }
  void on_goaway_sent(std::uint32_t code) override { owner_.on_h2_goaway(true, code); }

  // Http2Session
  void on_streams_changed() override;
  void on_connection_over(const base::Error& error) override;
  void on_too_slow(bool reading) override { owner_.on_slow_client(reading); }

  void on_wake() override;
  enum class Waiting : std::uint8_t { nothing, preface, quiet, idle, drain_notice, linger };
  void wait_for(Waiting what);
  void on_timer();
  void on_slow_head();
  void on_age() { drain_for(ClosedBy::max_age); }
  void drain_for(ClosedBy by);
  void final_goaway();
  void end_when_drained();
  void close_now(ClosedBy by, bool abortive);

  ConnectionInfo info_;
  std::shared_ptr<const ClientLimits> limits_;
  RequestHandler& handler_;
  Owner& owner_;
  ClosedBy closed_by_ = ClosedBy::peer;
  Waiting waiting_ = Waiting::nothing;
  http2::StreamId slow_head_ = 0;  // what head_timer_ runs for
  bool draining_ = false;
  bool goaway_sent_ = false;
  bool reported_ = false;
  net::MemberTimer<Http2ClientSession, &Http2ClientSession::on_timer> timer_{*this};
  net::MemberTimer<Http2ClientSession, &Http2ClientSession::on_age> age_timer_{*this};
  net::MemberTimer<Http2ClientSession, &Http2ClientSession::on_slow_head> head_timer_{*this};
};

}  // namespace sallyport::session
