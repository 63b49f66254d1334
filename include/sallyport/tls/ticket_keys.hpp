// The keys under which session tickets are sealed, ours and rotating, so that every worker can
// resume what any of them issued and no key outlives its time (RFC 5077 §4, RFC 8446 §4.6.1).
//
// One object in the process, shared by all server contexts of all snapshots: a reload must not
// void the tickets. Any thread: a handshake takes a lock for the time of a pointer copy, once;
// rotation runs on the control loop with the time handed in. A stolen key opens what was sealed
// within its life of rotate_every, and resumption only: 1.3 resumes with a fresh key exchange.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "sallyport/base/clock.hpp"

struct ssl_st;
struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;

namespace sallyport::tls {

class TicketKeys {
 public:
  struct Options {
    base::Seconds rotate_every{12 * 3600};
    // A ticket is taken for so long; a key that no longer seals is kept to open for as long.
    base::Seconds lifetime{12 * 3600};
  };

  TicketKeys(Options options, base::WallTime now);
  ~TicketKeys();
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;

  // Makes a new sealing key if the current one is old enough and drops those past their time.
  // True if a key was made. Cheap to call often.
  bool rotate_if_due(base::WallTime now);
  void rotate(base::WallTime now);

  [[nodiscard]] std::uint64_t rotations() const;
  [[nodiscard]] std::size_t count() const;  // keys that open
  [[nodiscard]] const Options& options() const noexcept { return options_; }

  // OpenSSL's ticket callback (SSL_CTX_set_tlsext_ticket_key_evp_cb) with ourselves in hand:
  // 1 sealed or opened, 2 opened under an old key (issue a new ticket), 0 unknown key, -1 failure.
  int seal_or_open(unsigned char* name, unsigned char* iv, evp_cipher_ctx_st* cipher, evp_mac_ctx_st* mac,
                   bool seal) const;

 private:
  struct KeySet;
  [[nodiscard]] std::shared_ptr<const KeySet> current() const;

  Options options_;
  mutable std::mutex mutex_;
  std::shared_ptr<const KeySet> keys_;
  std::uint64_t rotations_ = 0;
};

}  // namespace sallyport::tls
