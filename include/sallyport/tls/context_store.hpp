// Which host a server name means: names → host, its policy's context, its certificates.
//
// Immutable, part of a snapshot, read by every worker. A host is found by its exact name, else
// by a wildcard that stands for exactly one label, else by "*", else by the rule for unknown
// names; hosts may be limited to some listeners, so two may share a name on different ones.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/notes.hpp"
#include "sallyport/tls/policy.hpp"
#include "sallyport/tls/server_context.hpp"

namespace sallyport::tls {

struct HostSpec {
  std::string name;                // of the host, for logs and metrics; the first of names when empty
  std::vector<std::string> names;  // "example.com", "*.example.com", "*"; the certificates' SANs when empty
  std::vector<std::uint32_t> listeners;  // indices; all when empty
  // At most one of a key type. None: the host is not served over TLS and only keeps its index.
  std::vector<std::shared_ptr<const Certificate>> certificates;
  std::string policy = "default";
  // False: a ticket is good only as long as the host has the certificates that it was made under.
  bool resume_after_rotation = true;
};

struct StoreSpec {
  std::vector<PolicySpec> policies;  // one named "default" is added if it is missing
  std::vector<HostSpec> hosts;
  std::string unknown_sni;  // a host, by its name or one of its names; empty: refused
  std::string missing_sni;
};

struct HostEntry {
  std::uint32_t index = 0;  // in StoreSpec::hosts
  std::string name;
  std::vector<std::string> names;  // lower case, sorted
  std::vector<std::uint32_t> listeners;
  std::shared_ptr<const ServerContext> context;
  std::vector<std::shared_ptr<const Certificate>> certificates;
  // SHA-256 over names, policy, client-certificate rule with its CA and, where they count, the
  // certificates: the same on all workers and across restarts. A ticket resumes under the same one
  // only (CVE-2025-23419).
  Digest session_id_context{};

  [[nodiscard]] const std::string& auth_rule() const noexcept { return context->policy().auth_rule; }
  [[nodiscard]] bool on(std::uint32_t listener) const noexcept;
};

class ContextStore {
 public:
  // nullptr if `notes` got an error; `where` of a note is "policies[i]…" or "hosts[i]…".
  [[nodiscard]] static std::shared_ptr<const ContextStore> build(const StoreSpec& spec,
                                                                 std::shared_ptr<TicketKeys> keys,
                                                                 Notes& notes);

  // `sni` in lower case without a trailing dot; empty: none was sent. nullptr: refuse.
  [[nodiscard]] const HostEntry* find(std::string_view sni, std::uint32_t listener) const noexcept;

  // The 421 rule (RFC 9110 §15.5.20). `authority_host` as http/ normalised it: lower case, no
  // port; an IP literal counts as a client that could not send SNI.
  //
  // What a connection's handshake stands for in *this* store (it may have been made under an older
  // one): the host that its SNI leads to now, or nullptr if that is gone or its client-certificate
  // rule is another (421, and GOAWAY or Connection: close).
  [[nodiscard]] const HostEntry* rematch(std::string_view sni, std::uint32_t listener,
                                         std::string_view auth_rule) const noexcept;
  // Whether the authority is served by `handshake`, a host of this store.
  [[nodiscard]] bool serves(std::string_view authority_host, std::uint32_t listener,
                            const HostEntry& handshake) const noexcept;

  [[nodiscard]] const std::vector<HostEntry>& hosts() const noexcept { return hosts_; }
  [[nodiscard]] std::size_t contexts() const noexcept { return contexts_.size(); }

 private:
  struct Text {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  using Names = std::unordered_map<std::string, std::vector<std::uint32_t>, Text, std::equal_to<>>;

  ContextStore() = default;
  void add_policies(const StoreSpec& spec, std::shared_ptr<TicketKeys> keys, Notes& notes);
  void add_host(const HostSpec& spec, std::uint32_t index, Notes& notes);
  void add_name(const HostEntry& host, const std::string& name, const std::string& where, Notes& notes);
  [[nodiscard]] std::optional<std::uint32_t> rule(const std::string& value, const char* key,
                                                  Notes& notes) const;
  [[nodiscard]] const HostEntry* find_named(std::string_view name, std::uint32_t listener) const noexcept;
  [[nodiscard]] const HostEntry* pick(const Names& names, std::string_view key,
                                      std::uint32_t listener) const noexcept;
  [[nodiscard]] const HostEntry* by_rule(std::optional<std::uint32_t> host,
                                         std::uint32_t listener) const noexcept;

  std::vector<HostEntry> hosts_;
  std::unordered_map<std::string, std::shared_ptr<const ServerContext>> contexts_;
  Names exact_;
  Names wildcard_;  // "*.example.com" under "example.com"; "*" under ""
  std::optional<std::uint32_t> unknown_;
  std::optional<std::uint32_t> missing_;
};

}  // namespace sallyport::tls
