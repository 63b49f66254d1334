// What upstreams are told of a client's certificate, by form, and that a bad one tells nobody's name.
#include "client_fields.hpp"

#include <map>
#include <string>

#include "catch.hpp"

using namespace sallyport;
using config::ClientCertFields;
using runtime::client_fields;
using runtime::client_fields_bit;

namespace {

constexpr std::uint8_t kCert = client_fields_bit(ClientCertFields::client_cert);
constexpr std::uint8_t kEnvoy = client_fields_bit(ClientCertFields::xfcc);
constexpr std::uint8_t kSeparate = client_fields_bit(ClientCertFields::separate);
constexpr std::uint8_t kAll = kCert | kEnvoy | kSeparate;

tls::ClientCertificate alice() {
  tls::ClientCertificate made;
  made.subject = "CN=alice";
  made.issuer = "CN=CA";
  made.serial = "0a";
  made.sha256 = "ff00";
  made.not_after = base::WallTime(std::chrono::seconds(1'800'000'000));
  made.sans = {"DNS:a.test", "URI:spiffe://a/b;c", "email:x@a.test", "IP:10.0.0.1"};
  made.der_base64 = "TUlJ";
  return made;
}

std::map<std::string, std::string> told(const tls::ClientCertificate* certificate, std::uint8_t forward) {
  std::map<std::string, std::string> all;
  const auto fields = client_fields(certificate, forward);
  if (fields == nullptr) return all;
  fields->for_each([&](const http::Fields::Field& f) { all.emplace(f.name, f.value); });
  CHECK(all.size() == fields->size());
  return all;
}

}  // namespace

TEST_CASE("each form tells of a good certificate in its own fields") {
  const tls::ClientCertificate good = alice();
  using Told = std::map<std::string, std::string>;
  CHECK(told(&good, kCert) == Told{{"client-cert", ":TUlJ:"}});
  CHECK(told(&good, kEnvoy) ==
        Told{{"x-forwarded-client-cert", R"(Hash=ff00;Subject="CN=alice";DNS=a.test;URI="spiffe://a/b;c")"}});
  CHECK(told(&good, kSeparate) ==
        Told{{"x-client-cert-verify", "SUCCESS"},
             {"x-client-cert-subject", "CN=alice"},
             {"x-client-cert-issuer", "CN=CA"},
             {"x-client-cert-serial", "0a"},
             {"x-client-cert-sha256", "ff00"},
             {"x-client-cert-san", "DNS:a.test, URI:spiffe://a/b;c, email:x@a.test, IP:10.0.0.1"},
             {"x-client-cert-not-after", "2027-01-15T08:00:00Z"}});
  CHECK(told(&good, kAll).size() == 9);
  CHECK(client_fields(&good, 0) == nullptr);
}

TEST_CASE("of one that will not do the verdict alone is told, of none that there is none") {
  tls::ClientCertificate bad = alice();
  bad.result = tls::ClientCertResult::revoked;
  const auto failed = told(&bad, kAll);
  REQUIRE(failed.size() == 1);
  CHECK(failed.at("x-client-cert-verify") == "FAILED:revoked");
  CHECK(client_fields(&bad, kCert | kEnvoy) == nullptr);
  const auto none = told(nullptr, kAll);
  REQUIRE(none.size() == 1);
  CHECK(none.at("x-client-cert-verify") == "NONE");
  CHECK(client_fields(nullptr, kAll) == client_fields(nullptr, kSeparate));
  CHECK(client_fields(nullptr, kCert) == nullptr);
}

TEST_CASE("what is too much is left out, whole") {
  tls::ClientCertificate large = alice();
  large.der_base64.clear();
  large.subject.clear();
  large.sans.assign(32, "DNS:" + std::string(400, 'a'));
  const auto fields = told(&large, kAll);
  CHECK_FALSE(fields.contains("client-cert"));
  CHECK_FALSE(fields.contains("x-client-cert-subject"));
  CHECK(fields.at("x-client-cert-san").size() < 4200);
  CHECK(fields.at("x-client-cert-san").ends_with(std::string(400, 'a')));
  CHECK(fields.at("x-forwarded-client-cert").size() < 4300);
}
