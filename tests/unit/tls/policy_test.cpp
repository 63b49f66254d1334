#include "sallyport/tls/policy.hpp"

#include "sallyport/config/profiles.hpp"
#include "sallyport/tls/server_context.hpp"

#include "catch.hpp"
#include "certificates.hpp"
#include "text.hpp"

using namespace sallyport::tls;
using namespace tls_test;

namespace {

std::string error_of(const PolicySpec& spec) {
  Notes notes;
  CHECK(resolve_policy(spec, notes) == nullptr);
  CHECK_FALSE(notes.ok());
  for (const Note& note : notes.items()) {
    if (note.severity == Note::Severity::error) return note.where + ": " + note.text;
  }
  return {};
}

}  // namespace

TEST_CASE("the default policy resolves to code points in its own order") {
  Notes notes;
  const auto policy = resolve_policy(PolicySpec{}, notes);
  REQUIRE(policy != nullptr);
  CHECK(policy->ciphers.front() == 0xc02b);
  CHECK(policy->cipher_suites == std::vector<std::uint16_t>{0x1301, 0x1302, 0x1303});
  CHECK(policy->alpn_wire == "\x02h2\x08http/1.1");
  CHECK(policy->auth_rule.empty());
  CHECK(policy->groups.size() >= 3);
  CHECK(notes.items().empty());
  CHECK(ServerContext::make(policy, nullptr, notes) != nullptr);
}

TEST_CASE("a group that this OpenSSL lacks is left out; who asked for it by name is told") {
  PolicySpec spec;
  spec.groups = {{"X25519MLKEM768", "X25519"}};
  Notes notes;
  const auto policy = resolve_policy(spec, notes);
  REQUIRE(policy != nullptr);
  const bool has_ml_kem = policy->groups.front() == 0x11ec;
  CHECK(policy->groups.size() == (has_ml_kem ? 2 : 1));
  CHECK(notes.items().empty() == has_ml_kem);
  CHECK(lacking(spec) ==
        (has_ml_kem ? std::vector<std::string>{} : std::vector<std::string>{"X25519MLKEM768"}));
}

TEST_CASE("every profile is one that this OpenSSL can do, without a word") {
  for (const sallyport::config::Profile& profile : sallyport::config::profiles()) {
    INFO(profile.name);
    PolicySpec spec;
    spec.min_version =
        profile.values.min_version == sallyport::config::TlsVersion::tls13 ? Version::tls13 : Version::tls12;
    spec.ciphers = profile.values.ciphers;
    spec.cipher_suites = profile.values.cipher_suites;
    spec.groups = profile.values.groups;
    spec.alpn = profile.values.alpn;
    Notes notes;
    const auto policy = resolve_policy(spec, notes);
    REQUIRE(policy != nullptr);
    CHECK(notes.items().empty());
    CHECK(ServerContext::make(policy, nullptr, notes) != nullptr);
  }
}

TEST_CASE("a name that OpenSSL would pass over in silence is refused, by its place") {
  PolicySpec spec;
  spec.ciphers = {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES127-GCM-SHA256"};
  CHECK(has(error_of(spec), "ciphers[1]: 'ECDHE-RSA-AES127-GCM-SHA256'"));
  spec.ciphers = {"HIGH"};
  CHECK(has(error_of(spec), "ciphers[0]"));
  spec.ciphers = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"};
  CHECK(has(error_of(spec), "'ECDHE-RSA-AES128-GCM-SHA256'"));
  spec.ciphers = {"TLS_AES_128_GCM_SHA256"};
  CHECK(has(error_of(spec), "cipher_suites"));
  spec = {};
  spec.cipher_suites = {"TLS_AES_128_GCM_SHA257"};
  CHECK(has(error_of(spec), "cipher_suites[0]"));
  spec.cipher_suites = {"ECDHE-RSA-AES128-GCM-SHA256"};
  CHECK(has(error_of(spec), "belongs under ciphers"));
  spec = {};
  spec.groups = {{"X25519", "P-257"}};
  CHECK(has(error_of(spec), "groups[1]: 'P-257'"));
  spec = {};
  spec.alpn = {"h3"};
  CHECK(has(error_of(spec), "alpn[0]: 'h3'"));
}

TEST_CASE("a policy that could never shake hands is refused") {
  PolicySpec spec;
  spec.min_version = Version::tls13;
  spec.max_version = Version::tls12;
  CHECK(has(error_of(spec), "min_version"));
  spec = {};
  spec.ciphers.clear();
  CHECK(has(error_of(spec), "ciphers"));
  spec = {};
  spec.groups = {{}};
  CHECK(has(error_of(spec), "groups"));
  spec = {};
  spec.cipher_suites.clear();
  CHECK(has(error_of(spec), "cipher_suites"));
  spec.max_version = Version::tls12;
  Notes notes;
  CHECK(resolve_policy(spec, notes) != nullptr);
}

TEST_CASE("group names are known by every usual spelling") {
  CHECK(find_group("secp256r1")->id == 23);
  CHECK(find_group("prime256v1")->name == "P-256");
  CHECK(find_group("x25519")->name == "X25519");
  CHECK(find_group("x25519mlkem768")->id == 0x11ec);
  CHECK(find_group("nonsense") == nullptr);
}

TEST_CASE("the client-certificate rule is known by mode, depth and the CA's bytes, not its path") {
  const TemporaryFolder folder;
  const Identity ca = make_authority("A");
  const Identity other = make_authority("B");
  const auto rule_of = [](const std::string& file, ClientAuthMode mode, int depth) {
    PolicySpec spec;
    spec.client_auth = {mode, file, depth};
    Notes notes;
    const auto policy = resolve_policy(spec, notes);
    REQUIRE(policy != nullptr);
    return policy->auth_rule;
  };
  const std::string a = folder.write("a.pem", ca.pem());
  const std::string same = folder.write("same.pem", ca.pem());
  const std::string b = folder.write("b.pem", other.pem());
  CHECK(rule_of(a, ClientAuthMode::require, 4) == rule_of(same, ClientAuthMode::require, 4));
  CHECK(rule_of(a, ClientAuthMode::require, 4) != rule_of(b, ClientAuthMode::require, 4));
  CHECK(rule_of(a, ClientAuthMode::require, 4) != rule_of(a, ClientAuthMode::request, 4));
  CHECK(rule_of(a, ClientAuthMode::require, 4) != rule_of(a, ClientAuthMode::require, 1));
}

TEST_CASE("a client CA that is missing, unreadable or no certificate is named") {
  const TemporaryFolder folder;
  PolicySpec spec;
  spec.client_auth.mode = ClientAuthMode::require;
  CHECK(has(error_of(spec), "client_auth.ca"));
  spec.client_auth.ca_file = (folder.path() / "none.pem").string();
  CHECK(has(error_of(spec), "none.pem cannot be read"));
  spec.client_auth.ca_file = folder.path().string();
  CHECK(has(error_of(spec), "is a directory"));
  spec.client_auth.ca_file = folder.write("text.pem", "hello");
  CHECK(has(error_of(spec), "holds no readable CA certificate"));
}
