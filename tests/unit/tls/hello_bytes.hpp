// ClientHellos for tests: real ones, made by an OpenSSL client, and hand-made ones.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <openssl/ssl.h>

#include "catch.hpp"
#include "certificates.hpp"

namespace tls_test {

// The first flight of an OpenSSL client, as records.
inline std::string real_hello(const std::function<void(SSL*)>& adjust = {}) {
  const Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  const Owned<SSL> ssl(SSL_new(context.get()));
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), in, out);
  SSL_set_connect_state(ssl.get());
  if (adjust) adjust(ssl.get());
  SSL_do_handshake(ssl.get());
  return text_of(out);
}

inline void set_sni(SSL* ssl, const char* name) {
  SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(name));
}
inline void set_alpn(SSL* ssl, const std::string& wire) {
  SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(wire.data()),
                      static_cast<unsigned>(wire.size()));
}

inline std::string u8(std::size_t n) {
  return {static_cast<char>(n)};
}
inline std::string u16(std::size_t n) {
  return {static_cast<char>(n >> 8), static_cast<char>(n)};
}
inline std::string with8(const std::string& s) {
  return u8(s.size()) + s;
}
inline std::string with16(const std::string& s) {
  return u16(s.size()) + s;
}
inline std::string extension(std::size_t type, const std::string& body) {
  return u16(type) + with16(body);
}
inline std::string sni_extension(const std::string& name) {
  return extension(0, with16(u8(0) + with16(name)));
}

// A message around a list of extensions, with its handshake header.
inline std::string message(const std::string& extensions, const std::string& suites = u16(0x1301)) {
  const std::string body =
      u16(0x0303) + std::string(32, 'r') + with8("") + with16(suites) + with8(u8(0)) + with16(extensions);
  return u8(1) + u8(body.size() >> 16) + u16(body.size() & 0xffff) + body;
}
// In records of at most `fragment` bytes.
inline std::string records(const std::string& handshake, std::size_t fragment = 16384) {
  std::string out;
  for (std::size_t at = 0; at < handshake.size(); at += fragment) {
    out += u8(22) + u16(0x0301) + with16(handshake.substr(at, fragment));
  }
  return out;
}

}  // namespace tls_test
