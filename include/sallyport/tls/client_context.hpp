// How we speak TLS to an upstream: who is trusted, by what name, with which certificate of our
// own, which protocols are offered. Verified by default: chain, name, and SNI sent.
//
// Built on the control loop, immutable, shared by the workers; a reload that changes nothing in
// the spec or the files makes one with an equal digest. ClientSession is what a worker remembers
// to resume with: one per context and endpoint name, held by the pool.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/notes.hpp"
#include "sallyport/tls/policy.hpp"

struct ssl_ctx_st;
struct ssl_session_st;

namespace sallyport::tls {

struct ClientSpec {
  bool verify = true;
  std::string ca_file;      // PEM; the system's store when empty
  std::string server_name;  // sent as SNI and verified; the endpoint's own name when empty
  std::shared_ptr<const Certificate> certificate;  // ours, if the upstream asks; may be null
  std::vector<std::string> alpn{"h2", "http/1.1"};
  Version min_version = Version::tls12;
  Version max_version = Version::tls13;
};

class ClientContext {
 public:
  // nullptr if `notes` got an error.
  [[nodiscard]] static std::shared_ptr<const ClientContext> make(const ClientSpec& spec, Notes& notes);
  ~ClientContext();
  ClientContext(const ClientContext&) = delete;
  ClientContext& operator=(const ClientContext&) = delete;

  [[nodiscard]] const std::string& server_name() const noexcept { return server_name_; }
  [[nodiscard]] bool verifies() const noexcept { return verify_; }
  // Over the spec and the bytes of its files: equal means that pools may be kept.
  [[nodiscard]] const Digest& digest() const noexcept { return digest_; }
  [[nodiscard]] ssl_ctx_st* native() const noexcept { return context_; }  // for tls' own use

 private:
  ClientContext() = default;
  [[nodiscard]] bool configure(const ClientSpec& spec, Notes& notes);
  [[nodiscard]] bool configure_trust(const ClientSpec& spec, Notes& notes);

  ssl_ctx_st* context_ = nullptr;
  std::string server_name_;
  bool verify_ = true;
  Digest digest_{};
};

// The last session that an upstream gave, and for whom: a session carries the verdict on the
// certificate that it was made with, so it is shown to that name under that context only.
// One worker.
class ClientSession {
 public:
  ClientSession() noexcept = default;
  ~ClientSession() { clear(); }
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  // Takes ownership.
  void keep(ssl_session_st* session, const std::string& name, const Digest& context);
  // nullptr: none that fits. The caller owns it. One of TLS 1.3 is given out once (RFC 8446 appendix
  // C.4: a ticket shown twice lets onlookers link connections).
  [[nodiscard]] ssl_session_st* take(const std::string& name, const Digest& context) noexcept;
  [[nodiscard]] bool empty() const noexcept { return session_ == nullptr; }
  void clear() noexcept;

 private:
  ssl_session_st* session_ = nullptr;
  std::string name_;
  Digest context_{};
};

}  // namespace sallyport::tls
