// One request and its response, end to end: the coroutine that decides, and the pipes that carry.
//
// Owned by the worker's Proxy from the request's head until both sides have let go; one thread.
// It borrows the client's stream and leases an upstream's. life() reads from top to bottom:
// route, filters, lease, send, answer or retry, record. Everything else here is what happens
// meanwhile, told by the two streams and the deadline, and ends in changed_.raise().
#pragma once

#include <optional>

#include "sallyport/base/intrusive_list.hpp"
#include "sallyport/base/task.hpp"
#include "sallyport/http/stream.hpp"
#include "sallyport/net/signal.hpp"
#include "sallyport/proxy/body_pipe.hpp"
#include "sallyport/proxy/cf_risk.hpp"
#include "sallyport/proxy/proxy.hpp"
#include "sallyport/proxy/reply_table.hpp"
#include "sallyport/upstream/lease.hpp"

namespace sallyport::proxy {

struct ExchangeTag;

class Exchange final : public net::Reapable, public base::ListHook<ExchangeTag> {
 public:
  Exchange(Proxy& proxy, session::ClientSession& session, http::Stream& client);
  ~Exchange() override;

  // Runs to the first wait. `head` gets recycled memory in return.
  void begin(http::RequestHead&& head, bool end);
  // The request could not be read: answers.
  void refuse(const base::Error& error);

 private:
  friend class Proxy;
  // Both streams talk to one object each, which says which side it is.
  class ClientSide final : public http::StreamReceiver {
   public:
    explicit ClientSide(Exchange& exchange) noexcept : exchange_(exchange) {}
    void on_response(http::ResponseHead&&, bool) override {}
    void on_data(std::span<const char> bytes, bool end) override { exchange_.client_data(bytes, end); }
    void on_trailers(http::Fields&& trailers) override { exchange_.client_trailers(std::move(trailers)); }
    void on_request_broken(const base::Error& error) override { exchange_.give_up(error); }
    void on_sent(std::size_t n) override { exchange_.client_took(n); }
    void on_error(const base::Error& error) override { exchange_.client_failed(error); }

   private:
    Exchange& exchange_;
  };
  class UpstreamSide final : public http::StreamReceiver {
   public:
    explicit UpstreamSide(Exchange& exchange) noexcept : exchange_(exchange) {}
    void on_response(http::ResponseHead&& head, bool end) override {
      exchange_.upstream_response(std::move(head), end);
    }
    void on_data(std::span<const char> bytes, bool end) override { exchange_.upstream_data(bytes, end); }
    void on_trailers(http::Fields&& trailers) override { exchange_.upstream_trailers(std::move(trailers)); }
    void on_sent(std::size_t n) override { exchange_.upstream_took(n); }
    void on_error(const base::Error& error) override { exchange_.upstream_failed(error); }

   private:
    Exchange& exchange_;
  };

  base::Task<> life();

  // The decisions, in life()'s order.
  [[nodiscard]] bool decide();
  [[nodiscard]] bool admit(const RouteEntry& route);
  [[nodiscard]] bool misdirected();
  [[nodiscard]] bool clean_path();
  [[nodiscard]] bool clean_fields();
  // exchange_client.cpp
  [[nodiscard]] bool know_client();
  void believe();
  [[nodiscard]] bool pulled_by_cloudflare(const config::OriginPull& pull) const;
  void disbelieve();
  [[nodiscard]] CfRisk cf_risk() const noexcept;
  void ask();
  void send_request();
  [[nodiscard]] bool try_again();
  void respond();
  void stamp(http::ResponseHead& head) const;
  void tend();
  [[nodiscard]] bool finished() const noexcept;
  void close();
  void record();
  void write_access_log(base::Duration took, CfRisk risk);
  void record_upstream(const obs::UpstreamMetrics& metrics);

  // Replies of our own.
  void reply(const Answer& answer);
  void reply(std::uint16_t status, Reason reason, std::string_view body, const config::HeaderList* headers);
  void add_proxy_status();
  void redirect(const config::Redirect& redirect);
  void redirect_to_https(const config::Listener& listener);
  void redirect_to(std::uint16_t status, std::string_view location);

  // WebSocket between versions (tunnel.cpp).
  void prepare_tunnel(http::Version towards);
  [[nodiscard]] bool accept_tunnel();

  void client_data(std::span<const char> bytes, bool end);
  void client_trailers(http::Fields&& trailers);
  void client_took(std::size_t n);
  void client_failed(const base::Error& error);
  void upstream_response(http::ResponseHead&& head, bool end);
  void upstream_data(std::span<const char> bytes, bool end);
  void upstream_trailers(http::Fields&& trailers);
  void upstream_took(std::size_t n);
  void upstream_failed(const base::Error& failure);

  void give_up(const base::Error& error);
  void drop_upstream(const base::Error& why, upstream::Outcome outcome) noexcept;
  [[nodiscard]] bool client_has_all() const noexcept;
  void watch_request();
  void watch(base::Milliseconds idle);
  // exchange_upload.cpp
  void watch_upload();
  void on_upload_stall();
  void on_deadline();
  void on_total();
  [[nodiscard]] filter::Context filter_context() const noexcept;
  [[nodiscard]] std::size_t body_limit() const noexcept;
  [[nodiscard]] bool lease_settled() const noexcept {
    return request_->done() || error_ || client_ == nullptr;
  }
  [[nodiscard]] bool answered() const noexcept { return response_arrived_ || error_ || client_ == nullptr; }
  [[nodiscard]] base::Milliseconds idle_timeout() const noexcept;
  [[nodiscard]] const RouteEntry& route() const noexcept { return *route_; }
  [[nodiscard]] obs::PeerKind peer_kind() const noexcept {
    return static_cast<obs::PeerKind>(session_.info().peer_kind);
  }
  // As we believe it to be.
  [[nodiscard]] std::string_view client_text() const noexcept {
    return told_ ? std::string_view(told_->text) : session_.info().peer_text;
  }

  // The client, as a trusted peer told it.
  struct ToldClient {
    net::Endpoint endpoint;  // with the peer's port
    std::string text;        // the address
  };

  Proxy& proxy_;
  session::ClientSession& session_;
  http::Stream* client_;  // nullptr: gone, or given back
  SnapshotRef snapshot_;
  const RouteEntry* route_;
  std::uint32_t listener_ = Snapshot::kNoListener;
  ClientSide client_side_{*this};
  UpstreamSide upstream_side_{*this};
  http::RequestHead head_;
  http::Fields::Slice asked_authority_, asked_target_;  // of head_, before any rewrite
  http::ResponseHead response_;
  BodyPipe up_;
  BodyPipe down_;
  net::Signal changed_;
  std::optional<upstream::LeaseRequest> request_;
  upstream::Lease lease_;
  base::Error error_;  // what ended the present try, and at last the exchange
  base::ErrorCode retried_for_ = base::ErrorCode::none;  // what ended the try before
  std::string websocket_key_;
  std::optional<ToldClient> told_;
  std::string_view visitor_scheme_;  // likewise; static text
  char request_id_[32];

  base::Instant begun_;
  base::WallTime begun_wall_;
  base::Instant request_sent_{};
  std::optional<base::Duration> first_byte_;
  std::optional<base::Duration> upstream_first_byte_;
  base::Duration connect_time_{-1};
  std::uint16_t status_ = 0;           // sent to the client
  std::uint16_t upstream_status_ = 0;  // received
  Reason reason_ = Reason::none;
  bool response_arrived_ = false;  // the upstream's final head
  bool response_end_ = false;      // … which was all
  bool response_begun_ = false;    // anything of a response was passed on
  bool head_sent_ = false;         // a final head went to the client
  bool cut_off_ = false;           // the client did not get a whole response
  bool reused_ = false;
  bool fresh_ = false;  // the next try wants a connection that was never idle
  bool tunnel_ = false;
  bool conversation_ = false;  // gRPC: the client may pause within its request
  net::MemberTimer<Exchange, &Exchange::on_deadline> deadline_{*this};
  net::MemberTimer<Exchange, &Exchange::on_total> total_{*this};
  net::MemberTimer<Exchange, &Exchange::on_upload_stall> upload_stall_{*this};
  base::Task<> life_;
};

}  // namespace sallyport::proxy
