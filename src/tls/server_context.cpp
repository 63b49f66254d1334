#include "sallyport/tls/server_context.hpp"

#include <cstring>

#include "client_rule.hpp"
#include "engine.hpp"
#include "openssl.hpp"
#include "provider.hpp"
#include "staple_openssl.hpp"

namespace sallyport::tls {

namespace {

// Our order decides. A client without ALPN does not come here; one without a common protocol is
// told so (RFC 7301 §3.2) and not left to guess.
int choose_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                unsigned int in_size, void* policy_pointer) {
  const auto& policy = *static_cast<const Policy*>(policy_pointer);
  const AlpnView offered({in, in_size});
  for (const std::string& ours : policy.alpn) {
    if (!offered.contains(ours)) continue;
    *out = reinterpret_cast<const unsigned char*>(ours.data());
    *out_size = static_cast<unsigned char>(ours.size());
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
           int seal) {
  const auto* keys = static_cast<const TicketKeys*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const int result = keys->seal_or_open(name, iv, cipher, mac, seal == 1);
  // A client of TLS 1.3 shows a ticket once, so each resumption gets it a new one; with a callback
  // of ours OpenSSL leaves that to us.
  constexpr int kOpened = 1;
  constexpr int kOpenedIssueNew = 2;
  const bool renew = seal == 0 && result == kOpened && SSL_version(ssl) == TLS1_3_VERSION;
  return renew ? kOpenedIssueNew : result;
}

}  // namespace

ServerContext::~ServerContext() {
  SSL_CTX_free(context_);
}

std::shared_ptr<const ServerContext> ServerContext::make(std::shared_ptr<const Policy> policy,
                                                         std::shared_ptr<TicketKeys> keys, Notes& notes) {
  ERR_clear_error();
  const std::shared_ptr<ServerContext> made(new ServerContext);
  made->policy_ = std::move(policy);
  made->keys_ = std::move(keys);
  made->context_ = SSL_CTX_new_ex(nullptr, key_schedule_properties(), TLS_server_method());
  if (made->context_ == nullptr) {
    notes.error("", "OpenSSL made no context: " + take_openssl_error());
    return nullptr;
  }
  if (!made->configure(notes) || !made->configure_client_auth(notes)) return nullptr;
  return made;
}

bool ServerContext::configure(Notes& notes) {
  const Policy& policy = *policy_;
  const auto check = [&](bool done, const char* what) {
    if (!done) notes.error(what, "OpenSSL refuses it: " + take_openssl_error());
    return done;
  };
  SSL_CTX_set_options(context_,
                      SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // What an idle connection of TLS 1.2 costs: 16 KiB with, 49 KiB without.
  SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_dh_auto(context_, 1);
  if (!check(SSL_CTX_set_min_proto_version(context_, version_number(policy.min_version)) == 1,
             "min_version") ||
      !check(SSL_CTX_set_max_proto_version(context_, version_number(policy.max_version)) == 1,
             "max_version")) {
    return false;
  }
  if (!policy.cipher_list.empty() &&
      !check(SSL_CTX_set_cipher_list(context_, policy.cipher_list.c_str()) == 1, "ciphers")) {
    return false;
  }
  if (!check(SSL_CTX_set_ciphersuites(context_, policy.cipher_suite_list.c_str()) == 1, "cipher_suites") ||
      !check(SSL_CTX_set1_groups_list(context_, policy.group_list.c_str()) == 1, "groups")) {
    return false;
  }
  // OpenSSL reads through the pointer only; its callback has no const form.
  if (!policy.alpn.empty()) SSL_CTX_set_alpn_select_cb(context_, choose_alpn, const_cast<Policy*>(&policy));

  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  if (keys_) {
    SSL_CTX_set_app_data(context_, keys_.get());
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context_, ticket);
    SSL_CTX_set_timeout(context_, static_cast<long>(keys_->options().lifetime.count()));
    // One instead of two: 16 us a handshake.
    SSL_CTX_set_num_tickets(context_, 1);
  } else {
    SSL_CTX_set_options(context_, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context_, 0);
  }
  show_staples(context_);
  Engine::watch_server(context_);
  return true;
}

bool ServerContext::configure_client_auth(Notes& notes) {
  if (policy_->client_rule == nullptr || apply(*policy_->client_rule, context_)) return true;
  notes.error("client_auth", "OpenSSL refuses it: " + take_openssl_error());
  return false;
}

}  // namespace sallyport::tls
