// Both ends of a loopback connection for the stream tests: our server end on a net::Loop with an
// echoing session, and a client of OpenSSL's own on a blocking socket in a thread.
#pragma once

#include <functional>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sallyport/net/listener.hpp"
#include "sallyport/tls/client_stream.hpp"
#include "sallyport/tls/server_stream.hpp"

#include "catch.hpp"
#include "certificates.hpp"
#include "hello_bytes.hpp"

namespace tls_test {

namespace net = sallyport::net;
namespace base = sallyport::base;
namespace tls = sallyport::tls;

// A session that keeps what arrives, echoes it unless told otherwise, and tells when it is over.
struct Session final : net::ByteStream::Handler {
  std::unique_ptr<net::ByteStream> stream;
  std::string received;
  std::size_t written = 0;
  bool eof = false;
  std::optional<base::Error> closed;
  std::function<void(Session&, std::span<const char>)> take = [](Session& s, std::span<const char> bytes) {
    s.received.append(bytes.data(), bytes.size());
    s.stream->write(bytes);
  };
  std::function<void(Session&)> after_written = [](Session&) {};
  std::function<void()> changed = [] {};

  void on_bytes(std::span<const char> bytes) override {
    take(*this, bytes);
    changed();
  }
  void on_eof() override {
    eof = true;
    if (stream->is_open()) stream->finish();
    changed();
  }
  void on_written(std::size_t n) override {
    written += n;
    after_written(*this);
    changed();
  }
  void on_closed(const base::Error& error) override {
    closed = error;
    changed();
  }
};

// What the last handshake was, copied out of its call.
struct Facts {
  std::string host, sni, cipher, group, sigalg, fingerprint, subject;
  tls::Version version{};
  tls::Protocol protocol{};
  bool resumed = false, retried = false, segmented = false;
  tls::ClientCertResult client_cert{};
};
struct Failed {
  tls::Verdict verdict;
  std::string host, sni, openssl;
  std::optional<std::uint8_t> alert_sent, alert_received;
  bool hello = false;
};

class Server final : public net::Listener::Handler, public tls::HandshakeHandler {
 public:
  explicit Server(std::shared_ptr<const tls::ContextStore> contexts = nullptr,
                  base::Milliseconds resolution = base::Milliseconds(10))
      : store(std::move(contexts)), loop(resolution) {
    auto sockets = net::ListenerSocket::bind_set(*net::Endpoint::parse("127.0.0.1:0"), 1);
    REQUIRE(sockets.has_value());
    listener = std::make_unique<net::Listener>(loop, std::move((*sockets)[0]), *this);
    listener->start();
  }

  [[nodiscard]] std::uint16_t port() const { return listener->local().port; }

  // Runs the loop until `done` holds; it is looked at after each event.
  void run_until(std::function<bool()> done) {
    done_ = std::move(done);
    if (done_()) return;
    ::alarm(60);  // a hang ends the program instead of the night
    loop.run();
    ::alarm(0);
    done_ = nullptr;
  }
  void look() {
    if (done_ && done_()) loop.stop();
  }
  // Runs `client` in a thread and the loop here until it is through and `also` holds.
  template <class Client>
  auto serve(
      Client client, std::function<bool()> also = [] { return true; }) {
    using Result = decltype(client());
    Result result{};
    bool finished = false;
    std::thread thread([&] {
      result = client();
      loop.post([&] {
        finished = true;
        look();
      });
    });
    run_until([&] { return finished && also(); });
    thread.join();
    return result;
  }

  void on_accept(net::TcpSocket socket, const net::Endpoint& peer, const net::Endpoint& local) override {
    auto stream = std::make_unique<tls::ServerStream>(loop, std::move(socket), peer, local, options, *this);
    stream->begin();
    opening.push_back(std::move(stream));
    if (accepted) accepted(*opening.back());
    look();
  }
  void on_accept_error(const base::Error&) override {}

  std::shared_ptr<const tls::ContextStore> context_store() override { return store; }
  void on_handshake(tls::ServerStream& stream, const tls::Handshake& facts) override {
    Facts copy;
    copy.host = facts.host->name;
    copy.sni = facts.sni;
    copy.cipher = facts.cipher;
    copy.group = facts.group;
    copy.sigalg = facts.sigalg;
    copy.version = facts.version;
    copy.protocol = facts.protocol;
    copy.resumed = facts.resumed;
    copy.retried = facts.hello_retried;
    copy.segmented = facts.hello_segmented;
    copy.client_cert = facts.client_cert;
    copy.subject = facts.client_subject;
    if (facts.certificate != nullptr) copy.fingerprint = facts.certificate->fingerprint_hex();
    handshakes.push_back(copy);
    auto session = std::make_unique<Session>();
    session->stream = take(stream);
    session->changed = [this] { look(); };
    if (prepare) prepare(*session);
    sessions.push_back(std::move(session));
    if (start_at_once) sessions.back()->stream->start(*sessions.back());
    look();
  }
  void on_handshake_failed(tls::ServerStream&, const tls::HandshakeFailure& failure) override {
    Failed copy;
    copy.verdict = failure.verdict;
    copy.host = failure.host == nullptr ? "" : failure.host->name;
    copy.sni = failure.sni;
    copy.openssl = tls::openssl_reason(failure.openssl_error);
    copy.alert_sent = failure.alert_sent;
    copy.alert_received = failure.alert_received;
    copy.hello = failure.hello != nullptr;
    failures.push_back(copy);
    look();
  }
  void on_handshake_over(tls::ServerStream& stream) override {
    loop.reap(take(stream));
    ++over;
    look();
  }
  std::unique_ptr<tls::ServerStream> take(tls::ServerStream& stream) {
    for (auto it = opening.begin(); it != opening.end(); ++it) {
      if (it->get() != &stream) continue;
      auto taken = std::move(*it);
      opening.erase(it);
      return taken;
    }
    FAIL("a stream that is not in its handshake");
    return nullptr;
  }

  std::shared_ptr<const tls::ContextStore> store;
  net::Loop loop;
  std::unique_ptr<net::Listener> listener;
  tls::ServerStreamOptions options;
  std::vector<std::unique_ptr<tls::ServerStream>> opening;
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<Facts> handshakes;
  std::vector<Failed> failures;
  std::function<void(tls::ServerStream&)> accepted;
  std::function<void(Session&)> prepare;
  bool start_at_once = true;
  int over = 0;

 private:
  std::function<bool()> done_;
};

// A blocking socket, closed at the end.
struct Plug {
  int fd = -1;
  explicit Plug(std::uint16_t port) {
    fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) ::abort();
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const timeval limit{20, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~Plug() { ::close(fd); }
  Plug(const Plug&) = delete;
  Plug& operator=(const Plug&) = delete;
  void send(const std::string& bytes) const {
    static_cast<void>(!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }
  [[nodiscard]] std::string read_all() const {
    std::string all;
    char block[4096];
    while (true) {
      const ssize_t n = ::recv(fd, block, sizeof block, 0);
      if (n <= 0) return all;
      all.append(block, static_cast<std::size_t>(n));
    }
  }
};

struct Ask {
  const char* sni = "a.example";
  std::string alpn;
  int min = TLS1_2_VERSION;
  int max = TLS1_3_VERSION;
  const char* ciphers = nullptr;
  const char* suites = nullptr;
  const char* groups = nullptr;
  const char* sigalgs = nullptr;
  const Identity* trust = nullptr;
  const Identity* own = nullptr;
  SSL_SESSION* resume = nullptr;
  // Before the handshake.
  std::function<void(SSL*)> prepare;
  // After the handshake; the default sends "ping" and reads four bytes.
  std::function<void(SSL*)> talk;
};
struct Got {
  bool connected = false;
  int error = 0;  // reason code
  int version = 0;
  std::string alpn, reply, shown_key;
  bool resumed = false;
  Owned<SSL_SESSION> session;
};

inline std::string exchange(SSL* ssl, const std::string& text) {
  SSL_write(ssl, text.data(), static_cast<int>(text.size()));
  std::string reply(text.size(), '\0');
  std::size_t have = 0;
  while (have < reply.size()) {
    const int n = SSL_read(ssl, reply.data() + have, static_cast<int>(reply.size() - have));
    if (n <= 0) break;
    have += static_cast<std::size_t>(n);
  }
  reply.resize(have);
  return reply;
}

inline int keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* got = static_cast<Got*>(SSL_get_app_data(ssl));
  got->session.reset(session);
  return 1;
}

inline Got ask(std::uint16_t port, const Ask& how) {
  Got got;
  ERR_clear_error();
  const Plug plug(port);
  const Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context.get(), keep_session);
  SSL_CTX_set_min_proto_version(context.get(), how.min);
  SSL_CTX_set_max_proto_version(context.get(), how.max);
  if (how.ciphers != nullptr) SSL_CTX_set_cipher_list(context.get(), how.ciphers);
  if (how.suites != nullptr) SSL_CTX_set_ciphersuites(context.get(), how.suites);
  if (how.groups != nullptr) SSL_CTX_set1_groups_list(context.get(), how.groups);
  if (how.sigalgs != nullptr) SSL_CTX_set1_sigalgs_list(context.get(), how.sigalgs);
  if (how.trust != nullptr) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), how.trust->certificate.get());
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  if (how.own != nullptr) {
    SSL_CTX_use_certificate(context.get(), how.own->certificate.get());
    SSL_CTX_use_PrivateKey(context.get(), how.own->key.get());
  }
  const Owned<SSL> ssl(SSL_new(context.get()));
  SSL_set_app_data(ssl.get(), &got);
  if (how.sni != nullptr) set_sni(ssl.get(), how.sni);
  if (!how.alpn.empty()) set_alpn(ssl.get(), how.alpn);
  if (how.resume != nullptr) {
    // A copy: OpenSSL's client uses one of TLS 1.3 up.
    const Owned<SSL_SESSION> copy(SSL_SESSION_dup(how.resume));
    SSL_set_session(ssl.get(), copy.get());
  }
  SSL_set_fd(ssl.get(), plug.fd);
  if (how.prepare) how.prepare(ssl.get());
  got.connected = SSL_connect(ssl.get()) == 1;
  if (got.connected) {
    got.version = SSL_version(ssl.get());
    got.resumed = SSL_session_reused(ssl.get()) == 1;
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl.get(), &name, &size);
    got.alpn.assign(reinterpret_cast<const char*>(name), size);
    if (X509* shown = SSL_get0_peer_certificate(ssl.get())) {
      got.shown_key = EVP_PKEY_get_base_id(X509_get0_pubkey(shown)) == EVP_PKEY_RSA ? "rsa" : "ecdsa";
    }
    if (how.talk) {
      how.talk(ssl.get());
    } else {
      got.reply = exchange(ssl.get(), "ping");
    }
  }
  got.error = ERR_GET_REASON(ERR_peek_error());
  ERR_clear_error();
  SSL_shutdown(ssl.get());
  return got;
}

}  // namespace tls_test
