// WebSocket through an exchange: RFC 6455 over HTTP/1.1 and RFC 8441 over HTTP/2, in any pairing.
//
// The neutral form is a GET with protocol() "websocket", accepted by 101. Only HTTP/1.1 has the
// key and its proof, so they are made here where one side has them and the other has not.
#include "sallyport/tls/websocket_key.hpp"

#include "exchange.hpp"

namespace sallyport::proxy {

using http::FieldId;
using http::Version;

void Exchange::prepare_tunnel(Version towards) {
  if (head_.version == Version::http2) {
    if (towards == Version::http2) {
      head_.fields.remove(FieldId::sec_websocket_key);
      websocket_key_.clear();
    } else {
      websocket_key_ = tls::websocket_key();
      head_.fields.set(FieldId::sec_websocket_key, websocket_key_);
    }
  } else if (websocket_key_.empty()) {
    websocket_key_ = head_.fields.find(FieldId::sec_websocket_key).value_or("");
  }
}

// False: the upstream's proof is wrong, so whatever it is, it did not take part in this handshake.
bool Exchange::accept_tunnel() {
  const bool client_h2 = head_.version == Version::http2;
  const bool upstream_h2 = lease_ && lease_.version() == Version::http2;
  if (!upstream_h2) {
    const auto proof = response_.fields.find(FieldId::sec_websocket_accept);
    if (!proof || *proof != tls::websocket_accept(websocket_key_)) return false;
  }
  response_.fields.remove(FieldId::sec_websocket_accept);
  if (!client_h2) response_.fields.add(FieldId::sec_websocket_accept, tls::websocket_accept(websocket_key_));
  tunnel_ = true;
  total_.cancel();
  return true;
}

}  // namespace sallyport::proxy
