#include "sallyport/tls/client_stream.hpp"

#include <utility>

#include "engine.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

struct ClientStream::Opening {
  Opening(ClientStream& stream, std::shared_ptr<const ClientContext> ctx, std::string endpoint_name,
          ClientSession* memory, base::Milliseconds limit, ConnectHandler& h)
      : context(std::move(ctx)),
        name(context->server_name().empty() ? std::move(endpoint_name) : context->server_name()),
        sessions(memory),
        timeout(limit),
        handler(h),
        deadline(stream) {}

  std::shared_ptr<const ClientContext> context;
  std::string name;
  ClientSession* sessions;
  base::Milliseconds timeout;
  ConnectHandler& handler;
  net::MemberTimer<ClientStream, &ClientStream::on_deadline> deadline;
  base::Instant born{};
  bool over = false;
};

ClientStream::ClientStream(net::Loop& loop, net::TcpSocket socket, const net::Endpoint& peer,
                           const net::Endpoint& local, std::shared_ptr<const ClientContext> context,
                           std::string endpoint_name, ClientSession* sessions, base::Milliseconds timeout,
                           ConnectHandler& handler)
    : Stream(loop, std::move(socket), base::Fault::upstream, peer, local),
      opening_(std::make_unique<Opening>(*this, std::move(context), std::move(endpoint_name), sessions,
                                         timeout, handler)) {}

ClientStream::~ClientStream() = default;

void ClientStream::begin() {
  opening_->born = loop_.now();
  loop_.timers().arm(opening_->deadline, opening_->timeout, loop_.now());
  io_.start(*this);
  // The first flight goes out with this turn; what it leads to comes to the handler later.
  wake_later();
}

void ClientStream::forget_sessions() noexcept {
  if (opening_ != nullptr) opening_->sessions = nullptr;
  if (engine_ != nullptr) engine_->sink().sessions = nullptr;
}

void ClientStream::handshake_wake() {
  if (engine_ != nullptr || opening_->over) return;
  if (!make_engine()) return end(base::ErrorCode::internal, 0);
  advance();
}

bool ClientStream::make_engine() {
  auto engine = std::make_unique<Engine>(opening_->context->native(), io_, false);
  if (!engine->ok()) return false;
  SSL* ssl = engine->ssl();
  const std::string& name = opening_->name;
  const bool literal = net::IpAddress::parse(name).has_value();
  // RFC 6066 §3: an address is not sent as SNI.
  if (!literal && !name.empty() &&
      // SSL_set_tlsext_host_name() without its C cast.
      SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(name.c_str())) != 1) {
    return false;
  }
  if (opening_->context->verifies()) {
    X509_VERIFY_PARAM* rules = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const int set =
        literal ? X509_VERIFY_PARAM_set1_ip_asc(rules, name.c_str()) : SSL_set1_host(ssl, name.c_str());
    // Without a name to compare, any certificate of any site would do.
    if (set != 1 || name.empty()) return false;
  }
  if (opening_->sessions != nullptr) {
    const Digest& context = opening_->context->digest();
    if (SSL_SESSION* session = opening_->sessions->take(name, context)) {
      SSL_set_session(ssl, session);
      SSL_SESSION_free(session);
    }
    engine->sink() = {opening_->sessions, name, context};
  }
  adopt(std::move(engine));
  return true;
}

void ClientStream::handshake_bytes(std::span<char> bytes) {
  if (opening_->over || engine_ == nullptr) return;
  engine_->feed(bytes);
  advance();
}

void ClientStream::advance() {
  switch (engine_->handshake()) {
    case Engine::Step::done:
      return succeed();
    case Engine::Step::want_read:
      return engine_->feed({});
    case Engine::Step::failed:
      return fail_handshake();
  }
}

void ClientStream::succeed() {
  const std::unique_ptr<Opening> opening = std::move(opening_);
  opening->deadline.cancel();
  established();
  SSL* ssl = engine_->ssl();
  Connected facts;
  facts.version = negotiated_version(ssl);
  facts.cipher = negotiated_cipher(ssl);
  facts.protocol = negotiated_protocol(ssl);
  facts.resumed = SSL_session_reused(ssl) == 1;
  facts.duration = base::Clock::now() - opening->born;
  engine_->settle();
  if (survives([&] { opening->handler.on_connected(*this, facts); })) deliver();
}

void ClientStream::fail_handshake() {
  const unsigned long error = engine_->error();
  const bool untrusted =
      ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED;
  if (untrusted) {
    end(base::ErrorCode::tls_untrusted, static_cast<std::int32_t>(SSL_get_verify_result(engine_->ssl())));
  } else {
    end(base::ErrorCode::tls_failed, engine_->last_alert());
  }
}

void ClientStream::handshake_eof() {
  end(base::ErrorCode::tls_closed, 0);
}

void ClientStream::handshake_failed(const base::Error& error) {
  const bool reset = error.code == base::ErrorCode::reset;
  end(reset ? base::ErrorCode::tls_reset : error.code, error.cause);
}

void ClientStream::on_deadline() {
  end(base::ErrorCode::tls_timeout, 0);
}

void ClientStream::end(base::ErrorCode code, std::int32_t cause) {
  if (std::exchange(opening_->over, true)) return;
  opening_->deadline.cancel();
  if (engine_ != nullptr) engine_->feed({});
  // Our alert leaves with this turn; the reaping at its end closes.
  if (io_.is_open() && io_.unsent() != 0) {
    io_.pause();
    io_.finish();
  } else {
    close();
  }
  const base::Fault fault = code == base::ErrorCode::internal ? base::Fault::gateway : base::Fault::upstream;
  opening_->handler.on_connect_failed(*this, {code, fault, true, false, cause});
}

std::string_view verify_reason(long code) noexcept {
  return X509_verify_cert_error_string(code);
}

}  // namespace sallyport::tls
