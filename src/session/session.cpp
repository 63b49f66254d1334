#include "http1_client_session.hpp"
#include "http1_upstream_session.hpp"
#include "http2_client_session.hpp"
#include "http2_upstream_session.hpp"

namespace sallyport::session {

std::string_view to_string(ClosedBy by) noexcept {
  switch (by) {
    case ClosedBy::peer:
      return "peer";
    case ClosedBy::idle:
      return "idle";
    case ClosedBy::max_age:
      return "max_age";
    case ClosedBy::error:
      return "error";
    case ClosedBy::drain:
      return "drain";
    case ClosedBy::abuse:
      return "abuse";
  }
  return "error";
}

namespace {

template <class Session, class Base, class... Args>
std::unique_ptr<Base> started(Args&&... args) {
  auto session = std::make_unique<Session>(std::forward<Args>(args)...);
  session->start();
  return session;
}

}  // namespace

std::unique_ptr<ClientSession> make_client_session(ClientSessionParts parts, http::Version version) {
  if (version == http::Version::http2) return started<Http2ClientSession, ClientSession>(std::move(parts));
  return started<Http1ClientSession, ClientSession>(std::move(parts));
}

std::unique_ptr<UpstreamSession> make_upstream_session(net::Loop& loop,
                                                       std::unique_ptr<net::ByteStream> connection,
                                                       http::Version version, const UpstreamLimits& limits,
                                                       UpstreamSession::Owner& owner) {
  if (version == http::Version::http2) {
    return started<Http2UpstreamSession, UpstreamSession>(loop, std::move(connection), limits, owner);
  }
  return started<Http1UpstreamSession, UpstreamSession>(loop, std::move(connection), limits, owner);
}

}  // namespace sallyport::session
