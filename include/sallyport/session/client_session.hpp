// One connection from a client, as the proxy sees it: something that brings requests.
//
// Made by the worker on an accepted connection (after the TLS handshake, if any), owned by the
// worker's session list. Requests arrive at the RequestHandler as a borrowed http::Stream and a
// head. A session never cuts a running exchange for a reload; drain() lets it end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/base/intrusive_list.hpp"
#include "sallyport/http/stream.hpp"
#include "sallyport/http2/budgets.hpp"
#include "sallyport/net/address_table.hpp"
#include "sallyport/net/byte_stream.hpp"
#include "sallyport/net/loop.hpp"

namespace sallyport::session {

// What is kept of a connection: values only, so that a reload can match it again by name, and its
// place among the connections of its address.
struct ConnectionInfo {
  static constexpr std::uint8_t kNoHealth = 255;
  std::uint64_t id = 0;  // unique in the process; stands in every log line of the connection
  net::Endpoint peer;    // the client: from the PROXY protocol header if one was accepted
  net::Endpoint local;
  std::uint32_t listener = 0;       // index in the snapshot of its birth
  std::uint32_t door = 0;           // whose listening socket it came by: the worker's own number
  std::uint8_t peer_kind = 2;       // obs::PeerKind, by the listener's `trust`
  std::uint8_t health = kNoHealth;  // score of its handshake, 0-100
  bool tls = false;
  bool resumed = false;
  std::string peer_text;  // the peer's address in words, without port
  std::string listener_name;
  std::string sni;        // lower case; empty: none sent
  std::string host_name;  // first name of the host that the handshake met
  std::string auth_rule;  // identity of the client-certificate rule it was made under
  // The client certificate's result: the word of sallyport_tls_client_cert_total, "ok", "absent", …;
  // empty: none was asked for. Static text.
  std::string_view client_cert;
  std::shared_ptr<const http::Fields> client_fields;  // what upstreams are told of it; nullptr: nothing
  std::uint64_t tls_id = 0;      // joins the connection's access log lines with handshake_done; 0: no TLS
  std::string_view tls_version;  // "TLSv1.3"; static text
  std::string_view cipher;       // static text
  net::AddressTable::Seat seat;
};

struct ClientLimits {
  std::size_t head_bytes = 64 * 1024;
  std::size_t field_bytes = 16 * 1024;
  std::size_t fields = 128;
  std::size_t target_bytes = 8 * 1024;
  std::uint32_t streams = 100;              // HTTP/2 concurrent streams
  http2::Budgets budgets;                   // HTTP/2 frames that carry no message
  std::size_t body_window = 64 * 1024;      // HTTP/1.x: credit for request body bytes
  std::uint32_t stream_window = 64 * 1024;  // HTTP/2: the same, a stream
  std::uint32_t connection_window = 1024 * 1024;
  std::uint64_t requests = 10'000;          // per connection, then drain; 0 = no limit
  base::Milliseconds max_age{3'600'000};    // then drain; 0 = no limit
  base::Milliseconds request_head{10'000};  // from the first byte of a head to its end
  base::Milliseconds request_body{30'000};  // between two pieces of a body that we are ready to take
  base::Milliseconds write_stall{30'000};   // a reader that takes nothing for so long is cut
  base::Milliseconds idle{75'000};          // between exchanges
  std::uint32_t body_rate = 240;            // bytes a second of a body, on average over request_body; 0 = any
  std::uint32_t write_rate = 240;           // the same of what a reader takes, over write_stall
};

// Why a connection ended; the label of sallyport_connection_closed_total.
enum class ClosedBy : std::uint8_t { peer, idle, max_age, error, drain, abuse };
[[nodiscard]] std::string_view to_string(ClosedBy by) noexcept;

class ClientSession;

class RequestHandler {
 public:
  // Attaches a receiver to the stream before it returns. The stream is borrowed until detach(),
  // reset() or on_error.
  virtual void on_request(ClientSession& session, http::Stream& stream, http::RequestHead&& head,
                          bool end) = 0;
  // A request that could not be read (malformed, too large, too slow, …). The handler answers on
  // the stream as above; nothing more of the request arrives, and HTTP/1.x closes after the answer.
  virtual void on_bad_request(ClientSession& session, http::Stream& stream, const base::Error& error) = 0;

 protected:
  ~RequestHandler() = default;
};

struct SessionTag;

class ClientSession : public net::Reapable, public base::ListHook<SessionTag> {
 public:
  class Owner {
   public:
    // Every stream's receiver has been told; the owner reaps it.
    virtual void on_session_closed(ClientSession& session, ClosedBy by) = 0;
    // HTTP/2 abuse budgets and frames, for counters.
    virtual void on_h2_flood(ClientSession& session, http2::Flood flood) = 0;
    virtual void on_h2_reset(bool sent, std::uint32_t code) = 0;
    virtual void on_h2_goaway(bool sent, std::uint32_t code) = 0;
    // A client let us wait too long for a request's body, or to take a response.
    virtual void on_slow_client(bool reading) = 0;

   protected:
    ~Owner() = default;
  };

  [[nodiscard]] virtual const ConnectionInfo& info() const noexcept = 0;
  [[nodiscard]] virtual http::Version version() const noexcept = 0;
  [[nodiscard]] virtual std::size_t active() const noexcept = 0;  // running exchanges
  // Two-phase GOAWAY, or `Connection: close` on the next response; idle HTTP/1 closes at once.
  virtual void drain() = 0;
  [[nodiscard]] virtual bool draining() const noexcept = 0;
  // Closes now; receivers get `why`; on_session_closed is not called.
  virtual void abort(const base::Error& why) = 0;
};

struct ClientSessionParts {
  net::Loop& loop;
  std::unique_ptr<net::ByteStream> connection;
  ConnectionInfo info;
  std::shared_ptr<const ClientLimits> limits;  // one for all connections on the same terms
  RequestHandler& handler;
  ClientSession::Owner& owner;
};

// handler, owner and loop outlive the session. Reading begins at once.
[[nodiscard]] std::unique_ptr<ClientSession> make_client_session(ClientSessionParts parts,
                                                                 http::Version version);

}  // namespace sallyport::session
