#include "sallyport/tls/ocsp.hpp"

#include <openssl/ocsp.h>

#include "catch.hpp"
#include "certificates.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;
using namespace std::chrono_literals;

namespace {

struct Said {
  int status = V_OCSP_CERTSTATUS_GOOD;
  long from = -60, until = 3600;
  const EVP_MD* digest = EVP_sha1();
  unsigned long flags = 0;
};

// What `signer` says about `leaf`, which `issuer` issued.
std::string answer(const Identity& leaf, const Identity& issuer, const Identity& signer,
                   const Said& said = {}) {
  OCSP_BASICRESP* basic = OCSP_BASICRESP_new();
  OCSP_CERTID* id = OCSP_cert_to_id(said.digest, leaf.certificate.get(), issuer.certificate.get());
  ASN1_TIME* from = X509_gmtime_adj(nullptr, said.from);
  ASN1_TIME* until = X509_gmtime_adj(nullptr, said.until);
  const bool revoked = said.status == V_OCSP_CERTSTATUS_REVOKED;
  OCSP_basic_add1_status(basic, id, said.status, OCSP_REVOKED_STATUS_KEYCOMPROMISE, revoked ? from : nullptr,
                         from, until);
  OCSP_basic_sign(basic, signer.certificate.get(), signer.key.get(), EVP_sha256(), nullptr, said.flags);
  OCSP_RESPONSE* response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(response, &der);
  REQUIRE(size > 0);
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  OCSP_RESPONSE_free(response);
  ASN1_TIME_free(from);
  ASN1_TIME_free(until);
  OCSP_CERTID_free(id);
  OCSP_BASICRESP_free(basic);
  return bytes;
}

Wanted named(const std::string& name, const std::string& san = "") {
  Wanted wanted;
  wanted.name = name;
  wanted.san = san;
  return wanted;
}

struct OcspFixture {
  Identity root = make_authority("Root");
  Identity issuer = make_intermediate(root, "Issuer");
  Identity leaf = issue(named("leaf", "DNS:a.example"), &issuer);
  std::shared_ptr<const Certificate> certificate = loaded(leaf, &issuer);
  base::WallTime now = base::WallClock::now();

  [[nodiscard]] OcspState state(const std::string& der) const {
    return judge_ocsp(der, *certificate, now).state;
  }
};

}  // namespace

TEST_CASE("an answer counts if the issuer signed it, or whom the issuer named for it") {
  const OcspFixture f;
  const std::string said = answer(f.leaf, f.issuer, f.issuer);
  const OcspAnswer good = judge_ocsp(said, *f.certificate, f.now);
  REQUIRE(good.state == OcspState::good);
  CHECK(good.staple->der == said);
  CHECK(good.staple->next_update > f.now + 50min);

  Wanted delegate = named("delegate");
  delegate.extensions = {{NID_ext_key_usage, "OCSPSigning"}};
  CHECK(f.state(answer(f.leaf, f.issuer, issue(delegate, &f.issuer))) == OcspState::good);
  CHECK(f.state(answer(f.leaf, f.issuer, issue(delegate, &f.root))) == OcspState::untrusted);
  CHECK(f.state(answer(f.leaf, f.issuer, issue(named("any"), &f.issuer))) == OcspState::untrusted);
  CHECK(f.state(answer(f.leaf, f.issuer, f.leaf)) == OcspState::untrusted);
  CHECK(f.state(answer(f.leaf, f.issuer, make_authority("Issuer"))) == OcspState::untrusted);
}

TEST_CASE("an answer is about this certificate, of now, and says good") {
  const OcspFixture f;
  const auto said = [&](int status, long from, long until, const EVP_MD* digest = EVP_sha1()) {
    return f.state(answer(f.leaf, f.issuer, f.issuer, {status, from, until, digest, 0}));
  };
  CHECK(said(V_OCSP_CERTSTATUS_GOOD, -60, 3600, EVP_sha256()) == OcspState::good);
  CHECK(said(V_OCSP_CERTSTATUS_REVOKED, -60, 3600) == OcspState::revoked);
  CHECK(said(V_OCSP_CERTSTATUS_UNKNOWN, -60, 3600) == OcspState::unknown);
  CHECK(said(V_OCSP_CERTSTATUS_GOOD, -60, -1) == OcspState::outdated);
  CHECK(said(V_OCSP_CERTSTATUS_GOOD, 600, 3600) == OcspState::outdated);
  CHECK(said(V_OCSP_CERTSTATUS_GOOD, 60, 3600) == OcspState::good);  // clocks differ
  const Identity other = issue(named("leaf", "DNS:a.example"), &f.issuer);
  CHECK(f.state(answer(other, f.issuer, f.issuer)) == OcspState::unrelated);
  // That it was revoked is believed of nobody else either.
  CHECK(f.state(answer(f.leaf, f.issuer, f.leaf, {.status = V_OCSP_CERTSTATUS_REVOKED})) ==
        OcspState::untrusted);
}

TEST_CASE("an answer that was cut, lengthened or altered anywhere is never good") {
  const OcspFixture f;
  // Without the signer's certificate, which is looked at only if the issuer itself did not sign.
  Said bare;
  bare.flags = OCSP_NOCERTS;
  const std::string good = answer(f.leaf, f.issuer, f.issuer, bare);
  REQUIRE(f.state(good) == OcspState::good);
  for (std::size_t n = 0; n < good.size(); ++n) CHECK(f.state(good.substr(0, n)) == OcspState::malformed);
  CHECK(f.state(good + '\0') == OcspState::malformed);
  std::size_t passed = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string altered = good;
    altered[i] = static_cast<char>(altered[i] ^ 0x20);
    passed += f.state(altered) == OcspState::good ? 1U : 0U;
  }
  CHECK(passed <= 1);  // a byte outside of what is signed that carries nothing
}

TEST_CASE("an OCSP error status is told, and without the issuer nothing is believed") {
  const OcspFixture f;
  OCSP_RESPONSE* busy = OCSP_response_create(OCSP_RESPONSE_STATUS_TRYLATER, nullptr);
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(busy, &der);
  const std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  OCSP_RESPONSE_free(busy);
  CHECK(f.state(bytes) == OcspState::declined);
  const auto alone = loaded(f.leaf);
  CHECK(judge_ocsp(answer(f.leaf, f.issuer, f.issuer), *alone, f.now).state == OcspState::untrusted);
  CHECK(ocsp_question(*alone).empty());
  CHECK_FALSE(ocsp_question(*f.certificate).empty());
}

TEST_CASE("a certificate tells its responder and whether it must be stapled") {
  Wanted wanted = named("a");
  wanted.extensions = {{NID_info_access,
                        "caIssuers;URI:http://ca.example/x,OCSP;URI:https://no.example/,OCSP;URI:"
                        "http://ocsp.example:8080/r"},
                       {NID_tlsfeature, "status_request"}};
  const auto certificate = loaded(issue(wanted));
  CHECK(certificate->responder_url() == "http://ocsp.example:8080/r");
  CHECK(certificate->must_staple());
  const auto plain = loaded(issue(named("b")));
  CHECK(plain->responder_url().empty());
  CHECK_FALSE(plain->must_staple());
}

TEST_CASE("responder URLs") {
  const auto text = [](std::string_view url) {
    const auto parsed = parse_responder_url(url);
    return parsed ? parsed->host + " " + parsed->port + " " + parsed->target + " " + parsed->authority : "-";
  };
  CHECK(text("http://ocsp.example") == "ocsp.example 80 / ocsp.example");
  CHECK(text("HTTP://ocsp.example/") == "ocsp.example 80 / ocsp.example");
  CHECK(text("http://ocsp.example:8080/a/b?c#d") == "ocsp.example 8080 /a/b?c ocsp.example:8080");
  CHECK(text("http://ocsp.example?x") == "ocsp.example 80 /?x ocsp.example");
  CHECK(text("http://[::1]:81/") == "::1 81 / [::1]:81");
  CHECK(text("http://[::1]") == "::1 80 / [::1]");
  for (const char* bad :
       {"", "http://", "http:///x", "https://a/", "ftp://a/", "http://a:/", "http://a:x/", "http://a:123456/",
        "http://[::1", "http://[::1]x/", "http://u@a/", "http://a b/", "http://a\r\n/", "ldap:///"}) {
    CHECK(text(bad) == "-");
  }
  CHECK(text("http://a/" + std::string(1100, 'x')) == "-");
}

TEST_CASE("all who show a leaf share its answer") {
  StapleShelf shelf;
  const Digest a{1}, b{2};
  const auto slot = shelf.slot_of(a);
  CHECK(shelf.slot_of(a) == slot);
  CHECK(shelf.slot_of(b) != slot);
  const auto first = std::make_shared<const Staple>();
  CHECK(slot->show(first) == nullptr);
  CHECK(slot->shown() == first.get());
  CHECK(slot->show(nullptr) == first);
  CHECK(slot->shown() == nullptr);
}
