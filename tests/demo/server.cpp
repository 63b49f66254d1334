#include "server.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include <openssl/crypto.h>

namespace sallyport::demo {
namespace {

constexpr std::string_view kBoth("\x02h2\x08http/1.1", 12);
constexpr std::string_view kHttp2 = kBoth.substr(0, 3);
constexpr std::string_view kHttp1 = kBoth.substr(3);

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what);
}

std::string_view alpn_of(const std::string& kind) {
  if (kind == "h1") return kHttp1;
  return kind == "h2" ? kHttp2 : kBoth;
}

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                unsigned in_length, void* ours) {
  const auto& mine = *static_cast<const std::string_view*>(ours);
  unsigned char* chosen = nullptr;
  const int result =
      SSL_select_next_proto(&chosen, out_length, reinterpret_cast<const unsigned char*>(mine.data()),
                            static_cast<unsigned>(mine.size()), in, in_length);
  *out = chosen;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int bind_to(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) fail(address + ": ADDRESS:PORT is wanted");
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found);
  if (error != 0) fail(address + ": " + gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  const int descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(descriptor, found->ai_addr, found->ai_addrlen) != 0 || listen(descriptor, SOMAXCONN) != 0) {
    fail(address + ": " + std::strerror(errno));
  }
  return descriptor;
}

std::uint16_t port_of(int descriptor) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

}  // namespace

Server::Server(Options options) : options_(std::move(options)), stop_(eventfd(0, EFD_CLOEXEC)) {
  listen("h1", options_.h1);
  listen("h2", options_.h2);
  listen("auto", options_.automatic);
}

Server::~Server() {
  for (const auto& listener : listeners_) close(listener.descriptor);
  close(stop_);
}

void Server::listen(const std::string& kind, const std::string& address) {
  if (address.empty()) return;
  Listener listener;
  listener.kind = kind;
  if (!options_.certificate.empty()) listener.tls.reset(make_tls(kind));
  if (kind == "auto" && !listener.tls) fail("--auto chooses by ALPN and needs --cert and --key");
  listener.descriptor = bind_to(address);
  ports_[kind] = port_of(listener.descriptor);
  listeners_.push_back(std::move(listener));
}

SSL_CTX* Server::make_tls(const std::string& kind) const {
  static const std::map<std::string, std::string_view> protocols{
      {"h1", alpn_of("h1")}, {"h2", alpn_of("h2")}, {"auto", alpn_of("auto")}};
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (SSL_CTX_use_certificate_chain_file(context.get(), options_.certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), options_.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    fail("cannot use " + options_.certificate + " with " + options_.key);
  }
  if (!options_.client_ca.empty()) {
    if (SSL_CTX_load_verify_locations(context.get(), options_.client_ca.c_str(), nullptr) != 1) {
      fail("cannot read " + options_.client_ca);
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  constexpr std::array<unsigned char, 4> kSessions{'d', 'e', 'm', 'o'};
  SSL_CTX_set_session_id_context(context.get(), kSessions.data(), kSessions.size());
  // OpenSSL takes no const here and only hands it back to select_alpn.
  SSL_CTX_set_alpn_select_cb(context.get(), &select_alpn, const_cast<std::string_view*>(&protocols.at(kind)));
  return context.release();
}

void Server::run() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  const int ending = signalfd(-1, &signals, SFD_CLOEXEC);
  std::vector<pollfd> set{{ending, POLLIN, 0}};
  for (const auto& listener : listeners_) set.push_back({listener.descriptor, POLLIN, 0});
  while ((set[0].revents & POLLIN) == 0) {
    if (::poll(set.data(), set.size(), -1) < 0 && errno != EINTR) fail("poll failed");
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      if ((set[i + 1].revents & POLLIN) != 0) accept(listeners_[i]);
    }
  }
  close(ending);
  eventfd_write(stop_, 1);
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return threads_ == 0; });
}

void Server::accept(const Listener& listener) {
  const int descriptor = accept4(listener.descriptor, nullptr, nullptr, SOCK_CLOEXEC);
  if (descriptor < 0) return;
  {
    const std::lock_guard lock(mutex_);
    ++threads_;
  }
  try {
    std::thread([this, descriptor, &listener] { serve(descriptor, listener); }).detach();
  } catch (const std::system_error&) {  // no more threads: this connection is refused
    close(descriptor);
    const std::lock_guard lock(mutex_);
    --threads_;
  }
}

void Server::serve(int descriptor, const Listener& listener) {
  ++stats_.connections;
  ++stats_.open;
  try {
    Wire wire(descriptor, stop_, listener.tls.get());
    wire.handshake();
    const bool by_alpn = listener.kind == "auto" && wire.tls()->alpn == "h2";
    if (listener.kind == "h2" || by_alpn) {
      serve_http2(wire, stats_, options_.max_streams);
    } else {
      serve_http1(wire, stats_);
    }
  } catch (const Gone&) {     // counted where it mattered
  } catch (const Stopped&) {  // the process ends
  }
  OPENSSL_thread_stop();  // or its end of this thread would race the process's, that waits for threads_ alone
  --stats_.open;
  const std::lock_guard lock(mutex_);
  --threads_;
  idle_.notify_one();
}

}  // namespace sallyport::demo
