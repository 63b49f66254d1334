// A TCP connection for the command line: every call waits, and every wait has a deadline.
//
// For tools that talk to one peer at a time; the data plane uses TcpStream. Owned by its user, one
// thread. Sends never raise SIGPIPE. What ended a call is told apart: an end (FIN), a reset, a
// deadline, a refusal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sallyport/base/clock.hpp"
#include "sallyport/net/address.hpp"

namespace sallyport::net {

class BlockingSocket {
 public:
  enum class Status : std::uint8_t {
    ok,
    eof,          // FIN
    reset,        // RST
    timeout,      // the deadline passed
    refused,      // RST in answer to our SYN
    unreachable,  // no route, or somebody on the way says so
    failed,       // any other errno
  };
  struct Received {
    Status status = Status::ok;
    std::size_t size = 0;
  };

  BlockingSocket() noexcept = default;
  ~BlockingSocket();
  BlockingSocket(BlockingSocket&& other) noexcept;
  BlockingSocket& operator=(BlockingSocket&& other) noexcept;

  // Replaces what was open. TCP_NODELAY is set: what is sent apart leaves apart.
  [[nodiscard]] Status connect(const Endpoint& to, base::Instant deadline);
  [[nodiscard]] Status send(std::span<const char> bytes, base::Instant deadline);
  // At least one byte with `ok`, none with any other status.
  [[nodiscard]] Received receive(std::span<char> into, base::Instant deadline);
  // Until there is something to receive, or the deadline: true for the first.
  [[nodiscard]] bool wait_readable(base::Instant deadline);
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

 private:
  [[nodiscard]] bool wait(short events, base::Instant deadline) const;

  int fd_ = -1;
  bool reset_ = false;  // as a send was told; the kernel tells it once and calls it an end afterwards
};

}  // namespace sallyport::net
