#include "probe_engine.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <openssl/ocsp.h>

#include "certificate_text.hpp"
#include "suites.hpp"

namespace sallyport::tls {

namespace {

using Status = net::BlockingSocket::Status;
using Read = ProbeConnection::Read;

constexpr const char* kCurrentGroups = "X25519:P-256:P-384";
constexpr const char* kEcdsaSuites =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA";
constexpr const char* kRsaSuites =
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:AES128-GCM-SHA256:AES128-SHA";

struct Settings {
  int min = TLS1_2_VERSION;
  int max = TLS1_3_VERSION;
  std::string suites = "DEFAULT";  // of TLS 1.2
  const char* groups = "X25519:P-256:P-384:P-521";
  const char* signatures = nullptr;  // OpenSSL's own
  const char* suites13 = nullptr;    // likewise
  std::string alpn = "\x02h2\x08http/1.1";
};

std::string cloudflare_list() {
  std::string list;
  for (const std::uint16_t suite : cloudflare_suites()) {
    if (!list.empty()) list += ':';
    list += suite_name(suite);
  }
  return list;
}

// BoringSSL's lists (config/cloudflare.hpp), as far as this OpenSSL has what is in them.
void dress_as_cloudflare(Settings& to) {
  to.suites = cloudflare_list();
  to.suites13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
  to.groups = OpenSSL_version_num() >= 0x30500000UL ? "X25519MLKEM768:X25519:P-256:P-384" : kCurrentGroups;
  to.signatures =
      "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA384:RSA+SHA384:RSA-PSS+SHA512:RSA+"
      "SHA512";
}

Settings settings_of(ProbeKind kind, const ProbeTarget& target) {
  Settings to;
  if (target.as_cloudflare) dress_as_cloudflare(to);
  switch (kind) {
    case ProbeKind::tls13:
      to.min = TLS1_3_VERSION;
      to.groups = kCurrentGroups;
      break;
    case ProbeKind::tls12:
      to.max = TLS1_2_VERSION;
      break;
    case ProbeKind::cloudflare_12:
      to.max = TLS1_2_VERSION;
      to.suites = cloudflare_list();
      to.groups = kCurrentGroups;
      break;
    case ProbeKind::ecdsa_only:
      to.suites = kEcdsaSuites;
      to.signatures = "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512";
      break;
    case ProbeKind::rsa_only:
      to.suites = kRsaSuites;
      to.signatures = "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512";
      break;
    case ProbeKind::h2_only:
      to.alpn = "\x02h2";
      break;
    case ProbeKind::http1_only:
      to.alpn = "\x08http/1.1";
      break;
    case ProbeKind::no_alpn:
      to.alpn.clear();
      break;
    default:
      break;
  }
  return to;
}

[[noreturn]] void refuse(const char* what) {
  throw std::runtime_error(std::string("OpenSSL refuses ") + what + ": " + take_openssl_error());
}

// What a client of that kind offers; whom it trusts is judged afterwards, from the chain.
SslCtxPtr make_context(const Settings& settings) {
  SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context) refuse("a context");
  SSL_CTX* raw = context.get();
  // A server that is too weak for this machine's own rules is to be seen all the same.
  SSL_CTX_set_security_level(raw, 0);
  SSL_CTX_set_options(raw, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(raw, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  if (SSL_CTX_set_min_proto_version(raw, settings.min) != 1 ||
      SSL_CTX_set_max_proto_version(raw, settings.max) != 1)
    refuse("the versions");
  if (SSL_CTX_set_cipher_list(raw, settings.suites.c_str()) != 1) refuse("the cipher suites");
  if (SSL_CTX_set1_groups_list(raw, settings.groups) != 1) refuse("the groups");
  if (settings.suites13 != nullptr && SSL_CTX_set_ciphersuites(raw, settings.suites13) != 1)
    refuse("the suites of TLS 1.3");
  if (settings.signatures != nullptr && SSL_CTX_set1_sigalgs_list(raw, settings.signatures) != 1)
    refuse("the signature algorithms");
  // Zero is success, of this function alone.
  if (!settings.alpn.empty() &&
      SSL_CTX_set_alpn_protos(raw, reinterpret_cast<const unsigned char*>(settings.alpn.data()),
                              static_cast<unsigned>(settings.alpn.size())) != 0)
    refuse("the application protocols");
  return context;
}

ProbeEnd end_of(Status status) noexcept {
  switch (status) {
    case Status::ok:
      return ProbeEnd::done;
    case Status::timeout:
      return ProbeEnd::timeout;
    case Status::eof:
      return ProbeEnd::closed;
    default:
      return ProbeEnd::reset;
  }
}

struct FreeResponse {
  void operator()(OCSP_RESPONSE* p) const noexcept { OCSP_RESPONSE_free(p); }
  void operator()(OCSP_BASICRESP* p) const noexcept { OCSP_BASICRESP_free(p); }
};

ShownStaple read_staple(SSL* ssl) {
  ShownStaple staple;
  const unsigned char* der = nullptr;
  const long size = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
  if (size <= 0 || der == nullptr) return staple;
  staple.status = ShownStaple::Status::unreadable;
  const std::unique_ptr<OCSP_RESPONSE, FreeResponse> response(d2i_OCSP_RESPONSE(nullptr, &der, size));
  if (!response || OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) return staple;
  const std::unique_ptr<OCSP_BASICRESP, FreeResponse> basic(OCSP_response_get1_basic(response.get()));
  OCSP_SINGLERESP* single = basic ? OCSP_resp_get0(basic.get(), 0) : nullptr;
  if (single == nullptr) return staple;
  ASN1_GENERALIZEDTIME* next = nullptr;
  switch (OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next)) {
    case V_OCSP_CERTSTATUS_GOOD:
      staple.status = ShownStaple::Status::good;
      break;
    case V_OCSP_CERTSTATUS_REVOKED:
      staple.status = ShownStaple::Status::revoked;
      break;
    default:
      staple.status = ShownStaple::Status::unknown;
  }
  if (next != nullptr) staple.next_update = wall_time(next);
  return staple;
}

// The leaf promises a staple (RFC 7633).
bool must_staple(const X509* leaf) {
  constexpr long kStatusRequest = 5;
  TLS_FEATURE* features = static_cast<TLS_FEATURE*>(X509_get_ext_d2i(leaf, NID_tlsfeature, nullptr, nullptr));
  bool found = false;
  for (int i = 0; features != nullptr && i < sk_ASN1_INTEGER_num(features); ++i)
    found = found || ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == kStatusRequest;
  TLS_FEATURE_free(features);
  return found;
}

std::vector<CertificateRef> chain_of(SSL* ssl) {
  std::vector<CertificateRef> chain;
  const STACK_OF(X509)* sent = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; sent != nullptr && i < sk_X509_num(sent); ++i) {
    X509* certificate = sk_X509_value(sent, i);
    X509_up_ref(certificate);
    chain.emplace_back(certificate, X509_free);
  }
  return chain;
}

// A server may list hundreds.
std::vector<std::string> client_cas_of(SSL* ssl) {
  constexpr int kMost = 20;
  std::vector<std::string> names;
  const STACK_OF(X509_NAME)* list = SSL_get0_peer_CA_list(ssl);
  for (int i = 0; list != nullptr && i < std::min(sk_X509_NAME_num(list), kMost); ++i)
    names.push_back(name_text(sk_X509_NAME_value(list, i)));
  return names;
}

}  // namespace

ProbeEngine::ProbeEngine(net::BlockingSocket socket, ProbeKind kind, const ProbeTarget& target,
                         const ProbeSession& session)
    : socket_(std::move(socket)),
      context_(make_context(settings_of(kind, target))),
      ssl_(SSL_new(context_.get())),
      certificate_(target.certificate) {
  if (!ssl_) refuse("a connection");
  SSL* ssl = ssl_.get();
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, in_, out_);
  BIO_set_mem_eof_return(in_, -1);
  SSL_set_connect_state(ssl);
  SSL_set_app_data(ssl, this);
  SSL_CTX_set_info_callback(context_.get(), on_info);
  SSL_set_info_callback(ssl, on_info);
  SSL_set_cert_cb(ssl, on_certificate_request, this);
  SSL_CTX_sess_set_new_cb(context_.get(), on_session);
  SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
  if (!target.sni.empty()) {
    std::string name = target.sni;
    // The macro of it casts as C does.
    if (SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data()) != 1)
      refuse("the name");
  }
  if (session != nullptr && SSL_set_session(ssl, session.get()) != 1) refuse("the session");
}

ProbeEngine::~ProbeEngine() {
  if (!done_) return;
  SSL_shutdown(ssl_.get());
  // Whether it arrives is of no interest; a peer that takes nothing is not waited for.
  static_cast<void>(flush(base::Clock::now()));
  ERR_clear_error();
}

void ProbeEngine::on_info(const SSL* ssl, int where, int value) {
  if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT) return;
  auto* self = static_cast<ProbeEngine*>(SSL_get_app_data(ssl));
  constexpr int kFatal = 2;
  if ((value >> 8) == kFatal) self->alert_ = static_cast<std::uint8_t>(value & 0xff);
}

// OpenSSL calls this when the server asks, and not before.
int ProbeEngine::on_certificate_request(SSL* ssl, void* self) {
  auto* engine = static_cast<ProbeEngine*>(self);
  engine->certificate_asked_ = true;
  const Certificate* own = engine->certificate_.get();
  if (own == nullptr) return 1;  // goes on with none
  return SSL_use_cert_and_key(ssl, own->leaf(), own->key(), own->intermediates(), 1);
}

int ProbeEngine::on_session(SSL* ssl, SSL_SESSION* session) {
  static_cast<ProbeEngine*>(SSL_get_app_data(ssl))->session_ = ProbeSession(session, SSL_SESSION_free);
  return 1;  // the reference is ours
}

bool ProbeEngine::flush(base::Instant deadline) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out_, &bytes);
  if (size <= 0) return true;
  const Status status = socket_.send({bytes, static_cast<std::size_t>(size)}, deadline);
  static_cast<void>(BIO_reset(out_));
  return status == Status::ok;
}

ProbeEnd ProbeEngine::fill(base::Instant deadline) {
  std::array<char, 16384> bytes;
  const net::BlockingSocket::Received got = socket_.receive(bytes, deadline);
  if (got.status != Status::ok) return end_of(got.status);
  if (!done_) reader_.feed({bytes.data(), got.size});
  if (BIO_write(in_, bytes.data(), static_cast<int>(got.size)) != static_cast<int>(got.size))
    throw std::bad_alloc();
  return ProbeEnd::done;
}

ProbeEnd ProbeEngine::end_of_failure(std::string& detail) const {
  detail = take_openssl_error();
  if (alert_ || reader_.state() == AnswerReader::State::alert) return ProbeEnd::alert;
  return SSL_get_shutdown(ssl_.get()) == 0 ? ProbeEnd::broken : ProbeEnd::closed;
}

ProbeEnd ProbeEngine::run_handshake(base::Instant deadline, std::string& detail) {
  for (;;) {
    ERR_clear_error();
    const int made = SSL_do_handshake(ssl_.get());
    const int error = SSL_get_error(ssl_.get(), made);
    // What cannot be sent may still have been answered: reading tells more.
    static_cast<void>(flush(deadline));
    if (made == 1) return ProbeEnd::done;
    if (error != SSL_ERROR_WANT_READ) return end_of_failure(detail);
    const ProbeEnd end = fill(deadline);
    if (reader_.state() == AnswerReader::State::not_tls) {
      while (!reader_.line_done() && fill(deadline) == ProbeEnd::done) continue;
      detail = reader_.answer().first_line;
      return ProbeEnd::not_tls;
    }
    if (end != ProbeEnd::done) return end;
  }
}

void ProbeEngine::handshake(ProbeResult& result, base::Instant deadline) {
  result.end = run_handshake(deadline, result.detail);
  done_ = result.end == ProbeEnd::done;
  describe(result);
}

void ProbeEngine::describe(ProbeResult& result) const {
  SSL* ssl = ssl_.get();
  const ServerAnswer& seen = reader_.answer();
  result.silent = !reader_.started();
  result.hello_retry = seen.retry;
  result.version_id = seen.version;
  result.suite_id = seen.suite;
  if (const GroupName* known = find_group(seen.group)) result.group = known->name;
  result.alert = alert_ ? alert_ : seen.alert;
  result.certificate_asked = certificate_asked_;
  result.client_cas = client_cas_of(ssl);
  result.session = session_;
  result.chain = chain_of(ssl);
  if (!done_) return;
  result.staple = read_staple(ssl);
  result.must_staple = !result.chain.empty() && must_staple(result.chain.front().get());
  result.resumed = SSL_session_reused(ssl) == 1;
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &name, &size);
  result.alpn.assign(name, name + size);
}

bool ProbeEngine::write(std::string_view bytes, base::Instant deadline) {
  ERR_clear_error();
  const int size = static_cast<int>(bytes.size());
  return SSL_write(ssl_.get(), bytes.data(), size) == size && flush(deadline);
}

Read ProbeEngine::read_some(base::Instant deadline, int (*step)(SSL*, void*, int), std::span<char> into) {
  ERR_clear_error();
  const int n = step(ssl_.get(), into.data(), static_cast<int>(into.size()));
  if (n > 0) return {ProbeEnd::done, static_cast<std::size_t>(n), {}};
  const int error = SSL_get_error(ssl_.get(), n);
  static_cast<void>(flush(deadline));  // an answer to a key update
  if (error == SSL_ERROR_WANT_READ) return {fill(deadline), 0, {}};
  if (error == SSL_ERROR_ZERO_RETURN) return {ProbeEnd::closed, 0, {}};
  ERR_clear_error();
  return {alert_ ? ProbeEnd::alert : ProbeEnd::broken, 0, alert_};
}

Read ProbeEngine::read(std::span<char> into, base::Instant deadline) {
  for (;;) {
    const Read read = read_some(deadline, SSL_read, into);
    if (read.end != ProbeEnd::done || read.size != 0) return read;
  }
}

Read ProbeEngine::settle(base::Instant deadline) {
  char byte = 0;
  while (session_ == nullptr) {
    // Looks at application data without taking it.
    const Read read = read_some(deadline, SSL_peek, {&byte, 1});
    if (read.end != ProbeEnd::done || read.size != 0) return read;
  }
  return {};
}

}  // namespace sallyport::tls
