// What a client's certificate must be: lists of revoked ones as they are read and searched, names and
// pins as they are compared, and a certificate's facts in words that nobody can break out of.
#include "client_rule.hpp"

#include <chrono>
#include <thread>

#include "certificates.hpp"
#include "text.hpp"

using namespace sallyport::tls;
using namespace tls_test;

namespace {

struct ClientAuthority {
  TemporaryFolder folder;
  Identity ca = make_authority("Client CA");
  ClientAuthSpec spec{ClientAuthMode::require, folder.write("ca.pem", ca.pem()), 4};
  Notes notes;
  Digest digest{};

  std::shared_ptr<const ClientRule> load() {
    notes = {};
    return load_client_rule(spec, sallyport::base::WallClock::now(), digest, notes);
  }
  void list(const std::string& bytes, const std::string& name = "list.crl") {
    spec.crl_files.push_back(folder.write(name, bytes));
  }
  Identity client(const std::string& san = "", const std::string& name = "client",
                  const Identity* by = nullptr) {
    Wanted wanted;
    wanted.name = name;
    wanted.san = san;
    return issue(wanted, by == nullptr ? &ca : by);
  }
};

// What OpenSSL says of a certificate under the rule.
int verdict(const ClientRule& rule, const Identity& leaf, const Identity* above = nullptr) {
  const SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  REQUIRE(apply(rule, context.get()));
  X509_STORE_CTX* verification = X509_STORE_CTX_new();
  STACK_OF(X509)* chain = sk_X509_new_null();
  if (above != nullptr) sk_X509_push(chain, above->certificate.get());
  X509_STORE_CTX_init(verification, SSL_CTX_get_cert_store(context.get()), leaf.certificate.get(), chain);
  X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(verification), SSL_CTX_get0_param(context.get()));
  X509_verify_cert(verification);
  const int error = X509_STORE_CTX_get_error(verification);
  X509_STORE_CTX_free(verification);
  sk_X509_free(chain);
  return error;
}

std::string pem_of(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const CrlPtr list(d2i_X509_CRL(nullptr, &at, static_cast<long>(der.size())));
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_CRL(bio.get(), list.get());
  return text_of(bio.get());
}

}  // namespace

TEST_CASE("who is on a list is revoked, who is not is good, whatever its length") {
  ClientAuthority world;
  const Identity bad = world.client();
  const Identity good = world.client();
  const std::size_t others = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{1000});
  world.list(revocation_list(world.ca, {.revoked = {&bad}, .others = others}));
  const auto rule = world.load();
  REQUIRE(rule != nullptr);
  CHECK(world.notes.items().empty());
  CHECK(verdict(*rule, bad) == X509_V_ERR_CERT_REVOKED);
  CHECK(verdict(*rule, good) == X509_V_OK);
}

TEST_CASE("an intermediate's list counts once its signature held, and only its own key's") {
  ClientAuthority world;
  const Identity below = make_intermediate(world.ca, "Below");
  const Identity impostor = make_intermediate(world.ca, "Below");
  const Identity bad = world.client("", "bad", &below);
  const Identity good = world.client("", "good", &below);
  const Identity other = world.client("", "other", &impostor);
  const std::string list = pem_of(revocation_list(below, {.revoked = {&bad}}));
  world.list(pem_of(revocation_list(world.ca)) + list);
  const auto rule = world.load();
  REQUIRE(rule != nullptr);
  REQUIRE(world.notes.items().size() == 1);  // that the list is of no CA in the file
  CHECK(rule->lists.size() == 2);
  for (int i = 0; i < 2; ++i) {
    if (i == 0) CHECK(verdict(*rule, other, &impostor) == X509_V_ERR_CRL_SIGNATURE_FAILURE);
    CHECK(verdict(*rule, bad, &below) == X509_V_ERR_CERT_REVOKED);
    CHECK(verdict(*rule, good, &below) == X509_V_OK);
    CHECK(verdict(*rule, other, &impostor) == X509_V_ERR_CRL_SIGNATURE_FAILURE);
  }
}

TEST_CASE("a revoked intermediate takes all below with it, and one without a list as well") {
  ClientAuthority world;
  const Identity gone = make_intermediate(world.ca, "Gone");
  const Identity unlisted = make_intermediate(world.ca, "Unlisted");
  world.list(revocation_list(world.ca, {.revoked = {&gone}}), "root.crl");
  world.list(revocation_list(gone), "gone.crl");
  const auto rule = world.load();
  REQUIRE(rule != nullptr);
  CHECK(verdict(*rule, world.client("", "x", &gone), &gone) == X509_V_ERR_CERT_REVOKED);
  CHECK(verdict(*rule, world.client("", "x", &unlisted), &unlisted) == X509_V_ERR_UNABLE_TO_GET_CRL);
}

TEST_CASE("a list that is out of date refuses and is told at load; a newer one beside it wins") {
  ClientAuthority world;
  const Identity good = world.client();
  const Identity bad = world.client();
  world.list(revocation_list(world.ca, {.from = -7200, .until = -3600}));
  auto rule = world.load();
  REQUIRE(rule != nullptr);
  CHECK(has(first_text(world.notes), "was to be renewed by 20"));
  CHECK(verdict(*rule, good) == X509_V_ERR_CRL_HAS_EXPIRED);
  world.list(revocation_list(world.ca, {.revoked = {&bad}}), "newer.crl");
  rule = world.load();
  REQUIRE(rule != nullptr);
  CHECK(verdict(*rule, good) == X509_V_OK);
  CHECK(verdict(*rule, bad) == X509_V_ERR_CERT_REVOKED);
  CHECK(has(rule->list_of("CN=Client CA")->file, "newer.crl"));
  CHECK(rule->list_of("CN=Nobody") == nullptr);
}

TEST_CASE("lists that would not do their work are refused with the file and what to do") {
  ClientAuthority world;
  const Identity stranger = make_authority("Client CA");
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "neither in PEM form nor in DER"},
      {std::string("0\x82"), "neither in PEM form nor in DER"},
      {revocation_list(world.ca) + "x", "something stands behind it"},
      {world.ca.pem(), "it holds a certificate, and a CA belongs under ca"},
      {"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", "revocation list number 1 is broken"},
      {revocation_list(world.ca, {.delta = true}), "a delta CRL"},
      {revocation_list(world.ca,
                       {.extensions = {{NID_issuing_distribution_point, "critical,indirectCRL:TRUE"}}}),
       "an indirect CRL"},
      {revocation_list(world.ca, {.extensions = {{NID_issuing_distribution_point,
                                                  "critical,onlysomereasons:keyCompromise"}}}),
       "only some reasons"},
      {revocation_list(world.ca, {.signer = &stranger}), "is not signed by the CA of that name"},
  };
  for (const auto& [bytes, words] : cases) {
    world.spec.crl_files.clear();
    world.list(bytes);
    CHECK(world.load() == nullptr);
    INFO(first_text(world.notes));
    CHECK(has(first_text(world.notes), words));
    CHECK(has(first_text(world.notes), "list.crl"));
  }
}

TEST_CASE("the rule is another when a list, a name or a pin is, by content and not by path") {
  ClientAuthority world;
  const auto identity = [&] {
    REQUIRE(world.load() != nullptr);
    return world.digest;
  };
  const Identity bad = world.client();
  std::vector<Digest> seen{identity()};
  const std::string list = revocation_list(world.ca);
  world.list(list);
  seen.push_back(identity());
  world.spec.crl_files = {};
  world.list(list, "moved.crl");
  CHECK(identity() == seen.back());
  world.list(revocation_list(world.ca, {.revoked = {&bad}}), "moved.crl");
  world.spec.crl_files.pop_back();
  seen.push_back(identity());
  world.spec.sans = {"a.test"};
  seen.push_back(identity());
  world.spec.sans = {};
  world.spec.spki_pins = {"a.test"};
  seen.push_back(identity());
  std::sort(seen.begin(), seen.end());
  CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}

TEST_CASE("names are compared by kind: one label for a star, the rest of a path for another") {
  const auto [pattern, san, matches] = GENERATE(table<std::string, std::string, bool>({
      {"a.test", "DNS:A.test", true},
      {"*.a.test", "DNS:x.a.test", true},
      {"*.a.test", "DNS:x.y.a.test", false},
      {"*.a.test", "DNS:a.test", false},
      {"*.a.test", "DNS:*.a.test", false},
      {"a.test", "email:x@a.test", false},
      {"a.test", "URI:a.test", false},
      {"x@a.test", "email:x@A.TEST", true},
      {"x@a.test", "email:X@a.test", false},
      {"urn:one", "URI:urn:one", true},
      {"urn:one", "URI:URN:one", false},
      {"spiffe://a/b/*", "URI:spiffe://a/b/c", true},
      {"spiffe://a/b/*", "URI:spiffe://a/b/", false},
      {"spiffe://a/b/*", "URI:spiffe://a/bc", false},
      {"10.0.0.1", "IP:10.0.0.1", true},
      {"10.0.0.1", "IP:10.0.0.2", false},
      {"10.0.0.1", "DNS:10.0.0.1", false},
      {"DNS:10.0.0.1", "DNS:10.0.0.1", true},
      {"2001:db8::1", "IP:2001:DB8:0::1", true},
      {"URI:a.test", "DNS:a.test", false},
  }));
  INFO(pattern << " " << san);
  ClientAuthority world;
  world.spec.sans = {"other.test", pattern};
  const auto rule = world.load();
  REQUIRE(rule != nullptr);
  CHECK((rule->refuses(world.client(san).certificate.get()) == X509_V_OK) == matches);
  CHECK(rule->refuses(world.client().certificate.get()) == kNoSanMatches);
}

TEST_CASE("a pin is its key's, whatever certificate has it") {
  ClientAuthority world;
  const Identity good = world.client();
  Wanted again;
  again.key = good.key.get();
  world.spec.spki_pins = {pin_of(good.certificate.get())};
  const auto rule = world.load();
  REQUIRE(rule != nullptr);
  CHECK(world.spec.spki_pins[0].size() == 44);
  CHECK(rule->refuses(good.certificate.get()) == X509_V_OK);
  CHECK(rule->refuses(issue(again, &world.ca).certificate.get()) == X509_V_OK);
  CHECK(rule->refuses(world.client().certificate.get()) == kNoPinMatches);
}

TEST_CASE("what a certificate says is told in words that end nothing and begin nothing") {
  ClientAuthority world;
  Identity client = world.client("DNS:a.test,URI:spiffe://a/b\"c,email:x@a.test,IP:10.0.0.1,IP:2001:db8::1");
  X509_NAME* name = X509_NAME_new();
  const std::string evil = "a\"b\\c, CN=admin\r\nX-Admin: 1;d\xc3\xa4";
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(evil.data()),
                             static_cast<int>(evil.size()), -1, 0);
  X509_set_subject_name(client.certificate.get(), name);
  X509_NAME_free(name);
  REQUIRE(X509_sign(client.certificate.get(), world.ca.key.get(), EVP_sha256()) != 0);
  const auto told = describe(client.certificate.get(), ClientCertResult::ok);
  CHECK(told->subject == R"(CN=a\22b\5Cc\, CN=admin\0D\0AX-Admin: 1\;d\C3\A4)");
  CHECK(told->issuer == "CN=Client CA");
  CHECK(told->sha256.size() == 64);
  CHECK(told->der_base64.starts_with("MII"));
  const std::vector<std::string> names{"DNS:a.test", "URI:spiffe://a/b%22c", "email:x@a.test", "IP:10.0.0.1",
                                       "IP:2001:db8::1"};
  CHECK(told->sans == names);
}

TEST_CASE("what is too long is left out and not cut") {
  ClientAuthority world;
  std::string sans = "DNS:first.test";
  for (int i = 0; i < 100; ++i) sans += ",DNS:x" + std::to_string(i) + ".test";
  const auto told = describe(world.client(sans).certificate.get(), ClientCertResult::ok);
  CHECK(told->sans.size() == ClientCertificate::kMostSans);
  const std::string long_name(600, 'a');
  const auto longer = describe(world.client("URI:urn:" + long_name + ",DNS:short.test").certificate.get(),
                               ClientCertResult::ok);
  CHECK(longer->sans == std::vector<std::string>{"DNS:short.test"});
}

TEST_CASE("many threads ask a list at once") {
  ClientAuthority world;
  const Identity below = make_intermediate(world.ca, "Below");
  const Identity bad = world.client("", "bad", &below);
  const Identity good = world.client("", "good", &below);
  world.list(pem_of(revocation_list(world.ca)) +
             pem_of(revocation_list(below, {.revoked = {&bad}, .others = 500})));
  const auto rule = world.load();
  REQUIRE(rule != nullptr);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        right += verdict(*rule, bad, &below) == X509_V_ERR_CERT_REVOKED;
        right += verdict(*rule, good, &below) == X509_V_OK;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 200);
}

TEST_CASE("what a list of 100,000 costs", "[.bench]") {
  ClientAuthority world;
  const Identity bad = world.client();
  const Identity good = world.client();
  const std::string list = revocation_list(world.ca, {.revoked = {&bad}, .others = 100'000});
  world.list(list);
  const auto ms = [](auto f) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  };
  std::shared_ptr<const ClientRule> rule;
  const double load = ms([&] { rule = world.load(); });
  const SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  REQUIRE(apply(*rule, context.get()));
  const auto verify = [&](X509_STORE* store) {
    X509_STORE_CTX* verification = X509_STORE_CTX_new();
    X509_STORE_CTX_init(verification, store, good.certificate.get(), nullptr);
    X509_STORE_CTX_set_flags(verification, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    CHECK(X509_verify_cert(verification) == 1);
    X509_STORE_CTX_free(verification);
  };
  const double ours = ms([&] {
    for (int i = 0; i < 100; ++i) verify(SSL_CTX_get_cert_store(context.get()));
  });
  X509_STORE* plain = X509_STORE_new();
  X509_STORE_add_cert(plain, world.ca.certificate.get());
  const auto* at = reinterpret_cast<const unsigned char*>(list.data());
  const CrlPtr theirs(d2i_X509_CRL(nullptr, &at, static_cast<long>(list.size())));
  X509_STORE_add_crl(plain, theirs.get());
  const double usual = ms([&] {
    for (int i = 0; i < 100; ++i) verify(plain);
  });
  X509_STORE_free(plain);
  WARN(list.size() << " bytes; load " << load << " ms; a verification " << ours / 100 << " ms, OpenSSL's own "
                   << usual / 100 << " ms");
}
