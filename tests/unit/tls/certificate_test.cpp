#include "sallyport/tls/certificate.hpp"

#include <openssl/err.h>

#include "catch.hpp"
#include "certificates.hpp"
#include "text.hpp"

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

}  // namespace

TEST_CASE("a certificate tells its names, dates, key and fingerprint") {
  const Identity root = make_authority("Test root");
  const Identity ca = make_intermediate(root);
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
  CHECK(has(error_of("", leaf.key_pem()), "c.pem: holds no certificate"));
  CHECK(has(error_of(leaf.key_pem(), leaf.pem()), "are chain and key swapped?"));
  CHECK(has(error_of(leaf.pem(), ""), "k.pem: holds no private key"));
  CHECK(
      has(error_of(leaf.pem(), other.key_pem()), "k.pem: does not belong to the first certificate in c.pem"));
  CHECK(has(error_of(leaf.pem(), leaf.key_pem("secret")), "is encrypted"));
  const std::string pem = leaf.pem();
  CHECK(has(error_of(pem + pem.substr(0, pem.size() / 2), leaf.key_pem()),
            "certificate 2 in it cannot be read"));
  const std::string key = leaf.key_pem();
  CHECK(has(error_of(pem, key.substr(0, key.size() / 2)), "k.pem: the key cannot be read"));
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
  CHECK(has(notes.items()[0].text, "expired on"));
  // Time is what it is told.
  Notes earlier;
  certificate->tell(base::WallClock::now() - std::chrono::hours(3), earlier);
  REQUIRE(earlier.items().size() == 1);
  CHECK(has(earlier.items()[0].text, "is not valid before"));
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
  CHECK(has(notes.items()[0].text, "c.pem cannot be read: No such file"));
  CHECK(has(notes.items()[1].text, "is a directory"));
}

TEST_CASE("key types are told apart") {
  Wanted rsa = wanted("DNS:a.example");
  rsa.rsa = true;
  CHECK(loaded(issue(rsa))->key_type() == KeyType::rsa);
  CHECK(to_string(KeyType::rsa) == "rsa");
}

namespace {

std::vector<std::string> warnings(const Notes& notes) {
  std::vector<std::string> texts;
  for (const Note& note : notes.items()) texts.push_back(note.text);
  return texts;
}

// A root, an intermediate below it, a leaf below that, and where their files are.
struct OnDisk {
  TemporaryFolder folder;
  Identity root = make_authority("root");
  Identity middle = make_intermediate(root, "middle");
  Identity leaf = issue(wanted("DNS:a.example"), &middle);
  CertificateSource source{(folder.path() / "c.pem").string(), folder.write("k.pem", leaf.key_pem()), "x"};
  CertificatePool pool;

  void chain_is(const std::string& pem) const { static_cast<void>(folder.write("c.pem", pem)); }
  std::shared_ptr<const Certificate> load(Notes& notes) {
    return pool.load(source, base::WallClock::now(), notes);
  }
};

}  // namespace

TEST_CASE("a chain in any order is sent in the right one, and its owner is told") {
  OnDisk disk;
  disk.chain_is(disk.root.pem() + disk.middle.pem() + disk.leaf.pem());
  Notes notes;
  const auto certificate = disk.load(notes);
  REQUIRE(certificate != nullptr);
  CHECK(certificate->subject() == "CN=test");
  CHECK(certificate->chain_length() == 2);
  CHECK(notes.ok());
  const auto told = warnings(notes);
  REQUIRE(told.size() == 3);
  CHECK(has(told[0], "c.pem: certificate 3, \"CN=test\", is the leaf and does not stand first"));
  CHECK(has(told[1], "stands in the wrong place"));
  CHECK(has(told[2], "is a root and is not sent"));
  // Each reload says so again, without parsing anew.
  Notes again;
  CHECK(disk.load(again) == certificate);
  CHECK(warnings(again) == told);
}

TEST_CASE("a missing intermediate is added from the pool, and reported where there is none") {
  OnDisk disk;
  disk.chain_is(disk.leaf.pem());
  const std::string roots = disk.folder.write("roots.pem", disk.root.pem());
  const std::string middles = disk.folder.write("middles.pem", disk.middle.pem());
  Notes notes;
  disk.pool.trust({"", roots}, notes);
  const auto bare = disk.load(notes);
  REQUIRE(bare != nullptr);
  CHECK(bare->chain_length() == 1);
  REQUIRE(notes.items().size() == 1);
  CHECK(has(notes.items()[0].text, "the issuer of \"CN=test\" is missing: \"CN=middle\""));

  Notes pooled;
  disk.pool.trust({middles, roots}, pooled);
  const auto whole = disk.load(pooled);
  REQUIRE(whole != nullptr);
  CHECK(whole->chain_length() == 2);
  CHECK(whole->content() != bare->content());  // what is sent is another thing
  REQUIRE(pooled.items().size() == 1);
  CHECK(has(pooled.items()[0].text, "\"CN=middle\" is missing and was added from " + middles));
  // As long as neither the files nor the pool change, nothing is looked up again.
  Notes same;
  disk.pool.trust({middles, roots}, same);
  CHECK(disk.load(same) == whole);
  static_cast<void>(disk.folder.write("middles.pem", disk.root.pem()));
  Notes changed;
  disk.pool.trust({middles, roots}, changed);
  CHECK(disk.load(changed)->chain_length() == 1);
}

TEST_CASE("a private CA makes no noise unless roots were named") {
  OnDisk disk;
  Notes quiet;
  disk.pool.trust({}, quiet);
  disk.chain_is(disk.leaf.pem() + disk.middle.pem());
  CHECK(disk.load(quiet) != nullptr);
  disk.chain_is(disk.leaf.pem());
  CHECK(disk.load(quiet) != nullptr);
  CHECK(warnings(quiet).empty());

  Notes loud;
  const Identity other = make_authority("other");
  disk.pool.trust({"", disk.folder.write("roots.pem", other.pem() + disk.middle.pem())}, loud);
  CHECK(disk.load(loud) != nullptr);
  REQUIRE(loud.items().size() == 2);
  CHECK(
      has(loud.items()[0].text, "1 in it are no roots and do not count as such (the first: \"CN=middle\")"));
  CHECK(has(loud.items()[1].text, "the issuer of \"CN=test\" is missing"));
  CHECK(loud.ok());

  Notes broken;
  disk.pool.trust({"", (disk.folder.path() / "none.pem").string()}, broken);
  REQUIRE(broken.errors() == 1);
  CHECK(broken.items()[0].where == "roots");
}

TEST_CASE("our certificate towards an upstream is one for clients") {
  OnDisk disk;
  Wanted for_clients = wanted("DNS:a.example");
  for_clients.extensions = {{NID_ext_key_usage, "clientAuth"}};
  disk.leaf = issue(for_clients, &disk.middle);
  disk.chain_is(disk.leaf.pem());
  static_cast<void>(disk.folder.write("k.pem", disk.leaf.key_pem()));
  Notes server;
  CHECK(disk.load(server) != nullptr);
  REQUIRE(server.items().size() == 1);
  CHECK(has(server.items()[0].text, "serverAuth"));
  disk.source.use = ChainUse::client;
  Notes client;
  CHECK(disk.load(client) != nullptr);
  CHECK(client.items().empty());
}
