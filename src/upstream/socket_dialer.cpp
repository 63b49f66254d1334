#include <string>
#include <utility>

#include "sallyport/net/connector.hpp"
#include "sallyport/net/tcp_stream.hpp"
#include "sallyport/tls/client_stream.hpp"
#include "sallyport/upstream/dialer.hpp"

namespace sallyport::upstream {

namespace {

class SocketDial final : public Dial, private net::Connector::Handler, private tls::ConnectHandler {
 public:
  SocketDial(net::Loop& loop, std::shared_ptr<const ClusterSpec> spec, const DialTarget& target,
             session::UpstreamSession::Owner& owner, Dial::Receiver& receiver)
      : loop_(loop),
        spec_(std::move(spec)),
        target_(target),
        host_(target.host),
        owner_(owner),
        receiver_(receiver),
        connector_(loop) {}

  void begin() {
    begun_ = loop_.now();
    connector_.connect(target_.address, target_.connect_timeout, *this);
  }

 private:
  void on_connected(net::TcpSocket socket, const net::Endpoint& local) override {
    connect_ = loop_.now() - begun_;
    if (spec_->tls == nullptr) {
      deliver(std::make_unique<net::TcpStream>(loop_, std::move(socket), base::Fault::upstream,
                                               target_.address, local),
              target_.offer == Offer::h2, {});
      return;
    }
    const bool http1_only = target_.offer == Offer::h1 && spec_->tls_http1 != nullptr;
    tls::ClientSession* sessions = nullptr;
    if (target_.resumption != nullptr) {
      sessions = http1_only ? &target_.resumption->http1 : &target_.resumption->full;
    }
    tls::ConnectHandler& handler = *this;
    stream_ = std::make_unique<tls::ClientStream>(loop_, std::move(socket), target_.address, local,
                                                  http1_only ? spec_->tls_http1 : spec_->tls, host_, sessions,
                                                  target_.tls_timeout, handler);
    stream_->begin();
  }

  void on_connect_failed(const base::Error& error) override { fail(error); }

  void on_connected(tls::ClientStream&, const tls::Connected& facts) override {
    const bool h2 = facts.protocol == tls::Protocol::h2;
    if (target_.offer == Offer::h2 && !h2) {
      loop_.reap(std::move(stream_));
      // The peer ignored ALPN or chose nothing: it would take our preface for a request.
      fail(base::upstream_error(base::ErrorCode::tls_failed, tls::alert::kNoApplicationProtocol));
      return;
    }
    deliver(std::move(stream_), h2, facts.duration);
  }

  void on_connect_failed(tls::ClientStream&, const base::Error& error) override {
    loop_.reap(std::move(stream_));
    fail(error);
  }

  void deliver(std::unique_ptr<net::ByteStream> connection, bool h2, base::Duration tls) {
    Dialed dialed;
    dialed.session = session::make_upstream_session(loop_, std::move(connection),
                                                    h2 ? http::Version::http2 : http::Version::http11,
                                                    spec_->limits, owner_);
    dialed.connect = connect_;
    dialed.tls = tls;
    receiver_.on_dialed(std::move(dialed));
  }

  void fail(base::Error error) {
    error.unsent = true;
    receiver_.on_dialed(error);
  }

  net::Loop& loop_;
  std::shared_ptr<const ClusterSpec> spec_;
  DialTarget target_;
  std::string host_;
  session::UpstreamSession::Owner& owner_;
  Dial::Receiver& receiver_;
  net::Connector connector_;
  std::unique_ptr<tls::ClientStream> stream_;
  base::Instant begun_{};
  base::Duration connect_{};
};

}  // namespace

std::unique_ptr<Dial> SocketDialer::dial(const std::shared_ptr<const ClusterSpec>& spec,
                                         const DialTarget& target, session::UpstreamSession::Owner& owner,
                                         Dial::Receiver& receiver) {
  auto dial = std::make_unique<SocketDial>(loop_, spec, target, owner, receiver);
  dial->begin();
  return dial;
}

}  // namespace sallyport::upstream
