#include "sallyport/tls/client_context.hpp"

#include <utility>

#include "engine.hpp"
#include "file.hpp"
#include "openssl.hpp"
#include "provider.hpp"

namespace sallyport::tls {

namespace {}  // namespace

ClientContext::~ClientContext() {
  SSL_CTX_free(context_);
}

std::shared_ptr<const ClientContext> ClientContext::make(const ClientSpec& spec, Notes& notes) {
  ERR_clear_error();
  const std::shared_ptr<ClientContext> made(new ClientContext);
  made->server_name_ = spec.server_name;
  made->verify_ = spec.verify;
  made->context_ = SSL_CTX_new_ex(nullptr, key_schedule_properties(), TLS_client_method());
  if (made->context_ == nullptr) {
    notes.error("", "OpenSSL made no context: " + take_openssl_error());
    return nullptr;
  }
  if (!made->configure_trust(spec, notes) || !made->configure(spec, notes)) return nullptr;
  return made;
}

bool ClientContext::configure_trust(const ClientSpec& spec, Notes& notes) {
  Hasher hasher;
  hasher.add("client").add(spec.server_name).add(spec.verify ? "verify" : "");
  if (!spec.verify) {
    SSL_CTX_set_verify(context_, SSL_VERIFY_NONE, nullptr);
    notes.warning("verify", "is off: anyone on the way to the upstream can read and change everything");
  } else {
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    if (spec.ca_file.empty()) {
      if (SSL_CTX_set_default_verify_paths(context_) != 1) {
        notes.error("ca", "the system's CA store cannot be used: " + take_openssl_error());
        return false;
      }
    } else {
      std::string why;
      const std::optional<std::string> pem = read_file(spec.ca_file, why);
      if (!pem) {
        notes.error("ca", spec.ca_file + " " + why);
        return false;
      }
      if (add_trusted(SSL_CTX_get_cert_store(context_), *pem) == 0) {
        ERR_clear_error();
        notes.error("ca", spec.ca_file + ": holds no readable CA certificate in PEM form");
        return false;
      }
      hasher.add(*pem);
    }
  }
  hasher.add(spec.certificate == nullptr ? Digest{} : spec.certificate->content());
  for (const std::string& name : spec.alpn) hasher.add(name);
  hasher.add(static_cast<std::uint64_t>(spec.min_version)).add(static_cast<std::uint64_t>(spec.max_version));
  digest_ = hasher.finish();
  return true;
}

bool ClientContext::configure(const ClientSpec& spec, Notes& notes) {
  SSL_CTX_set_options(context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
  if (spec.min_version > spec.max_version) {
    notes.error("min_version", "is above max_version");
    return false;
  }
  if (SSL_CTX_set_min_proto_version(context_, version_number(spec.min_version)) != 1 ||
      SSL_CTX_set_max_proto_version(context_, version_number(spec.max_version)) != 1) {
    notes.error("min_version", "OpenSSL refuses it: " + take_openssl_error());
    return false;
  }
  std::string wire;
  for (const std::string& name : spec.alpn) {
    wire.push_back(static_cast<char>(name.size()));
    wire += name;
  }
  // Zero is success, of this function alone.
  if (!wire.empty() && SSL_CTX_set_alpn_protos(context_, reinterpret_cast<const unsigned char*>(wire.data()),
                                               static_cast<unsigned int>(wire.size())) != 0) {
    notes.error("alpn", "OpenSSL refuses it: " + take_openssl_error());
    return false;
  }
  if (const auto& own = spec.certificate; own != nullptr) {
    if (SSL_CTX_use_cert_and_key(context_, own->leaf(), own->key(), own->intermediates(), 1) != 1) {
      notes.error("certificate", own->chain_file() + ": OpenSSL refuses it: " + take_openssl_error());
      return false;
    }
  }
  // Sessions are handed to the connection's worker and kept nowhere else.
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  Engine::watch_client(context_);
  return true;
}

void ClientSession::keep(SSL_SESSION* session, const std::string& name, const Digest& context) {
  SSL_SESSION_free(std::exchange(session_, session));
  name_ = name;
  context_ = context;
}

SSL_SESSION* ClientSession::take(const std::string& name, const Digest& context) noexcept {
  if (session_ == nullptr || name != name_ || context != context_) return nullptr;
  if (SSL_SESSION_get_protocol_version(session_) == TLS1_3_VERSION) return std::exchange(session_, nullptr);
  SSL_SESSION_up_ref(session_);
  return session_;
}

void ClientSession::clear() noexcept {
  SSL_SESSION_free(std::exchange(session_, nullptr));
}

}  // namespace sallyport::tls
