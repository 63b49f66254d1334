// The rules of a policy on ClientHellos, compiled: names to code points, ranges of addresses,
// patterns of server names and JA4 fingerprints. The first rule that a hello matches picks
// another policy, or refuses.
//
// Made with its policy on the control loop, immutable, read by every worker. match() allocates
// only if some rule reads the JA4, which is computed once a hello and only when it comes to that.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/config/model_tls.hpp"
#include "sallyport/net/cidr.hpp"
#include "sallyport/obs/shard.hpp"
#include "sallyport/tls/hello.hpp"
#include "sallyport/tls/notes.hpp"

namespace sallyport::tls {

// Of one kind of what a hello offers; each list holds that is empty. Sorted.
template <class T>
struct Offered {
  std::vector<T> any, all, none;
  [[nodiscard]] bool empty() const noexcept { return any.empty() && all.empty() && none.empty(); }
};

// The parts of a fingerprint, "*" for any text.
using Ja4Pattern = std::array<std::string, 3>;

// What a hello must be like: all that is not empty holds.
struct HelloCondition {
  Offered<std::uint16_t> versions, ciphers, groups, sigalgs;
  Offered<std::string> alpn;
  std::vector<Ja4Pattern> ja4;    // one of these
  std::vector<std::string> sni;   // one of these; "" = none was sent
  std::vector<net::Cidr> blocks;  // what `addresses` is made of
  net::CidrSet addresses;         // one of these
};

struct Rule {
  std::string name;
  std::string policy;  // the one it picks; empty: it refuses
  HelloCondition when;
  obs::CounterId counter;  // its owner's, of sallyport_tls_policy_rules_total
  [[nodiscard]] bool refuses() const noexcept { return policy.empty(); }
};

class Rules {
 public:
  Rules() = default;
  // `where` of a note is "rules[i]…"; `counters` one for each rule, or none.
  [[nodiscard]] static Rules compile(const std::vector<config::TlsRule>& rules,
                                     const std::vector<obs::CounterId>& counters, Notes& notes);

  [[nodiscard]] bool empty() const noexcept { return rules_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return rules_.size(); }
  [[nodiscard]] const Rule& operator[](std::size_t i) const noexcept { return rules_[i]; }
  [[nodiscard]] auto begin() const noexcept { return rules_.begin(); }
  [[nodiscard]] auto end() const noexcept { return rules_.end(); }

  // The first that matches.
  [[nodiscard]] std::optional<std::size_t> match(const ClientHello& hello,
                                                 const net::IpAddress& client) const;
  // Whether handshakes that differ in nothing but these server names end up at the same rule,
  // whatever else they offer. "" = none sent.
  [[nodiscard]] bool alike(std::string_view sni, std::string_view other) const noexcept;
  // Identity of the way that a hello went to rule `last`, or past all rules: by what the rules up to it
  // ask for, not by their names. Two rule lists with the same way treat such a hello alike.
  [[nodiscard]] std::string way(std::optional<std::size_t> last) const;

 private:
  std::vector<Rule> rules_;
};

// Whether `*` (any text, also none) in the pattern can be filled in to make the text.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text) noexcept;
// Whether some text matches both patterns.
[[nodiscard]] bool globs_meet(std::string_view a, std::string_view b);

}  // namespace sallyport::tls
