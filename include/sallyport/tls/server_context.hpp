// One OpenSSL context per policy: versions, suites, groups, ALPN, client-certificate rule and
// ticket keys. It holds no certificate: those are put on each connection's SSL object, so that
// ten thousand hosts cost ten thousand certificates and not ten thousand contexts.
//
// Built on the control loop, immutable, shared by workers and snapshots; dies with the last
// connection that uses it.
#pragma once

#include <memory>

#include "sallyport/tls/notes.hpp"
#include "sallyport/tls/policy.hpp"
#include "sallyport/tls/ticket_keys.hpp"

struct ssl_ctx_st;

namespace sallyport::tls {

class ServerContext {
 public:
  // nullptr if `notes` got an error. `keys` nullptr: no tickets.
  [[nodiscard]] static std::shared_ptr<const ServerContext> make(std::shared_ptr<const Policy> policy,
                                                                 std::shared_ptr<TicketKeys> keys,
                                                                 Notes& notes);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  [[nodiscard]] const Policy& policy() const noexcept { return *policy_; }
  [[nodiscard]] ssl_ctx_st* native() const noexcept { return context_; }  // for tls' own use

 private:
  ServerContext() = default;
  [[nodiscard]] bool configure(Notes& notes);
  [[nodiscard]] bool configure_client_auth(Notes& notes);

  std::shared_ptr<const Policy> policy_;
  std::shared_ptr<TicketKeys> keys_;
  ssl_ctx_st* context_ = nullptr;
};

}  // namespace sallyport::tls
