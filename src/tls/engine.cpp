#include "engine.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "sallyport/tls/client_context.hpp"

#include "client_rule.hpp"
#include "hello_parser.hpp"

namespace sallyport::tls {

namespace {
// SSL_get_error() takes an error that somebody left on this thread's queue for its call's own. The
// queue is empty as a rule, and looking is cheaper than clearing its sixteen places.
void forget_errors() noexcept {
  if (ERR_peek_error() != 0) ERR_clear_error();
}
}  // namespace

Engine::Engine(SSL_CTX* context, net::SocketIo& io, bool server) : io_(io) {
  ERR_clear_error();
  SslPtr ssl(SSL_new(context));
  BIO* bio = BIO_new(bio_method());
  if (!ssl || bio == nullptr) {
    BIO_free(bio);
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);  // takes it, for both directions
  if (server) {
    SSL_set_accept_state(ssl.get());
  } else {
    SSL_set_connect_state(ssl.get());
  }
  ssl_ = std::move(ssl);
  secrets_ = std::make_unique<TrafficSecrets>();
}

Engine::~Engine() {
  // OpenSSL takes a connection that ends without close_notify for an attack on its session and
  // voids that, which since TLS 1.2 nothing asks for; how the bytes ended is Stream's to judge.
  if (ssl_) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

Engine& Engine::of(const SSL* ssl) noexcept {
  return *static_cast<Engine*>(BIO_get_data(SSL_get_rbio(ssl)));
}

const BIO_METHOD* Engine::bio_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sallyport");
    BIO_meth_set_read(made, &Engine::bio_read);
    BIO_meth_set_write(made, &Engine::bio_write);
    BIO_meth_set_ctrl(made, &Engine::bio_control);
    return made;
  }();
  return method;
}

int Engine::bio_read(BIO* bio, char* out, int size) {
  auto& self = *static_cast<Engine*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const std::size_t n = std::min(static_cast<std::size_t>(std::max(size, 0)), self.in_.size());
  if (n == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  std::memcpy(out, self.in_.data(), n);
  self.in_ = self.in_.subspan(n);
  return static_cast<int>(n);
}

// Always takes all: who writes holds to a bound, and so does Stream for what reading makes.
int Engine::bio_write(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  static_cast<Engine*>(BIO_get_data(bio))->io_.append({bytes, static_cast<std::size_t>(size)});
  return size;
}

long Engine::bio_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

void Engine::note_error(int result) noexcept {
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_SSL) error_ = ERR_peek_error();
  ERR_clear_error();
}

Engine::Step Engine::handshake() noexcept {
  ERR_clear_error();
  const SecretsTap tap(*secrets_);
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return Step::done;
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return Step::want_read;
  note_error(result);
  return Step::failed;
}

// Asked when it has nothing, OpenSSL takes a record buffer of 17 KiB from the heap to find that out.
bool Engine::drained() const noexcept {
  return in_.empty() && SSL_has_pending(ssl_.get()) == 0;
}

Engine::Read Engine::read(std::span<char> room) noexcept {
  if (records_ != nullptr) return records_->read(in_, room);
  Read done;
  forget_errors();
  while (done.size < room.size()) {
    std::size_t n = 0;
    const int result = SSL_read_ex(ssl_.get(), room.data() + done.size, room.size() - done.size, &n);
    if (result == 1) {
      done.size += n;
      if (!drained()) continue;
      take_over();
      done.end = End::want_read;
      return done;
    }
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        done.end = End::want_read;
        break;
      case SSL_ERROR_ZERO_RETURN:
        done.end = End::close_notify;
        break;
      default:
        note_error(result);
        done.end = End::failed;
    }
    return done;
  }
  done.end = End::more;
  return done;
}

bool Engine::write(std::span<const char> bytes) noexcept {
  if (bytes.empty()) return true;
  if (records_ != nullptr) return records_->write(bytes);
  forget_errors();
  std::size_t n = 0;
  const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &n);
  if (result == 1) return true;
  note_error(result);
  return false;
}

void Engine::close_notify() noexcept {
  if (records_ != nullptr) return records_->close_notify();
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

std::int32_t Engine::last_alert() const noexcept {
  const auto received = records_ == nullptr ? alert_received_ : records_->alert_received();
  const auto sent = records_ == nullptr ? alert_sent_ : records_->alert_sent();
  if (received && *received != 0) return *received;
  return sent.value_or(0);
}

void Engine::expect_sni(SniState state, std::string_view name) noexcept {
  expected_sni_ = state;
  expected_name_ = name;
}

void Engine::settle() noexcept {
  expected_name_ = {};
  certificates_ = {};
  error_ = 0;
  settled_ = final_keys_ = true;
  const bool server = SSL_is_server(ssl_.get()) == 1;
  if (!can_take_over()) secrets_.reset();
  if (server) take_over();
}

bool Engine::can_take_over() const noexcept {
  if (SSL_version(ssl_.get()) != TLS1_3_VERSION || !secrets_->has_client || !secrets_->has_server)
    return false;
  const RecordSuite* const suite =
      record_suite(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl_.get())));
  return suite != nullptr && suite->hash_size == secrets_->size;
}

// Between two records: OpenSSL reads one at a time, so what it has not read begins with the next. A server's
// handshake has left it the tickets to write. A client's goes on to read tickets, which come ahead of the
// first data as a rule.
void Engine::take_over() noexcept {
  if (!settled_ || secrets_ == nullptr || SSL_has_pending(ssl_.get()) != 0) return;
  const std::unique_ptr<TrafficSecrets> secrets = std::move(secrets_);
  SSL* const ssl = ssl_.get();
  const bool server = SSL_is_server(ssl) == 1;
  RecordLayer::Start start{record_suite(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl))),
                           server ? secrets->client : secrets->server,
                           server ? secrets->server : secrets->client};
  start.server = server;
  start.read = read_;
  start.written = written_;
  // RFC 6066 §4: 1 is 512 octets, 4 is 4,096.
  if (const int asked = SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl)); asked != 0)
    start.most_plain = std::size_t{256} << asked;
  records_ = std::make_unique<RecordLayer>(start, static_cast<RecordSink&>(*this));
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  ssl_.reset();
}

std::span<char> Engine::prepare(std::size_t n) {
  return io_.prepare(n);
}

void Engine::commit(std::size_t n) {
  io_.commit(n);
}

void Engine::watch_server(SSL_CTX* context) {
  SSL_CTX_set_info_callback(context, &Engine::on_info);
  SSL_CTX_set_msg_callback(context, &Engine::on_message);
  SSL_CTX_set_client_hello_cb(context, &Engine::on_client_hello, nullptr);
  SSL_CTX_set_session_ticket_cb(context, &Engine::on_ticket, nullptr, nullptr);
}

void Engine::watch_client(SSL_CTX* context) {
  SSL_CTX_set_info_callback(context, &Engine::on_info);
  SSL_CTX_set_msg_callback(context, &Engine::on_message);
  SSL_CTX_sess_set_new_cb(context, &Engine::on_new_session);
}

void Engine::on_info(const SSL* ssl, int where, int value) {
  Engine& self = of(ssl);
  if ((where & SSL_CB_ALERT) != 0) {
    const auto description = static_cast<std::uint8_t>(value & 0xff);
    ((where & SSL_CB_READ) != 0 ? self.alert_received_ : self.alert_sent_) = description;
  } else if (where == SSL_CB_ACCEPT_LOOP && !self.flight_sent_) {
    const OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);
    self.flight_sent_ = state == TLS_ST_SW_SRVR_DONE || state == TLS_ST_SW_FINISHED;
    self.final_keys_ = state == TLS_ST_SW_FINISHED;
  }
}

// Each record is told as it is sealed, and when the header of one has come.
void Engine::on_message(int written, int, int type, const void* bytes, std::size_t size, SSL* ssl, void*) {
  Engine& self = of(ssl);
  if (type == SSL3_RT_HEADER) {
    if (written == 1 && self.final_keys_) ++self.written_;
    if (written == 0 && self.settled_) ++self.read_;
  }
  // The secrets that we know are not those of now.
  const bool handshake = type == SSL3_RT_HANDSHAKE && size != 0 && self.settled_;
  if (handshake && *static_cast<const std::uint8_t*>(bytes) == SSL3_MT_KEY_UPDATE) self.secrets_.reset();
}

int Engine::on_verify(int ok, X509_STORE_CTX* verification) {
  const void* ssl = X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx());
  X509* certificate = X509_STORE_CTX_get_current_cert(verification);
  const ClientRule* rule = rule_of(verification);
  if (ssl == nullptr || rule == nullptr) return ok;
  Engine& self = of(static_cast<const SSL*>(ssl));
  // The last call is for the leaf, when all signatures have been found good.
  const bool last = ok == 1 && X509_STORE_CTX_get_error_depth(verification) == 0 && certificate != nullptr;
  if (last && self.refused_ == nullptr) {
    if (const long code = rule->refuses(certificate); code != X509_V_OK) {
      X509_STORE_CTX_set_error(verification, static_cast<int>(code));
      ok = 0;
    }
  }
  if (ok == 0 && self.refused_ == nullptr) self.note_refusal(verification, certificate, *rule);
  if (rule->strict()) return ok;
  X509_STORE_CTX_set_error(verification,
                           self.refused_ == nullptr ? X509_V_OK : static_cast<int>(self.refused_->code));
  return 1;
}

void Engine::note_refusal(X509_STORE_CTX* verification, X509* certificate, const ClientRule& rule) {
  auto made = std::make_unique<RefusedCertificate>();
  made->code = X509_STORE_CTX_get_error(verification);
  if (certificate != nullptr) {
    made->subject = name_text(X509_get_subject_name(certificate));
    made->issuer = name_text(X509_get_issuer_name(certificate));
  }
  if (X509* leaf = X509_STORE_CTX_get0_cert(verification)) {
    if (!rule.names.empty()) {
      for (const std::string& name : told_names(leaf))
        made->names += (made->names.empty() ? "" : ", ") + name;
    }
    if (!rule.pins.empty()) made->pin = pin_of(leaf);
  }
  refused_ = std::move(made);
}

// Called for each ClientHello. What it names must be what the host was chosen by: a second one
// that names another host would get this host's certificate and then pass for the other.
int Engine::on_client_hello(SSL* ssl, int* alert, void*) {
  Engine& self = of(ssl);
  ++self.hellos_;
  if (self.same_sni(ssl)) return SSL_CLIENT_HELLO_SUCCESS;
  self.hello_changed_ = true;
  *alert = SSL_AD_ILLEGAL_PARAMETER;
  return SSL_CLIENT_HELLO_ERROR;
}

bool Engine::same_sni(SSL* ssl) const {
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size) != 1) {
    return expected_sni_ == SniState::absent;
  }
  std::array<std::uint8_t, 512> copy;
  if (expected_sni_ != SniState::valid || size > copy.size()) return false;
  std::copy_n(bytes, size, copy.begin());
  ServerName name;
  return parse_server_name(std::span(copy).first(size), name) &&
         std::equal(name.name.begin(), name.name.end(), expected_name_.begin(), expected_name_.end(),
                    [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); });
}

const Certificate* Engine::shown() const noexcept {
  const X509* leaf = SSL_get_certificate(ssl_.get());
  const auto found = std::find_if(certificates_.begin(), certificates_.end(),
                                  [leaf](const auto& certificate) { return certificate->leaf() == leaf; });
  return found == certificates_.end() ? nullptr : found->get();
}

std::optional<Digest> Engine::session_certificate() const noexcept {
  SSL_SESSION* const session = SSL_get_session(ssl_.get());
  void* data = nullptr;
  std::size_t size = 0;
  Digest digest{};
  if (session == nullptr || SSL_SESSION_get0_ticket_appdata(session, &data, &size) != 1 ||
      size != digest.size()) {
    return std::nullopt;
  }
  std::memcpy(digest.data(), data, size);
  return digest;
}

// A ticket is about to be made. That of a resumed session has what the one before it had.
int Engine::on_ticket(SSL* ssl, void*) {
  if (SSL_session_reused(ssl) == 1) return 1;
  if (const Certificate* const shown = of(ssl).shown(); shown != nullptr) {
    const Digest& digest = shown->fingerprint();
    // Without memory the ticket merely says less.
    SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), digest.data(), digest.size());
  }
  return 1;
}

int Engine::on_new_session(SSL* ssl, SSL_SESSION* session) {
  SessionSink& sink = of(ssl).sink_;
  if (sink.sessions == nullptr || SSL_SESSION_is_resumable(session) != 1) return 0;
  sink.sessions->keep(session, sink.name, sink.context);
  return 1;
}

Version negotiated_version(const SSL* ssl) noexcept {
  switch (SSL_version(ssl)) {
    case TLS1_2_VERSION:
      return Version::tls12;
    case TLS1_3_VERSION:
      return Version::tls13;
    default:
      return Version::none;
  }
}

Protocol negotiated_protocol(const SSL* ssl) noexcept {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl, &name, &size);
  const std::string_view chosen(reinterpret_cast<const char*>(name), size);
  if (chosen == "h2") return Protocol::h2;
  return chosen == "http/1.1" ? Protocol::http1 : Protocol::none;
}

std::string_view negotiated_cipher(const SSL* ssl) noexcept {
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl);
  return cipher == nullptr ? std::string_view() : SSL_CIPHER_get_name(cipher);
}

std::string_view negotiated_group(SSL* ssl) noexcept {
  const auto id = static_cast<int>(SSL_get_negotiated_group(ssl));
  if (id <= 0) return {};
  const char* name = SSL_group_to_name(ssl, id);
  if (name == nullptr) return "other";
  const GroupName* group = find_group(std::string_view(name));
  return group == nullptr ? std::string_view("other") : group->name;
}

namespace {

struct SignatureName {
  int key;
  int digest;  // NID_undef: the key alone decides
  std::string_view name;
};
constexpr SignatureName kSignatures[] = {
    {EVP_PKEY_EC, NID_sha256, "ecdsa_secp256r1_sha256"},
    {EVP_PKEY_EC, NID_sha384, "ecdsa_secp384r1_sha384"},
    {EVP_PKEY_EC, NID_sha512, "ecdsa_secp521r1_sha512"},
    {EVP_PKEY_RSA_PSS, NID_sha256, "rsa_pss_rsae_sha256"},
    {EVP_PKEY_RSA_PSS, NID_sha384, "rsa_pss_rsae_sha384"},
    {EVP_PKEY_RSA_PSS, NID_sha512, "rsa_pss_rsae_sha512"},
    {EVP_PKEY_RSA, NID_sha256, "rsa_pkcs1_sha256"},
    {EVP_PKEY_RSA, NID_sha384, "rsa_pkcs1_sha384"},
    {EVP_PKEY_RSA, NID_sha512, "rsa_pkcs1_sha512"},
    {EVP_PKEY_ED25519, NID_undef, "ed25519"},
    {EVP_PKEY_ED448, NID_undef, "ed448"},
};

}  // namespace

std::string_view own_signature(SSL* ssl) noexcept {
  int key = NID_undef;
  int digest = NID_undef;
  if (SSL_get_signature_type_nid(ssl, &key) != 1) return {};
  SSL_get_signature_nid(ssl, &digest);
  for (const SignatureName& known : kSignatures) {
    if (known.key == key && (known.digest == NID_undef || known.digest == digest)) return known.name;
  }
  return "other";
}

}  // namespace sallyport::tls
