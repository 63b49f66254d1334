#include "sallyport/tls/verdict.hpp"

#include <set>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "catch.hpp"
#include "hello_bytes.hpp"

using namespace sallyport::tls;
using namespace tls_test;
using Reason = HandshakeReason;

namespace {

unsigned long ssl_error(int reason) {
  return ERR_PACK(ERR_LIB_SSL, 0, reason);
}

struct VerdictFixture {
  Notes notes;
  std::shared_ptr<const Policy> policy = resolve_policy(PolicySpec{}, notes);
  HelloReader reader;
  Evidence evidence;
  VerdictFixture() {
    REQUIRE(reader.feed(real_hello([](SSL* ssl) { set_sni(ssl, "a.example"); })) ==
            HelloReader::State::complete);
    evidence.reader = &reader;
    evidence.policy = policy.get();
  }
};

}  // namespace

TEST_CASE("every stage, reason and result has a word of its own") {
  std::set<std::string_view> words;
  for (std::size_t i = 0; i < kHandshakeReasons; ++i) words.insert(to_string(static_cast<Reason>(i)));
  CHECK(words.size() == kHandshakeReasons);
  CHECK(words.count("") == 0);
  CHECK(to_string(Reason::internal) == "internal");
  CHECK(to_string(Reason::peer_alert_unknown_ca) == "peer_alert_unknown_ca");
  CHECK(to_string(Reason::peer_closed_idle) == "peer_closed_idle");
  CHECK(to_string(Stage::cert_select) == "cert_select");
  CHECK(to_string(ClientCertResult::revoked) == "revoked");
}

TEST_CASE("an end before the hello was whole is told by what had come") {
  Evidence evidence;
  HelloReader silent;
  evidence.reader = &silent;
  evidence.ending = Ending::eof;
  CHECK(judge(evidence) == Verdict{Stage::hello, Reason::peer_closed_idle});
  evidence.ending = Ending::reset;
  CHECK(judge(evidence) == Verdict{Stage::hello, Reason::peer_closed_idle});
  evidence.ending = Ending::timeout;
  CHECK(judge(evidence) == Verdict{Stage::hello, Reason::timeout});
  HelloReader begun;
  begun.feed("\x16\x03");
  evidence.reader = &begun;
  CHECK(judge(evidence) == Verdict{Stage::hello, Reason::timeout});
  evidence.ending = Ending::eof;
  CHECK(judge(evidence) == Verdict{Stage::hello, Reason::peer_closed_hello});
  evidence.ending = Ending::reset;
  CHECK(judge(evidence) == Verdict{Stage::hello, Reason::peer_reset});
  evidence.ending = Ending::closed_by_us;
  CHECK(judge(evidence) == Verdict{Stage::hello, Reason::shutdown});
  HelloReader http;
  http.feed("GET / HTTP/1.1");
  evidence.reader = &http;
  CHECK(judge(evidence) == Verdict{Stage::hello, Reason::not_tls});
  HelloReader alert;
  alert.feed(std::string("\x15\x03\x03\0\x02\x02\x28", 7));
  evidence.reader = &alert;
  CHECK(judge(evidence) == Verdict{Stage::hello, Reason::peer_alert_handshake_failure});
}

TEST_CASE("OpenSSL's errors become reasons") {
  struct Row {
    int error;
    Verdict verdict;
  };
  const Row rows[] = {
      {SSL_R_NO_SHARED_CIPHER, {Stage::key_exchange, Reason::no_shared_cipher}},
      {SSL_R_NO_SUITABLE_KEY_SHARE, {Stage::key_exchange, Reason::no_shared_group}},
      {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, {Stage::key_exchange, Reason::no_shared_sigalg}},
      {SSL_R_UNSUPPORTED_PROTOCOL, {Stage::key_exchange, Reason::unsupported_version}},
      {SSL_R_NO_APPLICATION_PROTOCOL, {Stage::key_exchange, Reason::no_alpn_overlap}},
      {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, {Stage::client_cert, Reason::client_cert_missing}},
      {SSL_R_WRONG_VERSION_NUMBER, {Stage::key_exchange, Reason::bad_record}},
  };
  for (const Row& row : rows) {
    VerdictFixture f;
    f.evidence.openssl_error = ssl_error(row.error);
    CHECK(judge(f.evidence) == row.verdict);
  }
  VerdictFixture f;
  f.evidence.openssl_error = ssl_error(SSL_R_CERTIFICATE_VERIFY_FAILED);
  f.evidence.flight_sent = true;
  f.evidence.verify_code = X509_V_ERR_CERT_HAS_EXPIRED;
  CHECK(judge(f.evidence) == Verdict{Stage::client_cert, Reason::client_cert_expired});
  f.evidence.verify_code = X509_V_ERR_CERT_REVOKED;
  CHECK(judge(f.evidence) == Verdict{Stage::client_cert, Reason::client_cert_revoked});
  f.evidence.verify_code = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
  CHECK(judge(f.evidence) == Verdict{Stage::client_cert, Reason::client_cert_untrusted});
}

TEST_CASE("the peer's alert is the reason, whatever else is known") {
  struct Row {
    std::uint8_t alert;
    Reason reason;
  };
  const Row rows[] = {{48, Reason::peer_alert_unknown_ca},
                      {42, Reason::peer_alert_bad_certificate},
                      {45, Reason::peer_alert_certificate_expired},
                      {46, Reason::peer_alert_certificate_unknown},
                      {40, Reason::peer_alert_handshake_failure},
                      {90, Reason::peer_alert_other},
                      {0, Reason::peer_closed}};
  for (const Row& row : rows) {
    VerdictFixture f;
    f.evidence.flight_sent = true;
    f.evidence.alert_received = row.alert;
    f.evidence.openssl_error = ssl_error(SSL_R_NO_SHARED_CIPHER);
    CHECK(judge(f.evidence) == Verdict{Stage::finished, row.reason});
  }
}

TEST_CASE("'no shared cipher' under TLS 1.2 is told from a missing group") {
  const auto reason = [](const char* groups) {
    VerdictFixture f;
    HelloReader old;
    REQUIRE(old.feed(real_hello([&](SSL* ssl) {
      SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
      SSL_set1_groups_list(ssl, groups);
    })) == HelloReader::State::complete);
    f.evidence.reader = &old;
    f.evidence.openssl_error = ssl_error(SSL_R_NO_SHARED_CIPHER);
    return judge(f.evidence).reason;
  };
  CHECK(reason("X25519") == Reason::no_shared_cipher);
  CHECK(reason("P-521") == Reason::no_shared_group);
}

TEST_CASE("where OpenSSL's error is not known, its alert speaks") {
  VerdictFixture f;
  f.evidence.openssl_error = ssl_error(SSL_R_BAD_EXTENSION);
  f.evidence.alert_sent = 50;
  CHECK(judge(f.evidence).reason == Reason::malformed_hello);
  f.evidence.flight_sent = true;
  CHECK(judge(f.evidence) == Verdict{Stage::finished, Reason::bad_record});
  f.evidence.alert_sent.reset();
  CHECK(judge(f.evidence).reason == Reason::internal);
}

TEST_CASE("no host: the name was unknown, or there was none") {
  VerdictFixture f;
  f.evidence.policy = nullptr;
  CHECK(judge(f.evidence) == Verdict{Stage::cert_select, Reason::unknown_sni});
  HelloReader nameless;
  nameless.feed(real_hello());
  f.evidence.reader = &nameless;
  CHECK(judge(f.evidence) == Verdict{Stage::cert_select, Reason::missing_sni});
}
