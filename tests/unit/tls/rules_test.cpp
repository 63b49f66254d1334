// Rules on ClientHellos: what of a hello they see, which rule holds, and what of them is told at load
// because it can never do what it was written for. Hellos are an OpenSSL client's.
#include "sallyport/tls/rules.hpp"

#include "sallyport/tls/context_store.hpp"
#include "sallyport/tls/fingerprint.hpp"

#include "catch.hpp"
#include "hello_bytes.hpp"
#include "text.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;

namespace {

using Match = config::HelloMatch;

config::TlsRule rule(const std::string& name, const std::function<void(Match&)>& when,
                     const std::string& policy = {}) {
  config::TlsRule made;
  made.name = name;
  made.policy = policy;
  made.refuse = policy.empty();
  when(made.when);
  return made;
}

std::vector<std::string> texts(const Notes& notes) {
  std::vector<std::string> all;
  for (const Note& note : notes.items()) all.push_back(note.where + ": " + note.text);
  return all;
}

Rules compiled(const std::vector<config::TlsRule>& rules) {
  Notes notes;
  Rules made = Rules::compile(rules, {}, notes);
  for (const std::string& text : texts(notes)) UNSCOPED_INFO(text);
  REQUIRE(notes.ok());
  return made;
}

struct HeardClient {
  HelloReader reader;
  explicit HeardClient(const std::function<void(SSL*)>& adjust = {}) : HeardClient(real_hello(adjust)) {}
  explicit HeardClient(const std::string& bytes) {
    REQUIRE(reader.feed(bytes) == HelloReader::State::complete);
  }
  [[nodiscard]] bool meets(const std::function<void(Match&)>& when, const char* address = "192.0.2.1") const {
    return compiled({rule("r", when)}).match(reader.hello(), *net::IpAddress::parse(address)).has_value();
  }
};

// Notes of a rule, or of several.
std::vector<std::string> told(const std::vector<config::TlsRule>& rules) {
  Notes notes;
  static_cast<void>(Rules::compile(rules, {}, notes));
  return texts(notes);
}
std::string told(const std::function<void(Match&)>& when) {
  const auto all = told({rule("r", when)});
  return all.empty() ? std::string() : all.front();
}
}  // namespace

TEST_CASE("any, all and none are asked of each kind that a hello offers") {
  const HeardClient client([](SSL* ssl) {
    set_sni(ssl, "api.example.com");
    SSL_set1_groups_list(ssl, "P-256:P-384");
    SSL_set_cipher_list(ssl, "ECDHE-RSA-AES128-GCM-SHA256");
    SSL_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256");
    SSL_set1_sigalgs_list(ssl, "ECDSA+SHA256:RSA-PSS+SHA256");
    set_alpn(ssl, "\x02h2\x08http/1.1");
  });
  CHECK(client.meets([](Match& m) { m.groups.any = {"X25519", "P-256"}; }));
  CHECK_FALSE(client.meets([](Match& m) { m.groups.any = {"X25519"}; }));
  CHECK(client.meets([](Match& m) { m.groups.all = {"secp384r1", "P-256"}; }));
  CHECK_FALSE(client.meets([](Match& m) { m.groups.all = {"P-256", "X25519"}; }));
  CHECK(client.meets([](Match& m) { m.groups.none = {"X25519"}; }));
  CHECK_FALSE(client.meets([](Match& m) { m.groups.none = {"X25519", "P-384"}; }));
  CHECK(client.meets([](Match& m) { m.groups.all = {"0x0017"}; }));

  CHECK(client.meets([](Match& m) {
    m.ciphers.all = {"ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"};
  }));
  CHECK(client.meets([](Match& m) { m.ciphers.none = {"TLS_AES_256_GCM_SHA384"}; }));
  CHECK(client.meets([](Match& m) { m.sigalgs.all = {"ecdsa_secp256r1_sha256"}; }));
  CHECK_FALSE(client.meets([](Match& m) { m.sigalgs.any = {"ed25519", "rsa_pkcs1_sha256"}; }));
  CHECK(client.meets([](Match& m) { m.alpn.any = {"h2"}; }));
  CHECK_FALSE(client.meets([](Match& m) { m.alpn.none = {"http/1.1"}; }));
  // All that is given must hold.
  CHECK(client.meets(
      [](Match& m) { m.alpn.any = {"h2"}, m.groups.none = {"X25519"}, m.versions.all = {"1.3"}; }));
  CHECK_FALSE(client.meets([](Match& m) { m.alpn.any = {"h2"}, m.groups.none = {"P-256"}; }));
}

TEST_CASE("a hello without ALPN or groups offers none of them") {
  const HeardClient client(records(message("")));
  CHECK(client.meets([](Match& m) { m.alpn.none = {"h2"}; }));
  CHECK_FALSE(client.meets([](Match& m) { m.alpn.any = {"h2"}; }));
  CHECK(client.meets([](Match& m) { m.groups.none = {"X25519"}; }));
}

TEST_CASE("versions are those listed, or the newest that a client without the list names") {
  const auto limits = [](int least, int most) {
    return HeardClient([=](SSL* ssl) {
      SSL_set_security_level(ssl, 0);
      SSL_set_min_proto_version(ssl, least);
      SSL_set_max_proto_version(ssl, most);
    });
  };
  const auto any = [](const char* version) { return [=](Match& m) { m.versions.any = {version}; }; };
  const HeardClient both = limits(TLS1_2_VERSION, TLS1_3_VERSION);
  CHECK(both.meets(any("1.3")));
  CHECK(both.meets(any("1.2")));
  CHECK_FALSE(both.meets(any("1.1")));
  const HeardClient old = limits(TLS1_VERSION, TLS1_2_VERSION);  // lists nothing
  CHECK(old.meets(any("1.2")));
  CHECK_FALSE(old.meets(any("1.3")));
  CHECK_FALSE(old.meets(any("1.1")));
  CHECK(limits(TLS1_VERSION, TLS1_1_VERSION).meets(any("1.1")));
  CHECK(limits(TLS1_VERSION, TLS1_VERSION).meets(any("1.0")));
  // 1.3 cannot be offered by the old field.
  std::string lying = message("");
  lying[5] = 4;
  const HeardClient liar(records(lying));
  CHECK(liar.meets(any("1.2")));
  CHECK_FALSE(liar.meets(any("1.3")));
}

TEST_CASE("server names are matched by patterns, and none at all by the empty one") {
  const HeardClient api([](SSL* ssl) { set_sni(ssl, "API.example.com"); });
  const HeardClient nameless;
  const auto sni = [](std::vector<std::string> patterns) { return [=](Match& m) { m.sni = patterns; }; };
  CHECK(api.meets(sni({"api.*"})));
  CHECK(api.meets(sni({"x", "*.Example.com"})));
  CHECK(api.meets(sni({"*"})));
  CHECK_FALSE(api.meets(sni({"example.com", "", "api.*.com.*"})));
  CHECK(nameless.meets(sni({""})));
  CHECK_FALSE(nameless.meets(sni({"*"})));
}

TEST_CASE("addresses are matched by ranges, of either family") {
  const HeardClient client;
  const auto from = [](Match& m) { m.addresses = {"192.0.2.0/24", "2001:db8::/32"}; };
  CHECK(client.meets(from, "192.0.2.200"));
  CHECK(client.meets(from, "2001:db8::1"));
  CHECK_FALSE(client.meets(from, "192.0.3.1"));
}

TEST_CASE("a fingerprint is matched part by part") {
  const HeardClient client([](SSL* ssl) { set_sni(ssl, "a.example"); });
  const std::string whole = ja4(client.reader.hello());
  const auto one = [](const std::string& pattern) { return [=](Match& m) { m.ja4 = {pattern}; }; };
  CHECK(client.meets(one(whole)));
  CHECK(client.meets(one(whole.substr(0, 10) + "_*_*")));
  CHECK(client.meets(one("t13d*_*_" + whole.substr(24))));
  CHECK_FALSE(client.meets(one("t12*_*_*")));
  CHECK_FALSE(client.meets(one("*_000000000000_*")));
  const auto wrong = {"t13d1516h2",
                      "t13d1516h2_8daaf6152771",
                      "t13d1516h2_8DAAF6152771_b186095e22b6",
                      "a_b_c_d",
                      "t13d1516h_8daaf6152771_b186095e22b6",
                      "__",
                      "*_8daaf61527711*_*"};
  for (const char* pattern : wrong) CHECK(has(told(one(pattern)), "is no JA4 fingerprint such as"));
  CHECK(has(told(one("q13d*_*_*")), "can never match: fingerprints of TLS over TCP begin with t"));
}

TEST_CASE("the first rule that matches holds") {
  const HeardClient client;
  const auto everybody = [](Match& m) { m.versions.any = {"1.2"}; };
  const Rules rules = compiled({rule("not", [](Match& m) { m.versions.none = {"1.2"}; }),
                                rule("yes", everybody, "other"), rule("late", everybody, "third")});
  const auto matched = rules.match(client.reader.hello(), {});
  REQUIRE(matched);
  CHECK(rules[*matched].name == "yes");
  CHECK(rules[*matched].policy == "other");
  CHECK_FALSE(Rules().match(client.reader.hello(), {}));
}

TEST_CASE("a name that nothing has is told where it stands, with what was probably meant") {
  CHECK(told([](Match& m) {
          m.groups.any = {"P-256", "X25518"};
        }) ==
        "rules[0].when.groups.any[1]: \"X25518\" is no key-exchange group that is known here: did you mean "
        "\"X25519\"?");
  CHECK(has(told([](Match& m) { m.versions.none = {"TLSv1.2"}; }),
            "versions.none[0]: \"TLSv1.2\" is no version"));
  CHECK(has(told([](Match& m) { m.ciphers.all = {"ECDHE-RSA-AES128-GCM-SHA265"}; }),
            "did you mean \"ECDHE-RSA-AES128-GCM-SHA256\"?"));
  CHECK(has(told([](Match& m) { m.ciphers.all = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}; }),
            "is written \"ECDHE-RSA-AES128-GCM-SHA256\" here"));
  CHECK(has(told([](Match& m) { m.sigalgs.any = {"rsa_pss_sha256"}; }), "is no signature algorithm"));
  CHECK(has(told([](Match& m) { m.alpn.any = {"http1.1"}; }), "did you mean \"http/1.1\"?"));
  CHECK(has(told([](Match& m) { m.groups.any = {"0x1a1a"}; }), "is GREASE"));
  CHECK(has(told([](Match& m) { m.sni = {"https://a"}; }), "can be no server name"));
  CHECK(has(told([](Match& m) { m.addresses = {"192.0.2.1/24"}; }), "192.0.2"));
}

TEST_CASE("a rule that contradicts itself is an error") {
  CHECK(has(told([](Match& m) { m.groups.all = {"X25519"}, m.groups.none = {"x25519"}; }),
            "rules[0].when.groups: can never match"));
  CHECK(has(told([](Match& m) {
              m.alpn.any = {"h2"}, m.alpn.none = {"h2", "http/1.1"};
            }),
            "can never match"));
  CHECK(told([](Match& m) { m.alpn.any = {"h2", "http/1.1"}, m.alpn.none = {"h2"}; }).empty());
  CHECK(has(told([](Match&) {}), "matches everybody"));
}

TEST_CASE("a rule behind one that takes all it would is told") {
  const auto covered = [](const std::function<void(Match&)>& first,
                          const std::function<void(Match&)>& second) {
    const auto all = told({rule("first", first), rule("second", second)});
    return !all.empty() && has(all[0], "rules[1]: the rule \"second\" is never reached: \"first\" before it");
  };
  const auto ranges = [](std::vector<std::string> blocks) { return [=](Match& m) { m.addresses = blocks; }; };
  const auto names = [](std::vector<std::string> patterns) { return [=](Match& m) { m.sni = patterns; }; };
  const auto without = [](std::vector<std::string> groups) {
    return [=](Match& m) { m.groups.none = groups; };
  };
  CHECK(covered(without({"X25519"}), without({"X25519"})));
  CHECK(covered(without({"X25519"}), without({"X25519", "P-256"})));
  CHECK_FALSE(covered(without({"X25519", "P-256"}), without({"X25519"})));
  CHECK(covered([](Match& m) { m.alpn.any = {"h2", "http/1.1"}; }, [](Match& m) { m.alpn.all = {"h2"}; }));
  CHECK_FALSE(covered([](Match& m) { m.alpn.all = {"h2"}; },
                      [](Match& m) {
                        m.alpn.any = {"h2", "http/1.1"};
                      }));
  CHECK(covered(ranges({"10.0.0.0/8"}), ranges({"10.1.0.0/16", "10.2.3.4"})));
  CHECK_FALSE(covered(ranges({"10.0.0.0/8"}), ranges({"10.1.0.0/16", "11.0.0.0/8"})));
  CHECK(covered(names({"*.example.com"}), names({"api.example.com", "*.x.example.com"})));
  CHECK_FALSE(covered(names({"api.*"}), names({"*.example.com"})));
  CHECK_FALSE(covered(names({"*"}), names({""})));
  CHECK(
      covered([](Match& m) { m.ja4 = {"t13d*_*_*"}; }, [](Match& m) { m.ja4 = {"t13d15*_8daaf6152771_*"}; }));
  // A condition more in the earlier one lets some through.
  CHECK_FALSE(
      covered([](Match& m) { m.sni = {"a.example"}, m.groups.none = {"X25519"}; }, without({"X25519"})));
  CHECK(covered(without({"X25519"}), [](Match& m) { m.sni = {"a.example"}, m.groups.none = {"X25519"}; }));
}

TEST_CASE("globs") {
  CHECK(glob_matches("*", ""));
  CHECK(glob_matches("a*c*e", "abcde"));
  CHECK(glob_matches("*aab", "aaaaab"));
  CHECK_FALSE(glob_matches("a*b", "abc"));
  CHECK_FALSE(glob_matches("", "a"));
  CHECK(globs_meet("api.*", "*.example.com"));
  CHECK(globs_meet("*", ""));
  CHECK(globs_meet("a*b*c", "ab*bc"));
  CHECK_FALSE(globs_meet("api.*", "www.*"));
  CHECK_FALSE(globs_meet("*.example.com", "*.example.org"));
  CHECK_FALSE(globs_meet("abc", "ab"));
}

// ---- with hosts ------------------------------------------------------------------------------

namespace {

struct RuledHosts {
  TemporaryFolder folder;
  StoreSpec spec;

  RuledHosts() {
    Wanted wanted;
    wanted.san = "DNS:a.example,DNS:*.a.example";
    HostSpec host;
    host.names = {"a.example", "api.a.example"};
    host.certificates = {loaded(issue(wanted))};
    spec.hosts = {host};
    spec.policies.resize(1);
  }
  PolicySpec& policy(const std::string& name) {
    spec.policies.emplace_back();
    spec.policies.back().name = name;
    return spec.policies.back();
  }
  PolicySpec& closed(const std::string& name = "closed") {
    PolicySpec& made = policy(name);
    made.client_auth = {ClientAuthMode::require, folder.write("ca.pem", make_authority().pem()), 4};
    return made;
  }
  void rule(const std::string& name, const std::function<void(Match&)>& when, const std::string& to = {}) {
    spec.policies[0].rules.push_back(::rule(name, when, to));
  }
  std::vector<std::string> notes() {
    Notes notes;
    static_cast<void>(ContextStore::build(spec, nullptr, notes));
    return texts(notes);
  }
  std::shared_ptr<const ContextStore> build() {
    Notes notes;
    auto store = ContextStore::build(spec, nullptr, notes);
    for (const std::string& text : texts(notes)) UNSCOPED_INFO(text);
    REQUIRE(store != nullptr);
    return store;
  }
};

}  // namespace

TEST_CASE("names that no host of the policy has, and picks under which nobody could connect, are told") {
  RuledHosts world;
  world.policy("modern").min_version = Version::tls13;
  world.rule(
      "names",
      [](Match& m) {
        m.sni = {"api.*", "b.example"};
      },
      "modern");
  world.rule("nobody", [](Match& m) { m.sni = {""}; });
  world.rule(
      "old", [](Match& m) { m.versions.none = {"1.3"}; }, "modern");
  const auto all = world.notes();
  REQUIRE(all.size() == 4);
  CHECK(all[0] ==
        "policies[0].rules[2]: the rule \"old\" picks \"modern\", under which its clients can never connect: "
        "they "
        "offer none of its versions");
  CHECK(all[1] == "policies[0].rules[0]: no host of this policy can be asked for by the name \"b.example\"");
  CHECK(has(all[2], "policies[0].rules[1]: no host of this policy is met without a server name"));
  CHECK(has(all[3], "policies[0].rules[1]: so the rule \"nobody\" can never match"));
  world.spec.missing_sni = "a.example";
  world.spec.unknown_sni = "a.example";
  CHECK(world.notes().size() == 1);
  world.spec.policies[1].rules = world.spec.policies[0].rules;
  world.spec.policies[1].rules.pop_back();
  CHECK(has(world.notes().back(), "policies[1]: its rules are never looked at"));
}

TEST_CASE("a session belongs to a host and the policy that held") {
  RuledHosts world;
  world.policy("other").alpn = {"http/1.1"};
  world.closed();
  const auto plain = world.build();
  world.rule(
      "one", [](Match& m) { m.sni = {"api.*"}; }, "other");
  world.rule("two", [](Match& m) { m.groups.none = {"X25519"}; });
  world.rule(
      "three", [](Match& m) { m.alpn.any = {"h2"}; }, "closed");
  const auto store = world.build();
  const HostEntry& host = store->hosts()[0];
  REQUIRE(host.picked.size() == 3);
  CHECK(host.picked[0].policy().name == "other");
  CHECK(host.picked[1].context == nullptr);
  CHECK(host.picked[2].policy().name == "closed");
  CHECK(host.own.session_id_context != host.picked[0].session_id_context);
  CHECK(host.own.session_id_context != host.picked[2].session_id_context);
  CHECK(host.picked[0].session_id_context != host.picked[2].session_id_context);
  // Rules alone do not void tickets.
  CHECK(host.own.session_id_context == plain->hosts()[0].own.session_id_context);
}

TEST_CASE("a connection is matched again by the client-certificate rule that held") {
  RuledHosts world;
  const auto open = [](Match& m) { m.addresses = {"10.0.0.0/8"}; };
  SECTION("rules that change nothing about client certificates change nothing here") {
    world.policy("other").alpn = {"http/1.1"};
    const auto before = world.build();
    world.rule("inside", open, "other");
    const auto after = world.build();
    const HostEntry& host = after->hosts()[0];
    CHECK(host.one_auth_rule);
    CHECK(after->rematch("a.example", 0, before->hosts()[0].own.auth_rule) == &host);
    CHECK(before->rematch("a.example", 0, host.picked[0].auth_rule) != nullptr);
  }
  SECTION("a laxer policy that a rule picked is not the host's own, nor the other way about") {
    world.closed();
    world.policy("lax");
    world.spec.hosts[0].policy = "closed";
    const auto strict = world.build();
    world.spec.policies[1].rules = {rule("inside", open, "lax")};
    const auto mixed = world.build();
    const HostEntry& host = mixed->hosts()[0];
    CHECK_FALSE(host.one_auth_rule);
    const std::string& lax = host.picked[0].auth_rule;
    // Its own host takes it as long as the rules stand.
    CHECK(mixed->rematch("a.example", 0, lax) == &host);
    CHECK(mixed->rematch("a.example", 0, host.own.auth_rule) == &host);
    CHECK(world.build()->rematch("a.example", 0, lax) != nullptr);
    // The rule goes: who came by it was never asked for a certificate.
    CHECK(strict->rematch("a.example", 0, lax) == nullptr);
    CHECK(strict->rematch("a.example", 0, host.own.auth_rule) != nullptr);
    // The rule is narrowed: whoever came by it might not pass now.
    world.spec.policies[1].rules = {rule(
        "inside", [](Match& m) { m.addresses = {"10.1.0.0/16"}; }, "lax")};
    CHECK(world.build()->rematch("a.example", 0, lax) == nullptr);
    // A rule before it: likewise. A rule's name is nobody's business.
    world.spec.policies[1].rules = {rule(
                                        "first", [](Match& m) { m.alpn.any = {"h2"}; }, "closed2"),
                                    rule("inside", open, "lax")};
    world.closed("closed2");
    CHECK(world.build()->rematch("a.example", 0, lax) == nullptr);
    world.spec.policies[1].rules = {rule("renamed", open, "lax")};
    CHECK(world.build()->rematch("a.example", 0, lax) != nullptr);
  }
  SECTION("a rule that asks for certificates comes up") {
    world.closed();
    const auto before = world.build();
    world.rule("outside", open, "closed");
    CHECK(world.build()->rematch("a.example", 0, before->hosts()[0].own.auth_rule) == nullptr);
  }
}

TEST_CASE("names of one host that rules tell apart are like names of two") {
  RuledHosts world;
  const auto store = world.build();
  CHECK(store->serves("api.a.example", 0, store->hosts()[0], "a.example"));
  world.closed();
  world.rule(
      "api", [](Match& m) { m.sni = {"api.*"}; }, "closed");
  const auto apart = world.build();
  const HostEntry& host = apart->hosts()[0];
  CHECK_FALSE(apart->serves("api.a.example", 0, host, "a.example"));
  CHECK_FALSE(apart->serves("a.example", 0, host, "api.a.example"));
  CHECK(apart->serves("api.a.example", 0, host, "api.a.example"));
  CHECK(apart->serves("a.example", 0, host, "a.example"));
}
