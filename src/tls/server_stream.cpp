#include "sallyport/tls/server_stream.hpp"

#include <algorithm>
#include <utility>

#include "client_names.hpp"
#include "engine.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

// How long a refused client may take to read why and close. Closing at once, with bytes of its
// own unread, would send RST, and RST makes its kernel drop the alert.
constexpr base::Milliseconds kLinger{1'000};
// What it may still send meanwhile.
constexpr std::size_t kLingerBytes = 256 * 1024;

constexpr std::string_view kPlainHttpAnswer =
    "HTTP/1.1 400 Bad Request\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 71\r\n"
    "Connection: close\r\n"
    "\r\n"
    "This port speaks TLS and the request came in plain HTTP: use https://.\n";
static_assert(kPlainHttpAnswer.size() - kPlainHttpAnswer.find("This port") == 71);

const Certificate* certificate_of(const HostEntry& host, const Digest& sha256) noexcept {
  const auto same = [&](const auto& certificate) { return certificate->fingerprint() == sha256; };
  const auto found = std::find_if(host.certificates.begin(), host.certificates.end(), same);
  return found == host.certificates.end() ? nullptr : found->get();
}

std::uint8_t alert_of(HelloFault fault) noexcept {
  switch (fault) {
    case HelloFault::malformed:
      return alert::kDecodeError;
    case HelloFault::too_large:
      return alert::kIllegalParameter;
    default:
      return alert::kUnexpectedMessage;
  }
}

void tell(const RefusedCertificate& refused, HandshakeFailure& failure) {
  failure.client_subject = refused.subject;
  failure.client_issuer = refused.issuer;
  failure.client_names = refused.names;
  failure.client_pin = refused.pin;
}

}  // namespace

struct ServerStream::Opening {
  Opening(ServerStream& stream, const ServerStreamOptions& opts, HandshakeHandler& h)
      : options(opts), handler(h), reader(opts.max_hello), deadline(stream) {}

  ServerStreamOptions options;
  HandshakeHandler& handler;
  HelloReader reader;
  base::Buffer wire;  // ciphertext of a hello that came in pieces, for OpenSSL
  std::shared_ptr<const ContextStore> store;
  const HostEntry* host = nullptr;
  const Terms* terms = nullptr;  // with `host`
  const Rule* rule = nullptr;
  net::MemberTimer<ServerStream, &ServerStream::on_deadline> deadline;
  base::Instant born{};
  base::Instant entered{};
  base::Duration busy{};
  std::size_t lingered = 0;
  bool reported = false;
  bool over = false;
};

ServerStream::ServerStream(net::Loop& loop, net::TcpSocket socket, const net::Endpoint& peer,
                           const net::Endpoint& local, const ServerStreamOptions& options,
                           HandshakeHandler& handler)
    : Stream(loop, std::move(socket), base::Fault::client, peer, local),
      opening_(std::make_unique<Opening>(*this, options, handler)) {}

ServerStream::~ServerStream() = default;

void ServerStream::begin(std::span<const char> early) {
  opening_->born = loop_.now();
  loop_.timers().arm(opening_->deadline, opening_->options.handshake_timeout, loop_.now());
  io_.start(*this, early);
}

void ServerStream::abandon() {
  if (opening_ == nullptr) return;
  if (opening_->reported) return over();
  end(Ending::closed_by_us);
}

void ServerStream::on_deadline() {
  if (opening_->reported) return over();
  end(Ending::timeout);
}

void ServerStream::handshake_bytes(std::span<char> bytes) {
  if (opening_->reported) return linger_on(bytes.size());
  opening_->entered = base::Clock::now();
  if (engine_ == nullptr) return read_hello(bytes);
  engine_->feed(bytes);
  advance();
}

void ServerStream::handshake_eof() {
  if (opening_->reported) return over();
  end(Ending::eof);
}

void ServerStream::handshake_failed(const base::Error& error) {
  if (opening_->reported) return over();
  end(error.code == base::ErrorCode::closed ? Ending::eof : Ending::reset);
}

void ServerStream::read_hello(std::span<const char> bytes) {
  HelloReader& reader = opening_->reader;
  base::Buffer& wire = opening_->wire;
  switch (reader.feed(bytes)) {
    case HelloReader::State::need_more:
      wire.append(bytes);
      opening_->busy += base::Clock::now() - opening_->entered;
      return io_.idle();
    case HelloReader::State::failed:
      if (reader.fault() == HelloFault::plain_http) return answer_plain_http();
      if (reader.fault() == HelloFault::alert) return report(judge({.reader = &reader}), std::nullopt);
      return refuse(judge({.reader = &reader}), alert_of(reader.fault()));
    case HelloReader::State::complete:
      break;
  }
  if (!choose_host() || !choose_policy() || !acceptable()) return;
  if (!make_engine()) return refuse({Stage::cert_select, HandshakeReason::internal}, alert::kInternalError);
  if (wire.empty()) {
    engine_->feed(bytes);
  } else {
    wire.append(bytes);
    engine_->feed(wire.data());
  }
  advance();
}

bool ServerStream::choose_host() {
  const ClientHello& hello = opening_->reader.hello();
  opening_->store = opening_->handler.context_store();
  if (opening_->store != nullptr && hello.sni_state != SniState::invalid) {
    opening_->host = opening_->store->find(hello.sni, opening_->options.listener);
  }
  if (opening_->host != nullptr) return true;
  refuse(judge({.reader = &opening_->reader}), alert::kUnrecognizedName);
  return false;
}

// The host's own, unless one of its rules has another for such a hello.
bool ServerStream::choose_policy() {
  const HostEntry& host = *opening_->host;
  opening_->terms = &host.own;
  const Rules& rules = host.own.policy().rules;
  if (rules.empty()) return true;
  const auto matched = rules.match(opening_->reader.hello(), peer().address);
  if (!matched) return true;
  opening_->rule = &rules[*matched];
  if (!opening_->rule->refuses()) {
    opening_->terms = &host.picked[*matched];
    return true;
  }
  refuse({Stage::cert_select, HandshakeReason::refused_by_rule}, alert::kAccessDenied);
  return false;
}

// What the hello alone decides is decided here, before an SSL object costs 50 KiB.
bool ServerStream::acceptable() {
  const ClientHello& hello = opening_->reader.hello();
  const Policy& policy = opening_->terms->policy();
  const auto usable = [&](Version version) { return policy.allows(version) && hello.offers(version); };
  if (!usable(Version::tls12) && !usable(Version::tls13)) {
    refuse({Stage::key_exchange, HandshakeReason::unsupported_version}, alert::kProtocolVersion);
    return false;
  }
  const auto offered = [&](const std::string& ours) { return hello.alpn.contains(ours); };
  if (hello.has_alpn && !policy.alpn.empty() &&
      std::none_of(policy.alpn.begin(), policy.alpn.end(), offered)) {
    refuse({Stage::key_exchange, HandshakeReason::no_alpn_overlap}, alert::kNoApplicationProtocol);
    return false;
  }
  return true;
}

bool ServerStream::make_engine() {
  const HostEntry& host = *opening_->host;
  const Terms& terms = *opening_->terms;
  auto engine = std::make_unique<Engine>(terms.context->native(), io_, true);
  if (!engine->ok()) return false;
  SSL* ssl = engine->ssl();
  for (const auto& certificate : host.certificates) {
    if (SSL_use_cert_and_key(ssl, certificate->leaf(), certificate->key(), certificate->intermediates(), 1) !=
        1) {
      ERR_clear_error();
      return false;
    }
  }
  if (SSL_set_session_id_context(ssl, terms.session_id_context.data(),
                                 static_cast<unsigned int>(terms.session_id_context.size())) != 1) {
    return false;
  }
  const ClientHello& hello = opening_->reader.hello();
  engine->expect_sni(hello.sni_state, hello.sni);
  engine->shows(host.certificates);
  adopt(std::move(engine));
  return true;
}

void ServerStream::advance() {
  switch (engine_->handshake()) {
    case Engine::Step::done:
      return succeed();
    case Engine::Step::failed:
      return end(Ending::protocol);
    case Engine::Step::want_read:
      break;
  }
  engine_->feed({});
  opening_->wire.release();
  opening_->busy += base::Clock::now() - opening_->entered;
  // The next flight is a roundtrip away: no buffer until then.
  io_.idle();
}

void ServerStream::succeed() {
  // Outlives the call: the facts and what the engine was fed point into it.
  const std::unique_ptr<Opening> opening = std::move(opening_);
  opening->deadline.cancel();
  established();
  SSL* ssl = engine_->ssl();
  const HostEntry& host = *opening->host;
  const base::Instant now = base::Clock::now();
  const ClientHello& hello = opening->reader.hello();

  Handshake facts;
  facts.listener = opening->options.listener;
  facts.host = &host;
  facts.terms = opening->terms;
  facts.rule = opening->rule;
  facts.sni = hello.sni;
  facts.hello = &hello;
  facts.version = negotiated_version(ssl);
  facts.cipher = negotiated_cipher(ssl);
  facts.protocol = negotiated_protocol(ssl);
  facts.resumed = SSL_session_reused(ssl) == 1;
  // Under TLS 1.2 OpenSSL goes on to name the group of the session's first handshake.
  if (!facts.resumed || facts.version == Version::tls13) facts.group = negotiated_group(ssl);
  facts.hello_retried = engine_->hello_retried();
  facts.hello_segmented = hello.segmented;
  facts.duration = now - opening->born;
  facts.busy = opening->busy + (now - opening->entered);
  if (facts.resumed) {
    facts.certificate_sha256 = engine_->session_certificate();
    if (facts.certificate_sha256) facts.certificate = certificate_of(host, *facts.certificate_sha256);
  } else {
    facts.sigalg = own_signature(ssl);
    facts.certificate = engine_->shown();
    if (facts.certificate != nullptr) facts.certificate_sha256 = facts.certificate->fingerprint();
  }
  if (opening->terms->policy().client_auth != ClientAuthMode::off) {
    X509* certificate = SSL_get0_peer_certificate(ssl);
    facts.client_cert =
        certificate == nullptr ? ClientCertResult::absent : client_cert_result(SSL_get_verify_result(ssl));
    if (certificate != nullptr) facts.client = describe(certificate, facts.client_cert);
    if (facts.client_cert == ClientCertResult::ok) facts.client_subject = facts.client->subject;
  }
  const auto refused = engine_->take_refused();
  facts.client_refused = refused.get();
  engine_->settle();
  // Under TLS 1.3 what is queued is the ticket, for which nobody waits: it leaves with the first response.
  if (facts.version == Version::tls13) io_.hold();
  if (survives([&] { opening->handler.on_handshake(*this, facts); })) deliver();
}

void ServerStream::refuse(Verdict verdict, std::uint8_t description) {
  // A fatal alert in a record of its own (RFC 8446 §6).
  const char record[] = {21, 3, 3, 0, 2, 2, static_cast<char>(description)};
  io_.append(record);
  report(verdict, description);
}

void ServerStream::answer_plain_http() {
  io_.append(kPlainHttpAnswer);
  report(judge({.reader = &opening_->reader}), std::nullopt);
}

void ServerStream::end(Ending ending) {
  Evidence evidence;
  evidence.ending = ending;
  evidence.reader = &opening_->reader;
  if (opening_->host != nullptr) {
    evidence.policy = &opening_->terms->policy();
    evidence.host = opening_->host;
  }
  if (engine_ != nullptr) {
    evidence.flight_sent = engine_->flight_sent();
    evidence.openssl_error = engine_->error();
    evidence.verify_code = SSL_get_verify_result(engine_->ssl());
    evidence.hello_changed = engine_->hello_changed();
    evidence.alert_sent = engine_->alert_sent();
    evidence.alert_received = engine_->alert_received();
  }
  report(judge(evidence), evidence.alert_sent);
}

void ServerStream::report(const Verdict& verdict, std::optional<std::uint8_t> alert_sent) {
  Opening& opening = *opening_;
  opening.reported = true;
  const base::Instant now = base::Clock::now();
  HandshakeFailure failure;
  failure.listener = opening.options.listener;
  failure.verdict = verdict;
  failure.host = opening.host;
  failure.policy = opening.host == nullptr ? nullptr : &opening.terms->policy();
  failure.rule = opening.rule;
  if (opening.reader.state() == HelloReader::State::complete) {
    failure.hello = &opening.reader.hello();
    failure.sni = failure.hello->sni;
  }
  failure.fault = opening.reader.fault();
  failure.silent = !opening.reader.started();
  failure.alert_sent = alert_sent;
  if (failure.fault == HelloFault::alert) failure.alert_received = opening.reader.alert();
  if (engine_ != nullptr) {
    if (engine_->flight_sent()) failure.certificate = engine_->shown();
    failure.verify_code = SSL_get_verify_result(engine_->ssl());
    if (const RefusedCertificate* refused = engine_->refused()) tell(*refused, failure);
    failure.alert_received = engine_->alert_received();
    failure.openssl_error = engine_->error();
    engine_->feed({});
  }
  failure.duration = now - opening.born;
  failure.busy = opening.busy;
  if (opening.entered != base::Instant{}) failure.busy += now - opening.entered;
  opening.handler.on_handshake_failed(*this, failure);

  // Whoever is still there is told why; whoever is not, or was too slow, is not waited for.
  const bool listening = io_.is_open() && io_.unsent() != 0 && verdict.reason != HandshakeReason::timeout &&
                         verdict.reason != HandshakeReason::shutdown;
  if (!listening) return over();
  io_.finish();
  io_.idle();
  loop_.timers().arm(opening.deadline, kLinger, loop_.now());
}

void ServerStream::linger_on(std::size_t bytes) {
  opening_->lingered += bytes;
  if (opening_->lingered > kLingerBytes) over();
}

void ServerStream::over() {
  if (std::exchange(opening_->over, true)) return;
  opening_->deadline.cancel();
  close();
  opening_->handler.on_handshake_over(*this);
}

std::string_view openssl_reason(unsigned long error) noexcept {
  const char* text = error == 0 ? nullptr : ERR_reason_error_string(error);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

}  // namespace sallyport::tls
