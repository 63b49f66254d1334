// What of a policy's rules can never do what they were written for: contradictions, rules behind
// others that take all they would, names that nobody can ask for, picks that end in a refusal.
// Control plane; private to tls.
#pragma once

#include <string>
#include <vector>

#include "sallyport/tls/policy.hpp"
#include "sallyport/tls/rules.hpp"

namespace sallyport::tls {

// Of one rule, at `where`.
void check_rule(const Rule& rule, const std::string& where, Notes& notes);
// Of rules among each other; "rules[i]".
void check_order(const Rules& rules, Notes& notes);
// Whether clients that the rule matches can ever connect under what it picks.
void check_pick(const Rule& rule, const Policy& picked, const std::string& where, Notes& notes);

// The server names by which handshakes can come to a policy's rules.
struct ReachableNames {
  std::vector<std::string> patterns;  // "example.com", "*.example.com"
  bool any = false;                   // a host that takes all names
  bool none_sent = false;             // a host for those who send none
  [[nodiscard]] bool empty() const noexcept { return patterns.empty() && !any && !none_sent; }
};
void check_names(const Rules& rules, const ReachableNames& names, const std::string& where, Notes& notes);

}  // namespace sallyport::tls
