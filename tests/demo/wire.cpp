#include "wire.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509.h>

namespace sallyport::demo {
namespace {

constexpr milliseconds kHandshakeTime{10000};
constexpr milliseconds kLingerTime{2000};

std::string name_of_peer(int descriptor) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "?";
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
    return "[" + std::string(text.data()) + "]:" + std::to_string(ntohs(v6->sin6_port));
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
  inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
  return std::string(text.data()) + ":" + std::to_string(ntohs(v4->sin_port));
}

[[noreturn]] void gone(const char* what) {
  throw Gone(std::string(what) + ": " + std::strerror(errno));
}

TlsFacts facts_of(SSL* ssl) {
  TlsFacts facts;
  if (const char* sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) facts.sni = sni;
  const unsigned char* alpn = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &length);
  facts.alpn.assign(reinterpret_cast<const char*>(alpn), length);
  if (X509* certificate = SSL_get0_peer_certificate(ssl)) {
    std::array<char, 256> subject{};
    X509_NAME_oneline(X509_get_subject_name(certificate), subject.data(), static_cast<int>(subject.size()));
    facts.client_subject = subject.data();
  }
  return facts;
}

}  // namespace

Wire::Wire(int descriptor, int stop, SSL_CTX* context)
    : descriptor_(descriptor), stop_(stop), peer_(name_of_peer(descriptor)) {
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  if (context == nullptr) return;
  ssl_.reset(SSL_new(context));
  SSL_set_fd(ssl_.get(), descriptor);
  SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

Wire::~Wire() {
  ssl_.reset();
  close(descriptor_);
}

void Wire::poll_for(short events, int timeout_ms, short& got) {
  std::array<pollfd, 2> set{pollfd{descriptor_, events, 0}, pollfd{stop_, POLLIN, 0}};
  const int ready = ::poll(set.data(), set.size(), timeout_ms);
  if (ready < 0 && errno != EINTR) gone("poll");
  if (ready > 0 && set[1].revents != 0) throw Stopped();
  got = ready > 0 ? set[0].revents : short{0};
}

void Wire::handshake() {
  if (!ssl_) return;
  const auto deadline = Clock::now() + kHandshakeTime;
  for (;;) {
    ERR_clear_error();
    const int result = SSL_accept(ssl_.get());
    if (result == 1) break;
    const int why = SSL_get_error(ssl_.get(), result);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) throw Gone("TLS handshake failed");
    if (Clock::now() >= deadline) throw Gone("TLS handshake took too long");
    wait(why == SSL_ERROR_WANT_WRITE, deadline);
  }
  tls_ = facts_of(ssl_.get());
}

std::size_t Wire::tls_result(int result, bool& blocked) {
  if (result > 0) return static_cast<std::size_t>(result);
  const int why = SSL_get_error(ssl_.get(), result);
  if (why == SSL_ERROR_ZERO_RETURN) return 0;
  if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) throw Gone("TLS connection broke");
  tls_wants_write_ = why == SSL_ERROR_WANT_WRITE;
  blocked = true;
  return 0;
}

std::optional<std::size_t> Wire::try_read(std::span<char> out) {
  if (ssl_) {
    bool blocked = false;
    ERR_clear_error();
    const std::size_t n = tls_result(SSL_read(ssl_.get(), out.data(), static_cast<int>(out.size())), blocked);
    if (blocked) return std::nullopt;
    return n;
  }
  const ssize_t n = ::recv(descriptor_, out.data(), out.size(), 0);
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno == EAGAIN || errno == EINTR) return std::nullopt;
  gone("read");
}

std::size_t Wire::try_write(std::string_view bytes) {
  if (bytes.empty()) return 0;
  if (ssl_) {
    bool blocked = false;
    ERR_clear_error();
    return tls_result(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())), blocked);
  }
  const ssize_t n = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno == EAGAIN || errno == EINTR) return 0;
  gone("write");
}

void Wire::wait(bool writable, std::optional<Clock::time_point> deadline) {
  int timeout = -1;
  if (deadline) {
    const auto left = std::chrono::ceil<milliseconds>(*deadline - Clock::now()).count();
    timeout = static_cast<int>(std::clamp<long long>(left, 0, 3'600'000));
  }
  short got = 0;
  const bool write_too = writable || tls_wants_write_;
  tls_wants_write_ = false;
  poll_for(static_cast<short>(write_too ? POLLIN | POLLOUT : POLLIN), timeout, got);
}

std::size_t Wire::read(std::span<char> out) {
  for (;;) {
    if (const auto n = try_read(out)) return *n;
    short got = 0;
    poll_for(tls_wants_write_ ? POLLIN | POLLOUT : POLLIN, -1, got);
    tls_wants_write_ = false;
  }
}

void Wire::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t n = try_write(bytes);
    bytes.remove_prefix(n);
    short got = 0;
    if (n == 0) poll_for(POLLOUT, -1, got);
  }
}

void Wire::pause(milliseconds time) {
  const auto until = Clock::now() + time;
  for (auto now = Clock::now(); now < until; now = Clock::now()) {
    short got = 0;
    poll_for(POLLRDHUP, static_cast<int>(std::chrono::ceil<milliseconds>(until - now).count()), got);
    if (got != 0) throw Gone("the peer left");
  }
}

void Wire::linger() {
  if (ssl_) SSL_shutdown(ssl_.get());
  ::shutdown(descriptor_, SHUT_WR);
  std::array<char, 16384> rest{};
  const auto deadline = Clock::now() + kLingerTime;
  while (Clock::now() < deadline) {
    const ssize_t n = ::recv(descriptor_, rest.data(), rest.size(), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
    if (n < 0) wait(false, deadline);
  }
}

void Wire::abort() noexcept {
  const struct linger at_once { 1, 0 };
  setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  if (ssl_) SSL_set_quiet_shutdown(ssl_.get(), 1);
}

}  // namespace sallyport::demo
