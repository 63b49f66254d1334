#include "sallyport/tls/certificate.hpp"

#include <openssl/err.h>

#include "catch.hpp"
#include "certificates.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;

namespace {

Wanted wanted(const std::string& san) {
  Wanted w;
  w.san = san;
  return w;
}

std::string error_of(const std::string& chain, const std::string& key) {
  Notes notes;
  CHECK(Certificate::parse(chain, key, {"c.pem", "k.pem", ""}, base::WallClock::now(), notes) == nullptr);
  CHECK(notes.errors() == 1);
  return first_text(notes);
}

bool holds(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a certificate tells its names, dates, key and fingerprint") {
  const Identity ca = make_authority();
  const Identity leaf = issue(wanted("DNS:Example.com,DNS:*.example.com,IP:192.0.2.7,IP:2001:db8::1"), &ca);
  const auto certificate = loaded(leaf, &ca, "k8s/tls");
  CHECK(certificate->label() == "k8s/tls");
  CHECK(certificate->dns_names() == std::vector<std::string>{"example.com", "*.example.com"});
  CHECK(certificate->addresses() == std::vector<std::string>{"192.0.2.7", "2001:db8::1"});
  CHECK(certificate->key_type() == KeyType::ecdsa);
  CHECK(certificate->key_bits() == 256);
  CHECK(certificate->chain_length() == 2);
  CHECK(certificate->fingerprint_hex().size() == 64);
  CHECK(certificate->issuer() == "CN=Test CA");
  CHECK(certificate->not_before() < base::WallClock::now());
  CHECK(certificate->not_after() > base::WallClock::now());
  CHECK(certificate->serial().size() == 4);
  CHECK(certificate->covers("example.com"));
  CHECK(certificate->covers("a.example.com"));
  CHECK_FALSE(certificate->covers("a.b.example.com"));
  CHECK_FALSE(certificate->covers("example.org"));
  CHECK(loaded(leaf)->label() == "chain.pem");
}

TEST_CASE("what is wrong with a chain or key is said with file, reason and remedy") {
  const Identity leaf = issue(wanted("DNS:a.example"));
  const Identity other = issue(wanted("DNS:b.example"));
  CHECK(holds(error_of("", leaf.key_pem()), "c.pem: holds no certificate"));
  CHECK(holds(error_of(leaf.key_pem(), leaf.pem()), "are chain and key swapped?"));
  CHECK(holds(error_of(leaf.pem(), ""), "k.pem: holds no private key"));
  CHECK(holds(error_of(leaf.pem(), other.key_pem()),
              "k.pem: does not belong to the first certificate in c.pem"));
  CHECK(holds(error_of(leaf.pem(), leaf.key_pem("secret")), "is encrypted"));
  const std::string pem = leaf.pem();
  CHECK(holds(error_of(pem + pem.substr(0, pem.size() / 2), leaf.key_pem()),
              "certificate 2 in it cannot be read"));
  const std::string key = leaf.key_pem();
  CHECK(holds(error_of(pem, key.substr(0, key.size() / 2)), "k.pem: the key cannot be read"));
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE(
    "an expired certificate is loaded with a warning, since it must not block a reload for the others") {
  Wanted old = wanted("DNS:a.example");
  old.from = -7200;
  old.until = -3600;
  const Identity leaf = issue(old);
  Notes notes;
  const auto certificate =
      Certificate::parse(leaf.pem(), leaf.key_pem(), {"c.pem", "k.pem", ""}, base::WallClock::now(), notes);
  REQUIRE(certificate != nullptr);
  CHECK(notes.ok());
  REQUIRE(notes.items().size() == 1);
  CHECK(holds(notes.items()[0].text, "expired on"));
  // Time is what it is told.
  Notes earlier;
  certificate->check_dates(base::WallClock::now() - std::chrono::hours(3), earlier);
  REQUIRE(earlier.items().size() == 1);
  CHECK(holds(earlier.items()[0].text, "is not valid before"));
}

TEST_CASE("a reload takes over what has the same bytes and loads what has not") {
  const TemporaryFolder folder;
  const Identity one = issue(wanted("DNS:a.example"));
  const Identity two = issue(wanted("DNS:a.example"));
  const CertificateSource source{folder.write("c.pem", one.pem()), folder.write("k.pem", one.key_pem()), "x"};
  CertificatePool pool;
  Notes notes;
  const auto now = base::WallClock::now();
  auto first = pool.load(source, now, notes);
  REQUIRE(first != nullptr);
  CHECK(pool.load(source, now, notes) == first);
  static_cast<void>(folder.write("c.pem", two.pem()));
  CHECK(pool.load(source, now, notes) == nullptr);  // half of a rotation
  CHECK_FALSE(notes.ok());
  static_cast<void>(folder.write("k.pem", two.key_pem()));
  Notes clean;
  const auto second = pool.load(source, now, clean);
  REQUIRE(second != nullptr);
  CHECK(second != first);
  CHECK(second->serial() != first->serial());
}

TEST_CASE("files that cannot be read are named") {
  const TemporaryFolder folder;
  CertificatePool pool;
  Notes notes;
  CHECK(pool.load({(folder.path() / "c.pem").string(), folder.path().string(), ""}, base::WallClock::now(),
                  notes) == nullptr);
  REQUIRE(notes.items().size() == 2);
  CHECK(holds(notes.items()[0].text, "c.pem cannot be read: No such file"));
  CHECK(holds(notes.items()[1].text, "is a directory"));
}

TEST_CASE("key types are told apart") {
  Wanted rsa = wanted("DNS:a.example");
  rsa.rsa = true;
  CHECK(loaded(issue(rsa))->key_type() == KeyType::rsa);
  CHECK(to_string(KeyType::rsa) == "rsa");
}
