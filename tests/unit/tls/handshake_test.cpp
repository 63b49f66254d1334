#include "catch.hpp"
#include "peers.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;
using Reason = HandshakeReason;

namespace {

// A CA, hosts a.example and b.example under it, and what tests change before build().
struct HandshakeHosts {
  Identity ca = make_authority();
  Identity client_ca = make_authority("Client CA");
  TemporaryFolder folder;
  std::shared_ptr<TicketKeys> keys =
      std::make_shared<TicketKeys>(TicketKeys::Options{}, base::WallClock::now());
  StoreSpec spec;

  HandshakeHosts() {
    spec.policies.resize(1);
    add_host("a.example");
    add_host("b.example");
  }
  void add_host(const std::string& name, const std::string& policy = "default", bool rsa_too = false) {
    HostSpec host;
    host.names = {name};
    host.policy = policy;
    host.certificates = {certificate(name, false)};
    if (rsa_too) host.certificates.push_back(certificate(name, true));
    spec.hosts.push_back(host);
  }
  std::shared_ptr<const Certificate> certificate(const std::string& name, bool rsa) {
    Wanted wanted;
    wanted.san = "DNS:" + name;
    wanted.rsa = rsa;
    return loaded(issue(wanted, &ca), &ca);
  }
  PolicySpec& policy(const std::string& name) {
    spec.policies.emplace_back();
    spec.policies.back().name = name;
    return spec.policies.back();
  }
  void client_auth(ClientAuthMode mode) {
    spec.policies[0].client_auth = {mode, folder.write("client-ca.pem", client_ca.pem()), 4};
  }
  Identity client(const Identity& issuer, long until = 86400) {
    Wanted wanted;
    wanted.name = "client one";
    wanted.from = -100000;
    wanted.until = until;
    return issue(wanted, &issuer);
  }
  std::shared_ptr<const ContextStore> build() {
    Notes notes;
    auto store = ContextStore::build(spec, keys, notes);
    INFO(first_text(notes));
    REQUIRE(store != nullptr);
    return store;
  }
};

Got served(Server& server, const Ask& how) {
  const std::size_t before = static_cast<std::size_t>(server.over) + server.handshakes.size();
  return server.serve(
      [&] { return ask(server.port(), how); },
      [&] { return static_cast<std::size_t>(server.over) + server.handshakes.size() > before; });
}

Failed refused(Server& server, const Ask& how) {
  const Got got = served(server, how);
  CHECK_FALSE(got.connected);
  REQUIRE(server.failures.size() == 1);
  CHECK(server.handshakes.empty());
  return server.failures[0];
}

}  // namespace

TEST_CASE("a TLS 1.3 handshake is done, described and carries bytes") {
  HandshakeHosts world;
  Server server(world.build());
  Ask how;
  how.sni = "A.Example";
  how.trust = &world.ca;
  how.alpn = "\x08http/1.1\x02h2";
  how.groups = "X25519:P-256";
  const Got got = served(server, how);
  CHECK(got.connected);
  CHECK(got.reply == "ping");
  CHECK(got.alpn == "h2");
  REQUIRE(server.handshakes.size() == 1);
  const Facts& facts = server.handshakes[0];
  CHECK(facts.host == "a.example");
  CHECK(facts.sni == "a.example");
  CHECK(facts.version == Version::tls13);
  CHECK(facts.cipher == "TLS_AES_128_GCM_SHA256");
  CHECK(facts.group == "X25519");
  CHECK(facts.sigalg == "ecdsa_secp256r1_sha256");
  CHECK(facts.protocol == Protocol::h2);
  CHECK(facts.fingerprint == world.spec.hosts[0].certificates[0]->fingerprint_hex());
  CHECK(facts.client_cert == ClientCertResult::off);
  CHECK_FALSE(facts.resumed);
  CHECK_FALSE(facts.retried);
}

TEST_CASE("TLS 1.2 is spoken, and a client without ALPN gets HTTP/1.1") {
  HandshakeHosts world;
  Server server(world.build());
  Ask how;
  how.max = TLS1_2_VERSION;
  const Got got = served(server, how);
  CHECK(got.reply == "ping");
  CHECK(got.alpn.empty());
  REQUIRE(server.handshakes.size() == 1);
  CHECK(server.handshakes[0].version == Version::tls12);
  CHECK(server.handshakes[0].cipher == "ECDHE-ECDSA-AES128-GCM-SHA256");
  CHECK(server.handshakes[0].protocol == Protocol::none);
  CHECK(server.handshakes[0].group == "X25519");
}

TEST_CASE("one host's policy does not leak into another's") {
  HandshakeHosts world;
  PolicySpec& old = world.policy("old");
  old.max_version = Version::tls12;
  old.groups = {{"P-384"}};
  old.alpn = {"http/1.1"};
  world.add_host("old.example", "old");
  Server server(world.build());
  Ask how;
  how.groups = "X25519:P-384:P-256";
  how.alpn = "\x02h2\x08http/1.1";
  how.sni = "old.example";
  CHECK(served(server, how).alpn == "http/1.1");
  how.sni = "a.example";
  CHECK(served(server, how).alpn == "h2");
  REQUIRE(server.handshakes.size() == 2);
  CHECK(server.handshakes[0].version == Version::tls12);
  CHECK(server.handshakes[0].group == "P-384");
  CHECK(server.handshakes[1].version == Version::tls13);
  CHECK(server.handshakes[1].group == "X25519");
}

TEST_CASE("an ECDSA and an RSA certificate stand side by side, picked by what the client offers") {
  HandshakeHosts world;
  world.add_host("both.example", "default", true);
  Server server(world.build());
  Ask how;
  how.sni = "both.example";
  how.trust = &world.ca;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    how.max = version;
    how.sigalgs = nullptr;
    CHECK(served(server, how).shown_key == "ecdsa");
    // The chain itself is signed with ECDSA, so that must still be verifiable: only our own
    // signature is limited here, by the certificate that the client can take.
    how.sigalgs = "RSA-PSS+SHA256:RSA+SHA256";
    how.trust = nullptr;
    CHECK(served(server, how).shown_key == "rsa");
    how.trust = &world.ca;
  }
  CHECK(server.handshakes[1].sigalg == "rsa_pss_rsae_sha256");
  CHECK(server.handshakes[3].sigalg == "rsa_pss_rsae_sha256");
  CHECK(server.handshakes[3].fingerprint == world.spec.hosts[2].certificates[1]->fingerprint_hex());
}

TEST_CASE("refusals that the hello decides are an alert and a verdict") {
  HandshakeHosts world;
  Server server(world.build());
  Ask how;
  SECTION("unknown name") {
    how.sni = "c.example";
    const Failed failed = refused(server, how);
    CHECK(failed.verdict == Verdict{Stage::cert_select, Reason::unknown_sni});
    CHECK(failed.alert_sent == 112);
    CHECK(failed.sni == "c.example");
  }
  SECTION("no name") {
    how.sni = nullptr;
    CHECK(refused(server, how).verdict == Verdict{Stage::cert_select, Reason::missing_sni});
  }
  SECTION("an IP literal for a name") {
    how.sni = "127.0.0.1";
    CHECK(refused(server, how).verdict == Verdict{Stage::cert_select, Reason::unknown_sni});
  }
  SECTION("no common protocol") {
    how.alpn = "\x02h3\x08http/1.0";
    const Failed failed = refused(server, how);
    CHECK(failed.verdict == Verdict{Stage::key_exchange, Reason::no_alpn_overlap});
    CHECK(failed.alert_sent == 120);
    CHECK(failed.host == "a.example");
  }
  CHECK(server.over == 1);
}

TEST_CASE("refusals of OpenSSL become verdicts") {
  HandshakeHosts world;
  Ask how;
  SECTION("no common version") {
    world.spec.policies[0].min_version = Version::tls13;
    Server server(world.build());
    how.max = TLS1_2_VERSION;
    const Failed failed = refused(server, how);
    CHECK(failed.verdict == Verdict{Stage::key_exchange, Reason::unsupported_version});
    CHECK(failed.alert_sent == 70);
  }
  SECTION("no common suite, TLS 1.3") {
    world.spec.policies[0].cipher_suites = {"TLS_AES_256_GCM_SHA384"};
    Server server(world.build());
    how.suites = "TLS_AES_128_GCM_SHA256";
    how.min = TLS1_3_VERSION;
    CHECK(refused(server, how).verdict == Verdict{Stage::key_exchange, Reason::no_shared_cipher});
  }
  SECTION("RSA suites only and an ECDSA certificate, TLS 1.2") {
    Server server(world.build());
    how.max = TLS1_2_VERSION;
    how.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
    const Failed failed = refused(server, how);
    CHECK(failed.verdict == Verdict{Stage::key_exchange, Reason::no_shared_cipher});
    CHECK(failed.openssl == "no shared cipher");
    CHECK(failed.hello);
  }
  SECTION("no common group, TLS 1.3") {
    Server server(world.build());
    how.groups = "P-521";
    how.min = TLS1_3_VERSION;
    CHECK(refused(server, how).verdict == Verdict{Stage::key_exchange, Reason::no_shared_group});
  }
  SECTION("no common group, TLS 1.2") {
    Server server(world.build());
    how.groups = "P-521";
    how.max = TLS1_2_VERSION;
    CHECK(refused(server, how).verdict == Verdict{Stage::key_exchange, Reason::no_shared_group});
  }
  SECTION("no common signature algorithm") {
    Server server(world.build());
    how.sigalgs = "RSA-PSS+SHA256";
    how.min = TLS1_3_VERSION;
    CHECK(refused(server, how).verdict == Verdict{Stage::key_exchange, Reason::no_shared_sigalg});
  }
  SECTION("a client that does not trust the certificate says so") {
    Server server(world.build());
    how.trust = &world.client_ca;
    how.max = TLS1_2_VERSION;
    const Failed failed = refused(server, how);
    CHECK(failed.verdict == Verdict{Stage::finished, Reason::peer_alert_unknown_ca});
    CHECK(failed.alert_received == 48);
  }
  SECTION("a client that does not trust the certificate says so, TLS 1.3") {
    Server server(world.build());
    how.trust = &world.client_ca;
    CHECK(refused(server, how).verdict == Verdict{Stage::finished, Reason::peer_alert_unknown_ca});
  }
}

TEST_CASE("a ticket resumes under its own host and policy, across reloads and key rotation") {
  HandshakeHosts world;
  Server server(world.build());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    INFO(version);
    Ask how;
    how.max = version;
    const Got first = served(server, how);
    REQUIRE(first.session != nullptr);
    how.resume = first.session.get();
    const Got second = served(server, how);
    CHECK(second.resumed);
    // Tickets of TLS 1.3 are for one use: the next one comes at once.
    if (version == TLS1_3_VERSION) CHECK(second.session != nullptr);
    CHECK(server.handshakes.back().resumed);
    // No certificate was shown; the ticket says which one the session was made under.
    CHECK(server.handshakes.back().fingerprint ==
          server.handshakes[server.handshakes.size() - 2].fingerprint);
    server.store = world.build();
    CHECK(served(server, how).resumed);
    world.keys->rotate(base::WallClock::now());
    const Got renewed = served(server, how);
    CHECK(renewed.resumed);
    // (OpenSSL's client tells of a renewed ticket of TLS 1.2 nobody.)
    if (version == TLS1_3_VERSION) CHECK(renewed.session != nullptr);
  }
}

TEST_CASE("a ticket does not cross hosts or policies: a full handshake instead (CVE-2025-23419)") {
  HandshakeHosts world;
  PolicySpec& other = world.policy("other");
  other.alpn = {"http/1.1"};
  world.add_host("c.example", "other");
  Server server(world.build());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Ask how;
    how.max = version;
    const Got first = served(server, how);
    REQUIRE(first.session != nullptr);
    for (const char* name : {"b.example", "c.example"}) {
      Ask elsewhere;
      elsewhere.max = version;
      elsewhere.sni = name;
      const Owned<SSL_SESSION> stolen(SSL_SESSION_dup(first.session.get()));
      SSL_SESSION_set1_hostname(stolen.get(), name);
      elsewhere.resume = stolen.get();
      const Got got = served(server, elsewhere);
      CHECK(got.connected);
      CHECK_FALSE(got.resumed);
      CHECK_FALSE(server.handshakes.back().resumed);
      CHECK(server.handshakes.back().host == name);
    }
  }
}

TEST_CASE("a ticket made without a client certificate does not open a host that requires one") {
  HandshakeHosts world;
  Server server(world.build());
  Ask how;
  const Got first = served(server, how);
  REQUIRE(first.session != nullptr);
  world.client_auth(ClientAuthMode::require);
  server.store = world.build();
  how.resume = first.session.get();
  how.talk = [](SSL* ssl) {
    char byte = 0;
    SSL_read(ssl, &byte, 1);
  };
  served(server, how);
  REQUIRE(server.failures.size() == 1);
  CHECK(server.failures[0].verdict == Verdict{Stage::client_cert, Reason::client_cert_missing});
}

TEST_CASE("required client certificates: without a good one there is no handshake") {
  HandshakeHosts world;
  world.client_auth(ClientAuthMode::require);
  Server server(world.build());
  const Identity stranger = world.client(world.ca);
  const Identity late = world.client(world.client_ca, -3600);
  const Identity good = world.client(world.client_ca);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    INFO(version);
    server.failures.clear();
    server.handshakes.clear();
    Ask how;
    how.max = version;
    int reason = 0;
    how.talk = [&](SSL* ssl) {  // TLS 1.3: the refusal comes after the client's own end
      char byte = 0;
      SSL_read(ssl, &byte, 1);
      reason = ERR_GET_REASON(ERR_peek_error());
    };
    served(server, how);
    how.own = &stranger;
    served(server, how);
    how.own = &late;
    served(server, how);
    REQUIRE(server.failures.size() == 3);
    CHECK(server.failures[0].verdict == Verdict{Stage::client_cert, Reason::client_cert_missing});
    CHECK(server.failures[1].verdict == Verdict{Stage::client_cert, Reason::client_cert_untrusted});
    CHECK(server.failures[2].verdict == Verdict{Stage::client_cert, Reason::client_cert_expired});
    if (version == TLS1_3_VERSION) CHECK(reason == SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED);
    how.own = &good;
    how.talk = {};
    const Got got = served(server, how);
    CHECK(got.reply == "ping");
    REQUIRE(server.handshakes.size() == 1);
    CHECK(server.handshakes[0].client_cert == ClientCertResult::ok);
    CHECK(server.handshakes[0].subject == "CN=client one");
    // It is known on a resumed connection too.
    how.resume = got.session.get();
    CHECK(served(server, how).resumed);
    CHECK(server.handshakes[1].client_cert == ClientCertResult::ok);
    CHECK(server.handshakes[1].subject == "CN=client one");
  }
}

TEST_CASE("requested client certificates are judged and never refused") {
  HandshakeHosts world;
  world.client_auth(ClientAuthMode::request);
  Server server(world.build());
  const Identity stranger = world.client(world.ca);
  const Identity late = world.client(world.client_ca, -3600);
  const Identity good = world.client(world.client_ca);
  Ask how;
  CHECK(served(server, how).reply == "ping");
  for (const Identity* own : {&stranger, &late, &good}) {
    how.own = own;
    CHECK(served(server, how).reply == "ping");
  }
  REQUIRE(server.handshakes.size() == 4);
  CHECK(server.handshakes[0].client_cert == ClientCertResult::absent);
  CHECK(server.handshakes[1].client_cert == ClientCertResult::untrusted);
  CHECK(server.handshakes[1].subject.empty());
  CHECK(server.handshakes[2].client_cert == ClientCertResult::expired);
  CHECK(server.handshakes[3].client_cert == ClientCertResult::ok);
}

TEST_CASE("a client with the wrong key share is asked again, and counted") {
  HandshakeHosts world;
  world.spec.policies[0].groups = {{"P-256"}};
  Server server(world.build());
  Ask how;
  how.groups = "X25519:P-256";
  CHECK(served(server, how).reply == "ping");
  CHECK(server.handshakes[0].retried);
  CHECK(server.handshakes[0].group == "P-256");
}

TEST_CASE("a second hello that names another host is refused") {
  HandshakeHosts world;
  world.spec.policies[0].groups = {{"P-256"}};
  Server server(world.build());
  server.serve(
      [&] {
        const Plug plug(server.port());
        const Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
        SSL_CTX_set1_groups_list(context.get(), "X25519:P-256");
        SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
        const Owned<SSL> ssl(SSL_new(context.get()));
        set_sni(ssl.get(), "a.example");
        BIO* in = BIO_new(BIO_s_mem());
        BIO* out = BIO_new(BIO_s_mem());
        SSL_set_bio(ssl.get(), in, out);
        SSL_connect(ssl.get());
        plug.send(text_of(out));
        BIO_reset(out);
        char block[4096];
        const ssize_t n = ::recv(plug.fd, block, sizeof block, 0);
        BIO_write(in, block, static_cast<int>(n));
        SSL_connect(ssl.get());
        std::string second = text_of(out);
        second.replace(second.find("a.example"), 9, "b.example");
        plug.send(second);
        return plug.read_all().size();
      },
      [&] { return server.over == 1; });
  REQUIRE(server.failures.size() == 1);
  CHECK(server.failures[0].verdict == Verdict{Stage::key_exchange, Reason::malformed_hello});
  CHECK(server.failures[0].alert_sent == 47);
}

TEST_CASE("plain HTTP on the TLS port is answered in plain HTTP") {
  HandshakeHosts world;
  Server server(world.build());
  const std::string answer = server.serve(
      [&] {
        const Plug plug(server.port());
        plug.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        return plug.read_all();
      },
      [&] { return server.over == 1; });
  CHECK(answer.rfind("HTTP/1.1 400 Bad Request\r\n", 0) == 0);
  CHECK(answer.find("speaks TLS") != std::string::npos);
  CHECK(server.failures[0].verdict == Verdict{Stage::hello, Reason::not_tls});
}

TEST_CASE("garbage gets an alert") {
  HandshakeHosts world;
  Server server(world.build());
  const std::string answer = server.serve(
      [&] {
        const Plug plug(server.port());
        plug.send("SSH-2.0-OpenSSH_9.2\r\n");
        return plug.read_all();
      },
      [&] { return server.over == 1; });
  CHECK(answer == std::string("\x15\x03\x03\x00\x02\x02\x0a", 7));
}

TEST_CASE("clients that leave or stay silent are told apart") {
  HandshakeHosts world;
  Server server(world.build());
  const std::string hello = real_hello([](SSL* ssl) { set_sni(ssl, "a.example"); });
  const auto leave_after = [&](const std::string& bytes) {
    server.serve(
        [&] {
          const Plug plug(server.port());
          plug.send(bytes);
          return 0;
        },
        [&] { return server.over == 1; });
    CHECK(server.sessions.empty());
    return server.failures[0].verdict;
  };
  SECTION("without a byte: a health probe") {
    CHECK(leave_after("") == Verdict{Stage::hello, Reason::peer_closed_idle});
  }
  SECTION("within the hello") {
    CHECK(leave_after(hello.substr(0, 50)) == Verdict{Stage::hello, Reason::peer_closed_hello});
  }
  SECTION("after it") {
    server.serve(
        [&] {
          const Plug plug(server.port());
          plug.send(hello);
          char block[16384];
          ::shutdown(plug.fd, SHUT_WR);
          while (::recv(plug.fd, block, sizeof block, 0) > 0) {
          }
          return 0;
        },
        [&] { return server.over == 1; });
    CHECK(server.failures[0].verdict == Verdict{Stage::finished, Reason::peer_closed});
  }
  SECTION("too slow") {
    server.options.handshake_timeout = base::Milliseconds(30);
    server.serve(
        [&] {
          const Plug plug(server.port());
          plug.send(hello.substr(0, 50));
          return plug.read_all().size();
        },
        [&] { return server.over == 1; });
    CHECK(server.failures[0].verdict == Verdict{Stage::hello, Reason::timeout});
  }
  SECTION("ended by us") {
    server.accepted = [](ServerStream& stream) { stream.abandon(); };
    server.serve(
        [&] {
          const Plug plug(server.port());
          return plug.read_all().size();
        },
        [&] { return server.over == 1; });
    CHECK(server.failures[0].verdict == Verdict{Stage::hello, Reason::shutdown});
  }
}

TEST_CASE("a hello that comes byte by byte is a hello, and told as segmented") {
  HandshakeHosts world;
  Server server(world.build());
  const std::size_t answer = server.serve(
      [&] {
        const Plug plug(server.port());
        const std::string hello = real_hello([](SSL* ssl) { set_sni(ssl, "a.example"); });
        for (const char byte : hello) plug.send({byte});
        // A ServerHello and the rest of the flight came: leave with an alert.
        char block[16384];
        const ssize_t n = ::recv(plug.fd, block, sizeof block, 0);
        plug.send(std::string("\x15\x03\x03\x00\x02\x02\x50", 7));
        return static_cast<std::size_t>(n);
      },
      [&] { return server.over == 1; });
  CHECK(answer > 100);
  CHECK(server.failures[0].verdict == Verdict{Stage::finished, Reason::peer_alert_other});
  CHECK(server.failures[0].alert_received == 80);
}

TEST_CASE("a hello in tiny records is completed by OpenSSL as well") {
  HandshakeHosts world;
  Server server(world.build());
  const std::string hello = real_hello([](SSL* ssl) { set_sni(ssl, "a.example"); });
  const std::size_t answer = server.serve(
      [&] {
        const Plug plug(server.port());
        plug.send(records(hello.substr(5), 7));
        char block[16384];
        return static_cast<std::size_t>(::recv(plug.fd, block, sizeof block, 0));
      },
      [&] { return server.over == 1; });
  CHECK(answer > 100);
  CHECK(server.failures[0].verdict.stage == Stage::finished);
}

TEST_CASE("renegotiation is refused (TLS 1.2)") {
  HandshakeHosts world;
  Server server(world.build());
  Ask how;
  how.max = TLS1_2_VERSION;
  bool renegotiated = true;
  how.talk = [&](SSL* ssl) {
    CHECK(exchange(ssl, "before") == "before");
    SSL_renegotiate(ssl);
    SSL_do_handshake(ssl);
    char byte = 0;
    renegotiated = SSL_read(ssl, &byte, 1) > 0 || SSL_num_renegotiations(ssl) == 0;
    renegotiated = renegotiated || ERR_GET_REASON(ERR_peek_last_error()) != SSL_R_NO_RENEGOTIATION;
  };
  served(server, how);
  CHECK_FALSE(renegotiated);
  CHECK(server.handshakes.size() == 1);
}

// Debian 12's OpenSSL has no ML-KEM, 13's has: which it is decides what this test can show.
TEST_CASE("X25519MLKEM768 is taken first where OpenSSL has it, and left out where it has not") {
  HandshakeHosts world;
  Server server(world.build());
  PolicySpec hybrid;
  hybrid.groups = {{"X25519MLKEM768"}};
  const bool has = lacking(hybrid).empty();
  Ask how;
  // A key share of each, so that the choice is the server's.
  how.groups = has ? "*X25519:*X25519MLKEM768" : "X25519";
  CHECK(served(server, how).connected);
  REQUIRE(server.handshakes.size() == 1);
  CHECK(server.handshakes[0].group == (has ? "X25519MLKEM768" : "X25519"));
  Notes notes;
  CHECK((resolve_policy(hybrid, notes) != nullptr) == has);
  CHECK(notes.items().empty() == has);
}
