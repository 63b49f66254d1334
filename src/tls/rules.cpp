#include "sallyport/tls/rules.hpp"

#include <algorithm>
#include <charconv>

#include "sallyport/config/spelling.hpp"
#include "sallyport/tls/fingerprint.hpp"

#include "openssl.hpp"
#include "rules_check.hpp"
#include "suites.hpp"

namespace sallyport::tls {

namespace {

using config::did_you_mean;
using config::in_quotes;
using Values = std::vector<std::uint16_t>;

// RFC 7301's registry: what a client may speak by ALPN, so that a typing error is told.
constexpr std::string_view kProtocols[] = {"h2",          "http/1.1",   "http/1.0",
                                           "http/0.9",    "h2c",        "h3",
                                           "spdy/1",      "spdy/2",     "spdy/3",
                                           "spdy/3.1",    "acme-tls/1", "webrtc",
                                           "c-webrtc",    "ftp",        "imap",
                                           "pop3",        "smtp",       "managesieve",
                                           "coap",        "co",         "xmpp-client",
                                           "xmpp-server", "mqtt",       "dot",
                                           "doq",         "ntske/1",    "sunrpc",
                                           "smb",         "irc",        "nntp",
                                           "nnsp",        "sip/2",      "tds/8.0",
                                           "dicom",       "postgresql", "stun.turn",
                                           "radius/1.0",  "radius/1.1", "stun.nat-discovery",
                                           "grpc-exp"};

struct VersionName {
  std::string_view name;
  std::uint16_t id;
};
constexpr VersionName kRuleVersions[] = {{"1.0", 0x0301}, {"1.1", 0x0302}, {"1.2", 0x0303}, {"1.3", 0x0304}};

std::optional<std::uint16_t> find_version(std::string_view name) {
  for (const VersionName& version : kRuleVersions) {
    if (version.name == name) return version.id;
  }
  return std::nullopt;
}

// "0xc02f": what has no name here, as log lines show it.
std::optional<std::uint16_t> parse_code_point(std::string_view text) {
  if (!text.starts_with("0x") || text.size() > 6) return std::nullopt;
  std::uint16_t value = 0;
  const auto [end, ec] = std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// From the words of one rule to values; what has no meaning is noted.
class Compiler {
 public:
  Compiler(const config::HelloMatch& from, std::string where, Notes& notes)
      : from_(from), where_(std::move(where) + ".when."), notes_(notes) {}

  HelloCondition condition() {
    HelloCondition to;
    offered("versions", from_.versions, to.versions,
            [this](auto at, auto name) { return version(at, name); });
    offered("ciphers", from_.ciphers, to.ciphers, [this](auto at, auto name) { return cipher(at, name); });
    offered("groups", from_.groups, to.groups, [this](auto at, auto name) { return group(at, name); });
    offered("sigalgs", from_.sigalgs, to.sigalgs, [this](auto at, auto name) { return sigalg(at, name); });
    offered("alpn", from_.alpn, to.alpn, [this](auto at, auto name) { return protocol(at, name); });
    for (std::size_t i = 0; i < from_.ja4.size(); ++i) ja4(item("ja4", i), from_.ja4[i], to);
    for (std::size_t i = 0; i < from_.sni.size(); ++i) sni(item("sni", i), from_.sni[i], to);
    for (std::size_t i = 0; i < from_.addresses.size(); ++i) {
      const auto block = net::Cidr::parse(from_.addresses[i]);
      if (block.has_error()) {
        notes_.error(item("addresses", i), block.error());
      } else {
        to.blocks.push_back(*block);
      }
    }
    to.addresses = net::CidrSet(to.blocks);
    return to;
  }

 private:
  [[nodiscard]] std::string item(std::string_view list, std::size_t i) const {
    return where_ + std::string(list) + "[" + std::to_string(i) + "]";
  }
  template <class T, class Parse>
  void offered(const char* kind, const config::OfferMatch& from, Offered<T>& to, const Parse& parse) {
    const auto list = [&](const char* word, const std::vector<std::string>& names, std::vector<T>& values) {
      for (std::size_t i = 0; i < names.size(); ++i) {
        if (auto value = parse(item(kind + std::string(".") + word, i), names[i])) values.push_back(*value);
      }
      std::sort(values.begin(), values.end());
      values.erase(std::unique(values.begin(), values.end()), values.end());
    };
    list("any", from.any, to.any);
    list("all", from.all, to.all);
    list("none", from.none, to.none);
  }

  std::nullopt_t wrong(const std::string& where, std::string text) {
    notes_.error(where, std::move(text));
    return std::nullopt;
  }
  // By number or by name; no GREASE, which is passed over wherever a hello is read.
  template <class Find, class Names>
  std::optional<std::uint16_t> value(const std::string& where, std::string_view name, const Find& find,
                                     std::string_view kind, const Names& names) {
    if (const auto number = parse_code_point(name)) {
      if (is_grease(*number)) return wrong(where, in_quotes(name) + " is GREASE, which no rule sees");
      return number;
    }
    if (const std::optional<std::uint16_t> found = find(name)) return found;
    return wrong(where, in_quotes(name) + " is no " + std::string(kind) + " that is known here" +
                            did_you_mean(name, names()));
  }

  std::optional<std::uint16_t> version(const std::string& where, std::string_view name) {
    if (const auto found = find_version(name)) return found;
    return wrong(where, in_quotes(name) + " is no version: write \"1.3\", \"1.2\", \"1.1\" or \"1.0\"");
  }
  std::optional<std::uint16_t> cipher(const std::string& where, std::string_view name) {
    const std::string_view openssl = OPENSSL_cipher_name(std::string(name).c_str());
    if (!find_suite(name) && find_suite(openssl)) {
      return wrong(where, in_quotes(name) + " is written " + in_quotes(openssl) + " here (OpenSSL's names)");
    }
    return value(where, name, find_suite, "cipher suite", suite_names);
  }
  std::optional<std::uint16_t> group(const std::string& where, std::string_view name) {
    const auto find = [](std::string_view text) -> std::optional<std::uint16_t> {
      const GroupName* found = find_group(text);
      if (found == nullptr) return std::nullopt;
      return found->id;
    };
    return value(where, name, find, "key-exchange group", group_names);
  }
  std::optional<std::uint16_t> sigalg(const std::string& where, std::string_view name) {
    return value(where, name, find_signature_scheme, "signature algorithm", signature_scheme_names);
  }
  std::optional<std::string> protocol(const std::string& where, std::string_view name) {
    if (std::find(std::begin(kProtocols), std::end(kProtocols), name) != std::end(kProtocols))
      return std::string(name);
    return wrong(where, in_quotes(name) + " is no protocol of ALPN" + did_you_mean(name, kProtocols));
  }

  void ja4(const std::string& where, const std::string& text, HelloCondition& to) {
    const std::size_t first = text.find('_');
    const std::size_t second = first == std::string::npos ? first : text.find('_', first + 1);
    const bool three = second != std::string::npos && text.find('_', second + 1) == std::string::npos;
    Ja4Pattern parts;
    if (three) {
      parts = {text.substr(0, first), text.substr(first + 1, second - first - 1), text.substr(second + 1)};
    }
    static constexpr std::size_t kSizes[] = {10, 12, 12};
    bool good = three;
    for (std::size_t i = 0; i < 3 && good; ++i) {
      const bool open = parts[i].find('*') != std::string::npos;
      const auto stars = static_cast<std::size_t>(std::count(parts[i].begin(), parts[i].end(), '*'));
      const std::size_t fixed = parts[i].size() - stars;
      good = open ? fixed <= kSizes[i] : fixed == kSizes[i];
      good = good && std::all_of(parts[i].begin(), parts[i].end(), [&](char c) {
               const bool digit =
                   (c >= '0' && c <= '9') || (c >= 'a' && c <= (i == 0 ? 'z' : 'f')) || c == '*';
               return digit || (i == 0 && c >= 'A' && c <= 'Z');  // of the ALPN's first and last letter
             });
    }
    if (!good) {
      notes_.error(where,
                   in_quotes(text) +
                       " is no JA4 fingerprint such as \"t13d1516h2_8daaf6152771_b186095e22b6\"; in each "
                       "of the three parts * stands for any text");
    } else if (parts[0].front() != 't' && parts[0].front() != '*') {
      notes_.error(where, in_quotes(text) + " can never match: fingerprints of TLS over TCP begin with t");
    } else {
      to.ja4.push_back(std::move(parts));
    }
  }

  void sni(const std::string& where, const std::string& text, HelloCondition& to) {
    const bool good = std::all_of(text.begin(), text.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
             c == '_' || c == '.' || c == '*';
    });
    if (!good || text.size() > 253 || text.ends_with('.')) {
      notes_.error(where,
                   in_quotes(text) + " can be no server name (no scheme, port or final dot; * is any text)");
      return;
    }
    std::string pattern = text;
    for (char& c : pattern) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    to.sni.push_back(std::move(pattern));
  }

  const config::HelloMatch& from_;
  std::string where_;
  Notes& notes_;
};

// ---- matching ------------------------------------------------------------------------------

template <class T, class Has>
bool holds(const Offered<T>& wanted, const Has& has) {
  return (wanted.any.empty() || std::any_of(wanted.any.begin(), wanted.any.end(), has)) &&
         std::all_of(wanted.all.begin(), wanted.all.end(), has) &&
         std::none_of(wanted.none.begin(), wanted.none.end(), has);
}

bool holds(const Offered<std::uint16_t>& wanted, const U16View& offered) {
  return wanted.empty() || holds(wanted, [&](std::uint16_t value) { return offered.contains(value); });
}

// A client that does not list its versions names the newest, and 1.3 cannot be named so
// (RFC 8446 §4.2.1). Older ones that it may speak as well are not known.
bool offers_version(const ClientHello& hello, std::uint16_t version) {
  constexpr auto kNewest = static_cast<std::uint16_t>(Version::tls12);
  if (!hello.supported_versions.raw().empty()) return hello.supported_versions.contains(version);
  return std::min(hello.legacy_version, kNewest) == version;
}

bool matches(const Ja4Pattern& pattern, std::string_view fingerprint) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const std::size_t end = fingerprint.find('_');
    if (!glob_matches(pattern[i], fingerprint.substr(0, end))) return false;
    fingerprint.remove_prefix(end == std::string_view::npos ? fingerprint.size() : end + 1);
  }
  return true;
}

bool any_matches(const std::vector<std::string>& patterns, std::string_view sni) noexcept {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return pattern.empty() ? sni.empty() : !sni.empty() && glob_matches(pattern, sni);
  });
}

struct Reading {
  const ClientHello& hello;
  const net::IpAddress& client;
  std::string fingerprint{};  // once it was asked for
};

// The dearest question last.
bool matches(const HelloCondition& when, Reading& reading) {
  const ClientHello& hello = reading.hello;
  if (!when.blocks.empty() && !when.addresses.contains(reading.client)) return false;
  if (!when.sni.empty() && !any_matches(when.sni, hello.sni)) return false;
  if (!holds(when.versions, [&](std::uint16_t version) { return offers_version(hello, version); }) ||
      !holds(when.ciphers, hello.cipher_suites) || !holds(when.groups, hello.groups) ||
      !holds(when.sigalgs, hello.signature_algorithms) ||
      !holds(when.alpn, [&](const std::string& name) { return hello.alpn.contains(name); })) {
    return false;
  }
  if (when.ja4.empty()) return true;
  if (reading.fingerprint.empty()) reading.fingerprint = ja4(hello);
  return std::any_of(when.ja4.begin(), when.ja4.end(),
                     [&](const Ja4Pattern& pattern) { return matches(pattern, reading.fingerprint); });
}

// ---- identity ------------------------------------------------------------------------------

void add(Hasher& hasher, const Offered<std::uint16_t>& offered) {
  for (const Values* list : {&offered.any, &offered.all, &offered.none}) {
    hasher.add(list->size());
    for (const std::uint16_t value : *list) hasher.add(std::uint64_t{value});
  }
}

void add(Hasher& hasher, const std::vector<std::string>& texts) {
  hasher.add(texts.size());
  for (const std::string& text : texts) hasher.add(text);
}

void add(Hasher& hasher, const HelloCondition& when) {
  for (const auto* offered : {&when.versions, &when.ciphers, &when.groups, &when.sigalgs})
    add(hasher, *offered);
  for (const auto* texts : {&when.alpn.any, &when.alpn.all, &when.alpn.none, &when.sni}) add(hasher, *texts);
  hasher.add(when.ja4.size());
  for (const Ja4Pattern& pattern : when.ja4) {
    for (const std::string& part : pattern) hasher.add(part);
  }
  hasher.add(when.blocks.size());
  for (const net::Cidr& block : when.blocks) hasher.add(block.to_string());
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
  // On a mismatch the last star takes one byte more; earlier ones need never be looked at again.
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

Rules Rules::compile(const std::vector<config::TlsRule>& rules, const std::vector<obs::CounterId>& counters,
                     Notes& notes) {
  const std::size_t errors_before = notes.errors();
  Rules made;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const config::TlsRule& from = rules[i];
    const std::string where = "rules[" + std::to_string(i) + "]";
    Rule rule;
    rule.name = from.name;
    if (!from.refuse) rule.policy = from.policy;
    if (i < counters.size()) rule.counter = counters[i];
    const std::size_t before = notes.errors();
    rule.when = Compiler(from.when, where, notes).condition();
    if (notes.errors() == before) check_rule(rule, where, notes);
    made.rules_.push_back(std::move(rule));
  }
  if (notes.errors() == errors_before) check_order(made, notes);
  return made;
}

std::optional<std::size_t> Rules::match(const ClientHello& hello, const net::IpAddress& client) const {
  Reading reading{hello, client};
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (matches(rules_[i].when, reading)) return i;
  }
  return std::nullopt;
}

bool Rules::alike(std::string_view sni, std::string_view other) const noexcept {
  return sni == other || std::all_of(rules_.begin(), rules_.end(), [&](const Rule& rule) {
           const auto& patterns = rule.when.sni;
           return patterns.empty() || any_matches(patterns, sni) == any_matches(patterns, other);
         });
}

std::string Rules::way(std::optional<std::size_t> last) const {
  Hasher hasher;
  hasher.add(last ? "to" : "past");
  const std::size_t end = last ? *last + 1 : rules_.size();
  for (std::size_t i = 0; i < end; ++i) add(hasher, rules_[i].when);
  const Digest digest = hasher.finish();
  return hex(std::span(digest).first(8));
}

}  // namespace sallyport::tls
