#include "rules_check.hpp"

#include <algorithm>

#include "sallyport/config/spelling.hpp"

#include "suites.hpp"

namespace sallyport::tls {

namespace {

using config::in_quotes;

std::string rule_item(std::size_t i) {
  return "rules[" + std::to_string(i) + "]";
}

template <class T>
bool has(const std::vector<T>& sorted, const T& value) {
  return std::binary_search(sorted.begin(), sorted.end(), value);
}
template <class T>
bool within(const std::vector<T>& part, const std::vector<T>& whole) {
  return std::includes(whole.begin(), whole.end(), part.begin(), part.end());
}
template <class T>
bool share(const std::vector<T>& a, const std::vector<T>& b) {
  return std::any_of(a.begin(), a.end(), [&](const T& value) { return has(b, value); });
}

// Whether `part` holds wherever `whole` does. What cannot be told counts as no.
template <class T>
bool covers(const Offered<T>& part, const Offered<T>& whole) {
  const bool any =
      part.any.empty() || (!whole.any.empty() && within(whole.any, part.any)) || share(part.any, whole.all);
  return any && within(part.all, whole.all) && within(part.none, whole.none);
}

// A star of the text stands for itself: it is taken by stars alone.
bool covers(const std::vector<std::string>& part, const std::vector<std::string>& whole) {
  return part.empty() || (!whole.empty() && std::all_of(whole.begin(), whole.end(), [&](const auto& text) {
           return std::any_of(part.begin(), part.end(), [&](const std::string& pattern) {
             return pattern == text || (!pattern.empty() && !text.empty() && glob_matches(pattern, text));
           });
         }));
}

bool covers(const std::vector<Ja4Pattern>& part, const std::vector<Ja4Pattern>& whole) {
  const auto takes = [](const Ja4Pattern& pattern, const Ja4Pattern& text) {
    return glob_matches(pattern[0], text[0]) && glob_matches(pattern[1], text[1]) &&
           glob_matches(pattern[2], text[2]);
  };
  return part.empty() || (!whole.empty() && std::all_of(whole.begin(), whole.end(), [&](const auto& text) {
           return std::any_of(part.begin(), part.end(),
                              [&](const auto& pattern) { return takes(pattern, text); });
         }));
}

bool covers(const net::Cidr& part, const net::Cidr& whole) {
  if (part.network.is_v4() != whole.network.is_v4() || part.prefix > whole.prefix) return false;
  return net::CidrSet(std::span(&part, 1)).contains(whole.network);
}

bool covers(const std::vector<net::Cidr>& part, const std::vector<net::Cidr>& whole) {
  return part.empty() || (!whole.empty() && std::all_of(whole.begin(), whole.end(), [&](const auto& block) {
           return std::any_of(part.begin(), part.end(),
                              [&](const auto& larger) { return covers(larger, block); });
         }));
}

bool covers(const HelloCondition& part, const HelloCondition& whole) {
  return covers(part.versions, whole.versions) && covers(part.ciphers, whole.ciphers) &&
         covers(part.groups, whole.groups) && covers(part.sigalgs, whole.sigalgs) &&
         covers(part.alpn, whole.alpn) && covers(part.ja4, whole.ja4) && covers(part.sni, whole.sni) &&
         covers(part.blocks, whole.blocks);
}

template <class T>
void check_offer(const Offered<T>& offer, const char* kind, const std::string& where, Notes& notes) {
  const std::string at = where + ".when." + kind;
  if (share(offer.all, offer.none))
    notes.error(at, "can never match: something stands under both `all` and `none`");
  if (!offer.any.empty() && within(offer.any, offer.none))
    notes.error(at, "can never match: all that stands under `any` stands under `none` too");
}

bool reachable(const std::string& pattern, const ReachableNames& names) {
  if (pattern.empty()) return names.none_sent;
  return names.any || std::any_of(names.patterns.begin(), names.patterns.end(),
                                  [&](const std::string& name) { return globs_meet(pattern, name); });
}

}  // namespace

bool globs_meet(std::string_view a, std::string_view b) {
  // meets[j]: what is left of `a` from i on meets what is left of `b` from j on.
  std::vector<char> meets(b.size() + 1);
  for (std::size_t i = a.size() + 1; i-- > 0;) {
    std::vector<char> next(b.size() + 1);
    for (std::size_t j = b.size() + 1; j-- > 0;) {
      const bool star_a = i < a.size() && a[i] == '*';
      const bool star_b = j < b.size() && b[j] == '*';
      bool found = i == a.size() && j == b.size();
      if (star_a) found = found || meets[j] != 0 || (j < b.size() && next[j + 1] != 0);
      if (star_b) found = found || next[j + 1] != 0 || (i < a.size() && meets[j] != 0);
      if (!star_a && !star_b && i < a.size() && j < b.size() && a[i] == b[j])
        found = found || meets[j + 1] != 0;
      next[j] = found ? 1 : 0;
    }
    meets = std::move(next);
  }
  return meets[0] != 0;
}

void check_rule(const Rule& rule, const std::string& where, Notes& notes) {
  const HelloCondition& when = rule.when;
  const bool asks = !when.versions.empty() || !when.ciphers.empty() || !when.groups.empty() ||
                    !when.sigalgs.empty() || !when.alpn.empty() || !when.ja4.empty() || !when.sni.empty() ||
                    !when.blocks.empty();
  if (!asks) notes.error(where + ".when", "matches everybody: say what the hello must be like");
  check_offer(when.versions, "versions", where, notes);
  check_offer(when.ciphers, "ciphers", where, notes);
  check_offer(when.groups, "groups", where, notes);
  check_offer(when.sigalgs, "sigalgs", where, notes);
  check_offer(when.alpn, "alpn", where, notes);
}

void check_order(const Rules& rules, Notes& notes) {
  for (std::size_t i = 1; i < rules.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!covers(rules[j].when, rules[i].when)) continue;
      notes.warning(rule_item(i), "the rule " + in_quotes(rules[i].name) + " is never reached: " +
                                      in_quotes(rules[j].name) + " before it takes all it would");
      break;
    }
  }
}

void check_pick(const Rule& rule, const Policy& picked, const std::string& where, Notes& notes) {
  const auto dead = [&](const char* what) {
    notes.warning(where, "the rule " + in_quotes(rule.name) + " picks " + in_quotes(picked.name) +
                             ", under which its clients can never connect: " + what);
  };
  const HelloCondition& when = rule.when;
  const auto excluded = [](const auto& ours, const auto& none) {
    return !ours.empty() &&
           std::all_of(ours.begin(), ours.end(), [&](const auto& one) { return has(none, one); });
  };
  std::vector<std::uint16_t> versions;
  std::vector<std::uint16_t> suites;
  if (picked.allows(Version::tls12)) {
    versions.push_back(static_cast<std::uint16_t>(Version::tls12));
    suites = picked.ciphers;
  }
  if (picked.allows(Version::tls13)) {
    versions.push_back(static_cast<std::uint16_t>(Version::tls13));
    suites.insert(suites.end(), picked.cipher_suites.begin(), picked.cipher_suites.end());
  }
  if (excluded(versions, when.versions.none)) return dead("they offer none of its versions");
  if (excluded(suites, when.ciphers.none)) return dead("they offer none of its cipher suites");
  // Under 1.2 a client may leave its groups out and take any.
  if (!picked.allows(Version::tls12) && excluded(picked.groups, when.groups.none))
    return dead("they offer none of its groups");
  const bool insists = !when.alpn.any.empty() || !when.alpn.all.empty();
  if (insists && excluded(picked.alpn, when.alpn.none)) dead("they offer none of its protocols by ALPN");
}

void check_names(const Rules& rules, const ReachableNames& names, const std::string& where, Notes& notes) {
  if (rules.empty()) return;
  if (names.empty()) {
    notes.warning(where, "its rules are never looked at: no host with a certificate has this policy itself");
    return;
  }
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::vector<std::string>& patterns = rules[i].when.sni;
    std::size_t dead = 0;
    for (const std::string& pattern : patterns) {
      if (reachable(pattern, names)) continue;
      ++dead;
      notes.warning(
          where + "." + rule_item(i),
          (pattern.empty() ? std::string("no host of this policy is met without a server name")
                           : "no host of this policy can be asked for by the name " + in_quotes(pattern)));
    }
    if (dead != 0 && dead == patterns.size()) {
      notes.warning(where + "." + rule_item(i),
                    "so the rule " + in_quotes(rules[i].name) + " can never match");
    }
  }
}

}  // namespace sallyport::tls
