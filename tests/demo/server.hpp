// The origin's listeners: accepts until a signal comes, one thread a connection.
//
// Made and run by main(). At the end every connection's thread has ended.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "protocols.hpp"

namespace sallyport::demo {

struct Options {
  std::string h1;         // "ADDRESS:PORT", empty = none, port 0 = any
  std::string h2;         // HTTP/2, by prior knowledge or ALPN
  std::string automatic;  // TLS only: HTTP/2 or HTTP/1.1, by ALPN
  std::string certificate;
  std::string key;
  std::string client_ca;  // clients must show a certificate of this CA
  std::uint32_t max_streams = 100;
};

class Server {
 public:
  // Binds; throws std::runtime_error with what failed. SIGINT and SIGTERM must be blocked.
  explicit Server(Options options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // The ports, by the option's name: "h1", "h2", "auto".
  [[nodiscard]] const std::map<std::string, std::uint16_t>& ports() const noexcept { return ports_; }
  void run();

 private:
  struct Listener {
    std::string kind;
    int descriptor = -1;
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls{nullptr, SSL_CTX_free};
  };

  void listen(const std::string& kind, const std::string& address);
  [[nodiscard]] SSL_CTX* make_tls(const std::string& kind) const;
  void accept(const Listener& listener);
  void serve(int descriptor, const Listener& listener);

  Options options_;
  std::vector<Listener> listeners_;
  std::map<std::string, std::uint16_t> ports_;
  Stats stats_;
  int stop_ = -1;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::size_t threads_ = 0;
};

}  // namespace sallyport::demo
