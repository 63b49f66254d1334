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

// What a handshake is made under: the host's own policy, or one that a rule of it picked.
struct Terms {
  std::shared_ptr<const ServerContext> context;
  // SHA-256 over the host's names, the policy, its client-certificate rule with its CA and, where they
  // count, the certificates: the same on all workers and across restarts. A ticket resumes under the
  // same one only (CVE-2025-23419).
  Digest session_id_context{};
  // The client-certificate rule; where a host's policies differ in it also by which way a hello came
  // to this one. What a connection keeps, for rematch().
  std::string auth_rule;

  [[nodiscard]] const Policy& policy() const noexcept { return context->policy(); }
};

struct HostEntry {
  std::uint32_t index = 0;  // in StoreSpec::hosts
  std::string name;
  std::vector<std::string> names;  // lower case, sorted
  std::vector<std::uint32_t> listeners;
  Terms own;
  std::vector<Terms> picked;  // by the rules of its policy, one each; without a context where one refuses
  bool one_auth_rule = true;  // the same under all of them
  std::vector<std::shared_ptr<const Certificate>> certificates;

  [[nodiscard]] bool on(std::uint32_t listener) const noexcept;
  // Whether a handshake under `auth_rule`, of another store perhaps, would be under it here as well.
  [[nodiscard]] bool stands_for(std::string_view auth_rule) const noexcept;
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
  // one): the host that its SNI leads to now, or nullptr if that is gone or the client-certificate
  // rule for such a client is, or may be, another (421, and GOAWAY or Connection: close). The hello
  // is gone by then: where a host has several such rules, a reload that changes the conditions by
  // which they are chosen ends the connections.
  [[nodiscard]] const HostEntry* rematch(std::string_view sni, std::uint32_t listener,
                                         std::string_view auth_rule) const noexcept;
  // Whether the authority is served by `handshake`, a host of this store met by the name `sni`. Names of
  // one host that its policy's rules tell apart are like names of two.
  [[nodiscard]] bool serves(std::string_view authority_host, std::uint32_t listener,
                            const HostEntry& handshake, std::string_view sni) const noexcept;

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
  void add_terms(HostEntry& host, const HostSpec& spec) const;
  void check_rules(const StoreSpec& spec, Notes& notes) const;
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
