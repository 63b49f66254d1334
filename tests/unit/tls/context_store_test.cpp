#include "sallyport/tls/context_store.hpp"

#include "catch.hpp"
#include "certificates.hpp"
#include "text.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;

namespace {

std::shared_ptr<const Certificate> certificate_for(const std::string& san, bool rsa = false) {
  Wanted wanted;
  wanted.san = san;
  wanted.rsa = rsa;
  return loaded(issue(wanted));
}

HostSpec host(std::vector<std::string> names, std::vector<std::uint32_t> listeners = {},
              const std::string& policy = "default") {
  static const auto certificate = certificate_for("DNS:any.example");
  HostSpec spec;
  spec.names = std::move(names);
  spec.listeners = std::move(listeners);
  spec.policy = policy;
  spec.certificates = {certificate};
  return spec;
}

std::shared_ptr<const ContextStore> build(const StoreSpec& spec) {
  Notes notes;
  auto store = ContextStore::build(spec, nullptr, notes);
  for (const Note& note : notes.items()) {
    if (note.severity == Note::Severity::error) INFO(note.where + ": " + note.text);
  }
  REQUIRE(store != nullptr);
  return store;
}

std::string error_of(const StoreSpec& spec) {
  Notes notes;
  CHECK(ContextStore::build(spec, nullptr, notes) == nullptr);
  for (const Note& note : notes.items()) {
    if (note.severity == Note::Severity::error) return note.where + ": " + note.text;
  }
  return {};
}

int index_of(const HostEntry* entry) {
  return entry == nullptr ? -1 : static_cast<int>(entry->index);
}

}  // namespace

TEST_CASE("a host is found by its exact name, a one-label wildcard, '*', else by the rules") {
  StoreSpec spec;
  spec.hosts = {host({"Example.com", "*.example.com"}), host({"api.example.com"}), host({"default.example"})};
  struct Row {
    const char* sni;
    int reject;
    int with_rules;
  };
  const Row rows[] = {{"example.com", 0, 0},
                      {"www.example.com", 0, 0},
                      {"api.example.com", 1, 1},
                      {"a.b.example.com", -1, 2},
                      {"example.org", -1, 2},
                      {"com", -1, 2},
                      {"", -1, 2},
                      {"xexample.com", -1, 2}};
  const auto strict = build(spec);
  spec.unknown_sni = "default.example";
  spec.missing_sni = "default.example";
  const auto lenient = build(spec);
  for (const Row& row : rows) {
    INFO(row.sni);
    CHECK(index_of(strict->find(row.sni, 0)) == row.reject);
    CHECK(index_of(lenient->find(row.sni, 0)) == row.with_rules);
  }
  spec.hosts.push_back(host({"*"}));
  const auto all = build(spec);
  CHECK(index_of(all->find("example.org", 0)) == 3);
  CHECK(index_of(all->find("a.b.example.com", 0)) == 3);
  CHECK(index_of(all->find("", 0)) == 2);
}

TEST_CASE("hosts that are limited to listeners may share a name, and are not found elsewhere") {
  StoreSpec spec;
  spec.hosts = {host({"a.example"}, {0}), host({"a.example"}, {1}), host({"b.example"}, {1})};
  spec.unknown_sni = "b.example";
  const auto store = build(spec);
  CHECK(index_of(store->find("a.example", 0)) == 0);
  CHECK(index_of(store->find("a.example", 1)) == 1);
  CHECK(index_of(store->find("b.example", 0)) == -1);
  CHECK(index_of(store->find("x.example", 0)) == -1);
  CHECK(index_of(store->find("x.example", 1)) == 2);
  spec.hosts.push_back(host({"a.example"}));
  CHECK(has(error_of(spec), "hosts[3].names: 'a.example' is served by host 'a.example' already"));
}

TEST_CASE("a host without names takes those of its certificates; one without certificates is not served") {
  StoreSpec spec;
  HostSpec named_by_certificate;
  named_by_certificate.certificates = {certificate_for("DNS:one.example,DNS:*.two.example")};
  HostSpec plain;
  plain.names = {"plain.example"};
  spec.hosts = {named_by_certificate, plain};
  const auto store = build(spec);
  CHECK(index_of(store->find("one.example", 0)) == 0);
  CHECK(index_of(store->find("x.two.example", 0)) == 0);
  CHECK(index_of(store->find("plain.example", 0)) == -1);
  CHECK(store->hosts()[0].name == "one.example");
}

TEST_CASE("what is wrong with a store is said, all of it") {
  StoreSpec spec;
  spec.hosts = {host({"a.example"}), host({"b..example"}), host({"c.example"}, {}, "nope")};
  spec.unknown_sni = "missing.example";
  PolicySpec broken;
  broken.name = "broken";
  broken.ciphers = {"NONSENSE"};
  spec.policies = {broken};
  Notes notes;
  CHECK(ContextStore::build(spec, nullptr, notes) == nullptr);
  CHECK(notes.errors() == 4);
  CHECK(has(notes.items()[0].where, "policies[0].ciphers[0]"));

  spec = {};
  spec.hosts = {host({"a.example"})};
  spec.hosts[0].certificates.push_back(certificate_for("DNS:a.example"));
  CHECK(has(error_of(spec), "two certificates have a key of type ecdsa"));
  spec.hosts[0].certificates[1] = certificate_for("DNS:a.example", true);
  build(spec);
}

TEST_CASE("a name that no certificate of its host covers is a warning") {
  StoreSpec spec;
  spec.hosts = {host({"other.example"})};
  Notes notes;
  REQUIRE(ContextStore::build(spec, nullptr, notes) != nullptr);
  CHECK(has(notes.items().back().text, "in none of the host's certificates"));
}

TEST_CASE("session ids are bound to names, policy and client-certificate rule, and to nothing else") {
  const TemporaryFolder folder;
  const std::string ca = folder.write("ca.pem", make_authority("A").pem());
  const std::string other_ca = folder.write("other.pem", make_authority("B").pem());
  PolicySpec auth;
  auth.name = "auth";
  auth.client_auth = {ClientAuthMode::require, ca, 4};
  PolicySpec modern;
  modern.name = "modern";
  modern.min_version = Version::tls13;
  StoreSpec spec;
  spec.policies = {auth, modern};
  spec.hosts = {host({"a.example"}), host({"b.example"}), host({"c.example"}, {}, "modern"),
                host({"d.example"}, {}, "auth")};
  const auto store = build(spec);
  const auto again = build(spec);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(store->hosts()[i].own.session_id_context == again->hosts()[i].own.session_id_context);
    for (std::size_t j = 0; j < i; ++j) {
      CHECK(store->hosts()[i].own.session_id_context != store->hosts()[j].own.session_id_context);
    }
  }
  // A rotated certificate leaves it alone, another CA does not.
  spec.hosts[0].certificates = {certificate_for("DNS:a.example")};
  spec.policies[0].client_auth.ca_file = other_ca;
  const auto changed = build(spec);
  CHECK(changed->hosts()[0].own.session_id_context == store->hosts()[0].own.session_id_context);
  CHECK(changed->hosts()[3].own.session_id_context != store->hosts()[3].own.session_id_context);
}

TEST_CASE("where a host says so, a ticket is bound to its certificates") {
  StoreSpec spec;
  spec.hosts = {host({"a.example"})};
  const Digest open = build(spec)->hosts()[0].own.session_id_context;
  spec.hosts[0].resume_after_rotation = false;
  const Digest bound = build(spec)->hosts()[0].own.session_id_context;
  CHECK(bound != open);
  CHECK(bound == build(spec)->hosts()[0].own.session_id_context);
  spec.hosts[0].certificates = {certificate_for("DNS:a.example")};
  CHECK(build(spec)->hosts()[0].own.session_id_context != bound);
}

TEST_CASE("a request is served under the host and client-certificate rule of its handshake only") {
  const TemporaryFolder folder;
  PolicySpec auth;
  auth.name = "auth";
  auth.client_auth = {ClientAuthMode::require, folder.write("ca.pem", make_authority().pem()), 4};
  StoreSpec spec;
  spec.policies = {auth};
  spec.hosts = {host({"open.example", "*.open.example"}), host({"secret.example"}, {}, "auth"),
                host({"bare.example"})};
  spec.missing_sni = "bare.example";
  const auto store = build(spec);
  const HostEntry& open = *store->find("open.example", 0);
  CHECK(store->serves("open.example", 0, open, "open.example"));
  CHECK(store->serves("www.open.example", 0, open, "open.example"));
  CHECK_FALSE(store->serves("secret.example", 0, open, "open.example"));
  CHECK_FALSE(store->serves("unknown.example", 0, open, "open.example"));
  CHECK_FALSE(store->serves("192.0.2.1", 0, open, "open.example"));
  CHECK_FALSE(store->serves("", 0, open, "open.example"));
  CHECK(store->serves("192.0.2.1", 0, *store->find("", 0), ""));
  CHECK(store->serves("2001:db8::1", 0, *store->find("", 0), ""));

  // After a reload the connection is matched again by name.
  StoreSpec tightened = spec;
  tightened.hosts[0].policy = "auth";
  const auto reloaded = build(tightened);
  CHECK(store->rematch("open.example", 0, open.own.auth_rule) == &open);
  CHECK(reloaded->rematch("open.example", 0, open.own.auth_rule) == nullptr);
  StoreSpec removed = spec;
  removed.hosts.erase(removed.hosts.begin());
  CHECK(build(removed)->rematch("open.example", 0, open.own.auth_rule) == nullptr);
}

TEST_CASE("hosts of one policy share its context") {
  StoreSpec spec;
  for (int i = 0; i < 50; ++i) spec.hosts.push_back(host({"h" + std::to_string(i) + ".example"}));
  const auto store = build(spec);
  CHECK(store->contexts() == 1);
  CHECK(store->hosts()[0].own.context == store->hosts()[49].own.context);
}
