// `sallyport policy`: what a named profile, or a policy of a configuration, means, and what of it this
// OpenSSL lacks. For people as text, for scripts as JSON.
#include "sallyport/tls/policy.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

#include <boost/json.hpp>

#include "sallyport/config/profiles.hpp"
#include "sallyport/config/spelling.hpp"
#include "sallyport/tls/version.hpp"

#include "commands.hpp"

namespace sallyport::cli {

namespace {

namespace json = boost::json;
using Names = std::vector<std::string>;

std::string joined(const Names& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

json::array array_of(const Names& names) {
  return json::array(names.begin(), names.end());
}

// One policy with what is to be said of it: a profile's values, or a file's.
struct ShownPolicy {
  config::TlsPolicy policy;
  const config::Profile* profile = nullptr;  // whose values it has, or started from
  bool of_file = false;
  Names hosts;  // that name it, of a file's

  [[nodiscard]] std::string_view name() const {
    return of_file ? std::string_view(policy.name) : profile->name;
  }
  [[nodiscard]] Names versions() const {
    Names list;
    if (policy.min_version == config::TlsVersion::tls12) list.emplace_back("1.2");
    if (policy.max_version == config::TlsVersion::tls13) list.emplace_back("1.3");
    return list;
  }
  [[nodiscard]] bool speaks12() const { return policy.min_version == config::TlsVersion::tls12; }
  [[nodiscard]] bool speaks13() const { return policy.max_version == config::TlsVersion::tls13; }
  [[nodiscard]] Names ciphers() const { return speaks12() ? policy.ciphers : Names{}; }
  [[nodiscard]] Names suites() const { return speaks13() ? policy.cipher_suites : Names{}; }
  [[nodiscard]] Names lacking() const {
    tls::PolicySpec spec;
    spec.ciphers = ciphers();
    spec.cipher_suites = suites();
    spec.groups = policy.groups;
    return tls::lacking(spec);
  }
};

std::string client_auth_text(const config::ClientAuth& auth) {
  switch (auth.mode) {
    case config::ClientAuthMode::off:
      return "off";
    case config::ClientAuthMode::request:
      return "request: verified and reported, never refused; CA " + auth.ca.string();
    case config::ClientAuthMode::require:
      return "require, of a CA in " + auth.ca.string();
    case config::ClientAuthMode::report:
      break;
  }
  return "report: whom require would refuse is told of; CA " + auth.ca.string();
}

std::string_view client_auth_word(config::ClientAuthMode mode) {
  static constexpr std::string_view kWords[] = {"off", "request", "require", "report"};
  return kWords[static_cast<std::size_t>(mode)];
}

// "groups none of X25519; sni api.*"
std::string condition_text(const config::HelloMatch& when) {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  const auto offered = [&](const std::string& kind, const config::OfferMatch& match) {
    if (!match.any.empty()) add(kind + " any of " + joined(match.any));
    if (!match.all.empty()) add(kind + " all of " + joined(match.all));
    if (!match.none.empty()) add(kind + " none of " + joined(match.none));
  };
  offered("versions", when.versions);
  offered("ciphers", when.ciphers);
  offered("groups", when.groups);
  offered("sigalgs", when.sigalgs);
  offered("alpn", when.alpn);
  if (!when.ja4.empty()) add("ja4 " + joined(when.ja4));
  for (const std::string& name : when.sni) add(name.empty() ? "no server name" : "sni " + name);
  if (!when.addresses.empty()) add("addresses " + joined(when.addresses));
  return text;
}

std::string groups_text(const config::TlsPolicy& policy) {
  std::string text;
  for (const Names& tuple : policy.groups) text += (text.empty() ? "" : "; then ") + joined(tuple);
  return text;
}

// ---- text ----------------------------------------------------------------------------------

void print_text(const ShownPolicy& subject) {
  const config::TlsPolicy& policy = subject.policy;
  const config::Profile& profile = *subject.profile;
  const auto line = [](const char* what, const std::string& text) {
    std::printf("  %-16s %s\n", what, text.c_str());
  };
  const auto list = [&](const char* what, const Names& names) {
    line(what, names.empty() ? "none" : names.front());
    for (std::size_t i = 1; i < names.size(); ++i) line("", names[i]);
  };
  if (subject.of_file) {
    std::printf("policy %s\n", policy.name.c_str());
    line("starts from", "profile " + std::string(profile.name));
    line("hosts", joined(subject.hosts));
  } else {
    std::printf("profile %s: %s\n", std::string(profile.name).c_str(), std::string(profile.about).c_str());
    line("follows", std::string(profile.source));
  }
  line("TLS versions", joined(subject.versions()));
  list("TLS 1.2 ciphers", subject.ciphers());
  list("TLS 1.3 suites", subject.suites());
  line("groups", groups_text(policy));
  line("ALPN", joined(policy.alpn));
  line("client_auth", client_auth_text(policy.client_auth));
  if (policy.rules.empty()) line("rules", "none");
  for (const config::TlsRule& rule : policy.rules) {
    line(&rule == &policy.rules.front() ? "rules" : "",
         rule.name + ": " + condition_text(rule.when) + " -> " +
             (rule.refuse ? "refused" : "policy " + rule.policy));
  }
  const Names lacking = subject.lacking();
  const std::string openssl = "OpenSSL " + tls::library_version();
  line("lacking", lacking.empty() ? "nothing: " + openssl + " has all of it"
                                  : joined(lacking) + " (not in " + openssl + ")");
  if (subject.of_file) return;
  for (const std::string_view why : profile.why)
    line(why == profile.why.front() ? "why" : "", std::string(why));
}

// ---- JSON ----------------------------------------------------------------------------------

json::object json_of(const ShownPolicy& subject) {
  const config::TlsPolicy& policy = subject.policy;
  json::object to;
  to["name"] = subject.name();
  to["profile"] = subject.profile->name;
  if (subject.of_file) {
    to["hosts"] = array_of(subject.hosts);
  } else {
    to["about"] = subject.profile->about;
    to["source"] = subject.profile->source;
    to["why"] = json::array(subject.profile->why.begin(), subject.profile->why.end());
  }
  to["versions"] = array_of(subject.versions());
  to["ciphers"] = array_of(subject.ciphers());
  to["cipher_suites"] = array_of(subject.suites());
  json::array groups;
  for (const Names& tuple : policy.groups) groups.push_back(array_of(tuple));
  to["groups"] = std::move(groups);
  to["alpn"] = array_of(policy.alpn);
  to["client_auth"] = client_auth_word(policy.client_auth.mode);
  json::array rules;
  for (const config::TlsRule& rule : policy.rules) {
    rules.push_back(json::object{{"name", rule.name},
                                 {"when", condition_text(rule.when)},
                                 {"outcome", rule.refuse ? "refused" : rule.policy}});
  }
  to["rules"] = std::move(rules);
  to["lacking"] = array_of(subject.lacking());
  return to;
}

// ---- which ---------------------------------------------------------------------------------

std::vector<ShownPolicy> of_file(const config::Model& model) {
  std::vector<ShownPolicy> list;
  for (const config::TlsPolicy& policy : model.tls.policies) {
    ShownPolicy subject{policy, &config::profile(policy.profile), true, {}};
    for (const config::Host& host : model.hosts) {
      if (host.policy == policy.name) subject.hosts.push_back(host.names.empty() ? "?" : host.names.front());
    }
    list.push_back(std::move(subject));
  }
  return list;
}

std::vector<ShownPolicy> of_profiles() {
  std::vector<ShownPolicy> list;
  for (const config::Profile& profile : config::profiles())
    list.push_back({profile.values, &profile, false, {}});
  return list;
}

void print_list(const std::vector<ShownPolicy>& subjects) {
  for (const ShownPolicy& subject : subjects) {
    const std::string name(subject.name());
    const std::string about = subject.of_file ? "profile " + std::string(subject.profile->name) + ", " +
                                                    std::to_string(subject.policy.rules.size()) +
                                                    " rules, hosts " + joined(subject.hosts)
                                              : std::string(subject.profile->about);
    std::printf("%-16s %s\n", name.c_str(), about.c_str());
  }
}

}  // namespace

int policy(const PolicyArguments& arguments) {
  std::vector<ShownPolicy> subjects;
  if (!arguments.config.empty()) {
    const config::Loaded loaded = config::load_and_validate(arguments.config);
    if (report(loaded.problems)) return kFailed;
    subjects = of_file(loaded.model);
  }
  // A file's own policy hides a profile of its name.
  if (arguments.config.empty() || !arguments.name.empty()) {
    for (ShownPolicy& profile : of_profiles()) subjects.push_back(std::move(profile));
  }
  const auto named = [&](const ShownPolicy& subject) { return arguments.name == subject.name(); };
  if (!arguments.name.empty()) {
    const auto found = std::find_if(subjects.begin(), subjects.end(), named);
    if (found == subjects.end()) {
      std::vector<std::string_view> known;
      known.reserve(subjects.size());
      for (const ShownPolicy& s : subjects) known.push_back(s.name());
      std::fprintf(stderr, "there is no profile%s %s%s\n", arguments.config.empty() ? "" : " or policy",
                   config::in_quotes(arguments.name).c_str(),
                   config::did_you_mean(arguments.name, known).c_str());
      return kFailed;
    }
    if (arguments.as_json) {
      std::printf("%s\n", json::serialize(json_of(*found)).c_str());
    } else {
      print_text(*found);
    }
    return kOk;
  }
  if (!arguments.as_json) {
    print_list(subjects);
    return kOk;
  }
  json::array all;
  for (const ShownPolicy& subject : subjects) all.push_back(json_of(subject));
  std::printf("%s\n", json::serialize(all).c_str());
  return kOk;
}

}  // namespace sallyport::cli
