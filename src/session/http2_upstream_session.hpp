// A connection to an HTTP/2 upstream: as many exchanges at once as its SETTINGS allow.
//
// Owned by its pool, one thread. A GOAWAY stops the lending and lets what runs end; streams above
// its last id fail as stream_refused, provably unprocessed.
#pragma once

#include "sallyport/session/upstream_session.hpp"

#include "http2_session.hpp"

namespace sallyport::session {

class Http2UpstreamSession final : public UpstreamSession, private Http2Session, private net::Wake {
 public:
  Http2UpstreamSession(net::Loop& loop, std::unique_ptr<net::ByteStream> connection,
                       const UpstreamLimits& limits, Owner& owner);

  void start();

  [[nodiscard]] http::Stream* open_stream() override;
  [[nodiscard]] bool settled() const noexcept override { return settled_; }
  [[nodiscard]] std::size_t capacity() const noexcept override;
  [[nodiscard]] std::size_t active() const noexcept override { return borrowed(); }
  [[nodiscard]] bool usable() const noexcept override { return !over_ && !ending_; }
  [[nodiscard]] http::Version version() const noexcept override { return http::Version::http2; }
  [[nodiscard]] bool takes_websocket() const noexcept override { return codec_.peer_connect_protocol(); }
  [[nodiscard]] std::uint64_t served() const noexcept override { return served_; }
  [[nodiscard]] base::Seconds idle_hint() const noexcept override { return base::Seconds{0}; }
  void shutdown() override;
  void abort(const base::Error& why) override;

 private:
  // http2::Codec::Events
  void on_request(http2::StreamId, http::RequestHead&&, bool) override {}  // not on this side
  void on_bad_request(http2::StreamId, const base::Error&) override {}     // not on this side
  void on_response(http2::StreamId id, http::ResponseHead&& head, bool end) override;
  void on_settings() override;
  void on_goaway(http2::StreamId last, std::uint32_t code) override;
  void on_flood(http2::Flood flood) override { owner_.on_h2_flood(flood); }
  void on_reset(bool sent, std::uint32_t code) override { owner_.on_h2_reset(sent, code); }
  void on_goaway_sent(std::uint32_t code) override { owner_.on_h2_goaway(true, code); }

  // Http2Session
  void on_streams_changed() override;
  void on_connection_over(const base::Error& error) override;
  void on_body_refused() override;

  void on_wake() override;
  void on_quiet() {
    if (borrowed() == 0) go_quiet();
  }
  void close_now(const base::Error& why, bool abortive);

  Owner& owner_;
  std::uint32_t max_streams_;
  bool settled_ = false;
  bool ending_ = false;
  bool reported_ = false;
  base::Error close_reason_;
  net::MemberTimer<Http2UpstreamSession, &Http2UpstreamSession::on_quiet> quiet_timer_{*this};
};

}  // namespace sallyport::session
