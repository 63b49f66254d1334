// A handshake that failed must tell its operator what to change: here the words, over hellos of a
// real OpenSSL client and hosts with real certificates. Which reason a handshake gets is for
// verdict_test and handshake_test.
#include "sallyport/tls/explain.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "catch.hpp"
#include "hello_bytes.hpp"
#include "text.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;
using Reason = HandshakeReason;

namespace {

// One host, a.example, and a client's hello that met it.
struct Scene {
  Identity root = make_authority("Test root");
  Identity ca = make_intermediate(root);
  PolicySpec policy;
  Wanted wanted;
  bool with_chain = true;
  bool both_keys = false;
  std::shared_ptr<const ContextStore> store;
  HelloReader reader;
  HandshakeFailure failure;

  Scene() { wanted.san = "DNS:a.example"; }

  void client(const std::function<void(SSL*)>& adjust) {
    REQUIRE(reader.feed(real_hello(adjust)) == HelloReader::State::complete);
    failure.hello = &reader.hello();
    failure.sni = reader.hello().sni;
  }
  Explanation told(Stage stage, Reason reason) {
    StoreSpec spec;
    spec.policies = {policy};
    HostSpec host;
    host.names = {"a.example"};
    host.certificates = {loaded(issue(wanted, &ca), with_chain ? &ca : nullptr)};
    if (both_keys) {
      wanted.rsa = !wanted.rsa;
      host.certificates.push_back(loaded(issue(wanted, &ca), &ca));
    }
    spec.hosts = {host};
    Notes notes;
    store = ContextStore::build(spec, nullptr, notes);
    INFO(first_text(notes));
    REQUIRE(store != nullptr);
    failure.host = store->find("a.example", 0);
    failure.policy = &failure.host->own.policy();
    if (stage == Stage::finished) failure.certificate = failure.host->certificates[0].get();
    failure.verdict = {stage, reason};
    return explain(failure);
  }
  std::string hint(Stage stage, Reason reason) { return told(stage, reason).hint; }
};

void only12(SSL* ssl) {
  set_sni(ssl, "a.example");
  SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
}
void only13(SSL* ssl) {
  set_sni(ssl, "a.example");
  SSL_set_min_proto_version(ssl, TLS1_3_VERSION);
}

std::string without_host(Reason reason, HelloFault fault = HelloFault::none, bool silent = false) {
  HandshakeFailure failure;
  failure.verdict = {Stage::hello, reason};
  failure.fault = fault;
  failure.silent = silent;
  failure.duration = base::Milliseconds(10'000);
  return explain(failure).hint;
}

}  // namespace

TEST_CASE("suites of one key type and a certificate of the other: add one") {
  Scene scene;
  scene.client([](SSL* ssl) {
    only12(ssl);
    SSL_set_cipher_list(ssl, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384");
  });
  const Explanation told = scene.told(Stage::key_exchange, Reason::no_shared_cipher);
  CHECK(told.hint ==
        "the client offers only ECDHE-RSA suites and host a.example has only an ECDSA certificate: add an "
        "RSA one");
  CHECK(told.ciphers.offered == "ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-AES256-GCM-SHA384");
  CHECK(told.ciphers.shared == "ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-AES256-GCM-SHA384");
  CHECK(told.versions.offered == "TLSv1.2");
  CHECK(told.versions.configured == "TLSv1.3, TLSv1.2");
  CHECK(told.versions.shared == "TLSv1.2");
  CHECK(told.alpn.offered == "none");
  CHECK(told.alpn.configured == "h2, http/1.1");
  // The renegotiation signal counts as a third suite there; OpenSSL sends it up to 3.4.
  CHECK((told.ja4.starts_with("t12d03") || told.ja4.starts_with("t12d02")));
  CHECK(told.ja3.size() == 32);
}

TEST_CASE("suites of one key type among others that the policy does not allow") {
  Scene scene;
  scene.wanted.rsa = true;
  scene.client([](SSL* ssl) {
    only12(ssl);
    SSL_set_cipher_list(ssl, "ECDHE-ECDSA-AES128-GCM-SHA256:AES128-GCM-SHA256");
  });
  CHECK(scene.hint(Stage::key_exchange, Reason::no_shared_cipher) ==
        "of what the policy allows the client offers only ECDHE-ECDSA suites and host a.example has only an "
        "RSA "
        "certificate: add an ECDSA one");
}

TEST_CASE("an ECDSA certificate on a curve that the client does not list") {
  Scene scene;
  scene.client([](SSL* ssl) {
    only12(ssl);
    SSL_set1_groups_list(ssl, "X25519");
  });
  CHECK(has(scene.hint(Stage::key_exchange, Reason::no_shared_cipher),
            "the ECDSA certificate of host a.example is on P-256"));
}

TEST_CASE("suites that have nothing in common are laid side by side") {
  Scene scene;
  SECTION("without forward secrecy") {
    scene.client([](SSL* ssl) {
      only12(ssl);
      SSL_set_cipher_list(ssl, "AES128-GCM-SHA256");
    });
    const std::string hint = scene.hint(Stage::key_exchange, Reason::no_shared_cipher);
    CHECK(has(hint,
              "only suites without forward secrecy (AES128-GCM-SHA256); policy default of host a.example"));
  }
  SECTION("TLS 1.3") {
    scene.policy.cipher_suites = {"TLS_AES_256_GCM_SHA384"};
    scene.client([](SSL* ssl) {
      only13(ssl);
      SSL_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256");
    });
    const std::string hint = scene.hint(Stage::key_exchange, Reason::no_shared_cipher);
    CHECK(has(hint, "no TLS 1.3 suite in common: the client offers TLS_AES_128_GCM_SHA256"));
    CHECK(has(hint, "allows TLS_AES_256_GCM_SHA384"));
  }
}

TEST_CASE("groups and signatures are laid side by side") {
  Scene scene;
  SECTION("groups") {
    scene.policy.groups = {{"X25519", "P-256"}};
    scene.client([](SSL* ssl) {
      only13(ssl);
      SSL_set1_groups_list(ssl, "P-521");
    });
    CHECK(scene.hint(Stage::key_exchange, Reason::no_shared_group) ==
          "the client offers the groups P-521; policy default of host a.example allows X25519, P-256: add "
          "one of "
          "the client's to groups");
  }
  SECTION("signatures") {
    scene.client([](SSL* ssl) {
      only13(ssl);
      SSL_set1_sigalgs_list(ssl, "RSA-PSS+SHA256");
    });
    CHECK(scene.hint(Stage::key_exchange, Reason::no_shared_sigalg) ==
          "the client takes signatures by rsa_pss_rsae_sha256 and host a.example has only an ECDSA "
          "certificate, "
          "which signs by ecdsa_secp256r1_sha256: add an RSA one");
  }
}

TEST_CASE("versions are laid side by side, and who has to move is named") {
  Scene scene;
  SECTION("the policy asks for more") {
    scene.policy.min_version = Version::tls13;
    scene.client(only12);
    CHECK(scene.hint(Stage::key_exchange, Reason::unsupported_version) ==
          "the client offers TLSv1.2; policy default of host a.example speaks TLSv1.3: set min_version to "
          "\"1.2\", "
          "or update the client");
  }
  SECTION("the client is older than what is spoken here") {
    std::string old = message("");
    old.replace(4, 2, u16(0x0301));
    REQUIRE(scene.reader.feed(records(old)) == HelloReader::State::complete);
    scene.failure.hello = &scene.reader.hello();
    CHECK(has(scene.hint(Stage::key_exchange, Reason::unsupported_version),
              "the client offers TLSv1.0; policy default of host a.example speaks TLSv1.3, TLSv1.2: update "
              "the client"));
  }
}

TEST_CASE("ALPN lists are laid side by side") {
  Scene scene;
  const auto hint = [&scene](const std::string& wire) {
    scene.client([&](SSL* ssl) {
      set_sni(ssl, "a.example");
      set_alpn(ssl, wire);
    });
    return scene.hint(Stage::key_exchange, Reason::no_alpn_overlap);
  };
  SECTION("another protocol of the web") {
    scene.policy.alpn = {"http/1.1"};
    CHECK(hint("\x02h2") ==
          "the client speaks h2; policy default of host a.example speaks http/1.1: add h2 to alpn");
  }
  SECTION("another service") {
    CHECK(has(hint("\x04imap\x04pop3"), "imap, pop3; policy default"));
  }
  SECTION("a CA's validation") {
    CHECK(has(hint("\x0a"
                   "acme-tls/1"),
              "TLS-ALPN-01"));
  }
}

TEST_CASE("names that lead nowhere are told, also those that can be none") {
  Scene scene;
  const auto hint = [&scene](const char* name) {
    scene.client([&](SSL* ssl) { set_sni(ssl, name); });
    scene.failure.verdict = {Stage::cert_select, Reason::unknown_sni};
    return explain(scene.failure);
  };
  SECTION("unknown") {
    const Explanation told = hint("c.example");
    CHECK(has(told.hint, "no host on this listener is named 'c.example'"));
    CHECK(has(told.ciphers.offered, "TLS_AES_128_GCM_SHA256"));
    CHECK(told.ciphers.configured.empty());
  }
  SECTION("an address") {
    CHECK(has(hint("127.0.0.1").hint, "'127.0.0.1', which is no host name"));
  }
}

TEST_CASE("what is no hello is told apart") {
  CHECK(has(without_host(Reason::not_tls, HelloFault::plain_http), "plain HTTP"));
  CHECK(has(without_host(Reason::not_tls, HelloFault::proxy_header), "proxy_protocol.from"));
  CHECK(has(without_host(Reason::not_tls, HelloFault::not_tls), "no TLS record"));
  CHECK(has(without_host(Reason::timeout, HelloFault::none, true), "not one byte came within 10000 ms"));
  CHECK(has(without_host(Reason::timeout), "was not whole"));
}

TEST_CASE("a CA that the client does not know: what the chain held is told") {
  Scene scene;
  scene.client(only13);
  SECTION("the leaf alone") {
    scene.with_chain = false;
    CHECK(has(scene.hint(Stage::finished, Reason::peer_alert_unknown_ca),
              "the chain has no intermediate; unless 'CN=Test CA' is a root"));
  }
  SECTION("with one above it") {
    CHECK(has(scene.hint(Stage::finished, Reason::peer_alert_unknown_ca),
              "the chain has 1 certificate above it"));
  }
}

TEST_CASE("a certificate that the client refuses: names and dates are compared") {
  Scene scene;
  SECTION("another name") {
    scene.client([](SSL* ssl) { set_sni(ssl, "b.example"); });
    CHECK(has(scene.hint(Stage::finished, Reason::peer_alert_bad_certificate),
              "is for a.example and not for 'b.example'"));
  }
  SECTION("expired") {
    scene.wanted.from = -200'000;
    scene.wanted.until = -100'000;
    scene.client(only13);
    CHECK(has(scene.hint(Stage::finished, Reason::peer_alert_certificate_expired), "expired on 20"));
  }
  SECTION("valid") {
    scene.client(only13);
    CHECK(has(scene.hint(Stage::finished, Reason::peer_alert_certificate_expired), "the client's clock"));
  }
  SECTION("another alert") {
    scene.client(only13);
    scene.failure.alert_received = 51;
    CHECK(has(scene.hint(Stage::finished, Reason::peer_alert_other), "the alert decrypt_error"));
  }
}

TEST_CASE("what Cloudflare offers an origin is recognised") {
  const auto hello = [](std::string suites) {
    Scene scene;
    REQUIRE(scene.reader.feed(records(message(sni_extension("a.example"), suites))) ==
            HelloReader::State::complete);
    scene.failure.hello = &scene.reader.hello();
    return scene.hint(Stage::key_exchange, Reason::no_shared_cipher);
  };
  std::string offered;
  for (const std::size_t suite : {0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc013, 0x009c, 0x002f, 0xc02c,
                                  0xc030, 0xc028, 0x0035, 0x00ff}) {
    offered += u16(suite);
  }
  CHECK(has(hello(offered), "Cloudflare"));
  CHECK_FALSE(has(hello(offered + u16(0xcca8)), "Cloudflare"));
  CHECK_FALSE(has(hello(u16(0xc02b)), "Cloudflare"));
}

TEST_CASE("a rule that refused, or picked the policy that failed, is named") {
  Scene scene;
  scene.client(only12);
  Rule rule;
  rule.name = "scanners";
  scene.failure.rule = &rule;
  CHECK(scene.hint(Stage::cert_select, Reason::refused_by_rule) ==
        "rule scanners of policy default of host a.example refuses such clients: if this one is welcome, "
        "narrow "
        "the rule's when or put a rule that lets it in before it");
  CHECK(has(scene.hint(Stage::key_exchange, Reason::no_shared_group),
            "policy default (picked by rule scanners) of host a.example allows"));
}

TEST_CASE("what a client sends is bounded in the log") {
  std::string suites;
  for (std::size_t i = 0; i < 4000; ++i) suites += u16(0xe000 + i);
  std::string names;
  for (std::size_t i = 0; i < 20; ++i) names += with8(std::string(250, 'x'));
  Scene scene;
  REQUIRE(scene.reader.feed(records(message(extension(16, with16(names)), suites))) ==
          HelloReader::State::complete);
  scene.failure.hello = &scene.reader.hello();
  const Explanation told = scene.told(Stage::key_exchange, Reason::no_shared_cipher);
  CHECK(told.ciphers.offered.starts_with("0xe000, 0xe001, "));
  CHECK(told.ciphers.offered.ends_with(" more"));
  CHECK(told.alpn.offered.size() < 1000);
  CHECK(told.hint.size() < 1500);
}

TEST_CASE("the committed table of reasons is what this build writes") {
  // SALLYPORT_WRITE_DOCS=1 unit_tls writes it anew after a change of the table.
  const std::string file = SALLYPORT_SOURCE_DIR "/docs/handshakes.md";
  std::stringstream read;
  read << std::ifstream(file).rdbuf();
  const std::string text = read.str();
  const std::string begin = "<!-- reasons: written by unit_tls -->\n";
  const std::string end = "<!-- end of reasons -->\n";
  const std::size_t from = text.find(begin);
  const std::size_t to = text.find(end);
  REQUIRE(from != std::string::npos);
  REQUIRE(to != std::string::npos);
  const std::size_t table = from + begin.size();
  if (std::getenv("SALLYPORT_WRITE_DOCS")) {
    std::ofstream(file) << text.substr(0, table) << reason_markdown() << text.substr(to);
    return;
  }
  const bool same = text.substr(table, to - table) == reason_markdown();
  CHECK(same);
}
