// Ids of TLS connections: what joins a handshake's log line with the access log lines behind it.
//
// One a worker, on its thread. An id is 64 bits that no other connection of the process has, and
// that one of another run or machine has by accident only; no system call, no shared counter. It
// is a name and no secret: who sees two may know the third.
#pragma once

#include <cstdint>

namespace sallyport::runtime {

class TlsIds {
 public:
  // `process`: random, the same for all workers, which count on from places far apart.
  TlsIds(std::uint64_t process, std::uint32_t worker) noexcept
      : count_(process + (std::uint64_t{worker} << 44)) {}

  // Never 0, which stands for no TLS.
  [[nodiscard]] std::uint64_t next() noexcept {
    std::uint64_t id = mixed(count_++);
    if (id == 0) id = mixed(count_++);
    return id;
  }

 private:
  // SplitMix64's last step (Steele, Lea and Flood, 2014). It is one to one, so different counts
  // stay different; neighbours do not look alike.
  [[nodiscard]] static std::uint64_t mixed(std::uint64_t n) noexcept {
    n = (n ^ (n >> 30)) * 0xbf58'476d'1ce4'e5b9;
    n = (n ^ (n >> 27)) * 0x94d0'49bb'1331'11eb;
    return n ^ (n >> 31);
  }

  std::uint64_t count_;
};

}  // namespace sallyport::runtime
