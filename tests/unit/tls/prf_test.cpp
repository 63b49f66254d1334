// Our PRF of TLS 1.2 against published vectors, against OpenSSL's own on random inputs, and in
// handshakes with OpenSSL's own: master secret (extended or not), key block, Finished messages and
// exporters of both ends must be the same. A wrong octet here would end every handshake of TLS 1.2.
#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "certificates.hpp"
#include "derivations.hpp"

using namespace sallyport::tls;
using namespace tls_test;

namespace {

constexpr const char* kPrf = "TLS1-PRF";

// One call, as libssl makes it: a piece of the seed that is not there is one of no data.
struct PrfCall {
  std::optional<std::string> digest = "SHA256";
  std::optional<Octets> secret = Octets(48, 7);
  std::vector<std::optional<Octets>> seeds = {Octets(77, 9)};
  std::size_t size = 48;
};

// Its parameters, which point into it.
std::vector<OSSL_PARAM> prf_params(PrfCall& asked) {
  static std::uint8_t nothing;
  std::vector<OSSL_PARAM> params;
  if (asked.digest) {
    params.push_back(OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, asked.digest->data(), 0));
  }
  if (asked.secret) {
    params.push_back(OSSL_PARAM_construct_octet_string(
        OSSL_KDF_PARAM_SECRET, asked.secret->empty() ? &nothing : asked.secret->data(),
        asked.secret->size()));
  }
  for (auto& seed : asked.seeds) {
    params.push_back(seed ? OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed->data(), seed->size())
                          : OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, nullptr, 0));
  }
  params.push_back(OSSL_PARAM_construct_end());
  return params;
}

// nullopt: refused.
std::optional<Octets> prf_finish(EVP_KDF_CTX* context, std::size_t size, const OSSL_PARAM* params = nullptr) {
  Octets out(size + 1, 0xee);
  const int done = EVP_KDF_derive(context, out.data(), size, params);
  ERR_clear_error();
  if (done <= 0 || out.back() != 0xee) return std::nullopt;
  out.pop_back();
  return out;
}

std::optional<Octets> prf(const char* query, PrfCall asked) {
  const KdfContext context = context_of(kPrf, query);
  if (!context) return std::nullopt;
  const auto params = prf_params(asked);
  return prf_finish(context.get(), asked.size, params.data());
}

Octets octets_of_text(const std::string& text) {
  return {text.begin(), text.end()};
}

}  // namespace

// Those that the TLS working group's list has had since 2009 (and many libraries' tests).
TEST_CASE("prf: published vectors", "[tls][prf]") {
  PrfCall narrow;
  narrow.secret = from_hex("9bbe436ba940f017b17652849a71db35");
  narrow.seeds = {octets_of_text("test label"), from_hex("a0ba9f936cda311827a6f796ffd5198c")};
  narrow.size = 100;
  CHECK(prf(our_query(), narrow) ==
        from_hex(
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af"
            "0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
            "87347b66"));
  PrfCall wide;
  wide.digest = "SHA384";
  wide.secret = from_hex("b80b733d6ceefcdc71566ea48e5567df");
  wide.seeds = {octets_of_text("test label"), from_hex("cd665cf6a8447dd6ff8b27555edb7465")};
  wide.size = 148;
  CHECK(prf(our_query(), wide) ==
        from_hex(
            "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0"
            "e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425"
            "9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e099070"
            "3d73e56f"));
}

TEST_CASE("prf: the same as OpenSSL's on random inputs", "[tls][prf]") {
  std::mt19937 random(5246);
  const auto octets = [&](std::size_t size) {
    Octets made(size);
    std::generate(made.begin(), made.end(), [&] { return static_cast<std::uint8_t>(random()); });
    return made;
  };
  const std::vector<std::string> narrow = {"SHA2-256", "SHA256", "SHA-256", "2.16.840.1.101.3.4.2.1"};
  const std::vector<std::string> wide = {"SHA2-384", "sha384", "SHA-384", "2.16.840.1.101.3.4.2.2"};
  for (const auto* names : {&narrow, &wide}) {
    for (std::size_t round = 0; round < 600; ++round) {
      PrfCall asked;
      asked.digest = names->at(round % names->size());
      // Every size from none to twice a block of the hash and one, and some beyond.
      asked.secret = octets(round < 260 ? round : random() % 1100);
      // Every size to eight hashes, and long ones.
      asked.size = round < 400 ? 1 + round : 1 + random() % 5000;
      asked.seeds.clear();
      for (std::size_t pieces = 1 + round % 5; pieces > 0; --pieces) {
        asked.seeds.emplace_back(octets(1 + random() % (round % 10 == 0 ? 200 : 40)));
        if (random() % 3 == 0) asked.seeds.emplace_back(std::nullopt);
        if (random() % 9 == 0) asked.seeds.emplace_back(Octets());
      }
      CAPTURE(*asked.digest, round, asked.size, asked.secret->size(), asked.seeds.size());
      const auto ours = prf(our_query(), asked);
      REQUIRE(ours);
      CHECK(ours == prf(kOpenssl, asked));
    }
  }
}

TEST_CASE("prf: pieces of the seed are one seed", "[tls][prf]") {
  std::mt19937 random(7627);
  for (std::size_t size = 1; size <= 1000; size += size < 170 ? 1 : 83) {
    PrfCall whole;
    whole.seeds = {Octets(size)};
    std::generate(whole.seeds[0]->begin(), whole.seeds[0]->end(),
                  [&] { return static_cast<std::uint8_t>(random()); });
    PrfCall pieces;
    pieces.seeds = {std::nullopt};
    for (std::size_t at = 0; at < size;) {
      const std::size_t n = std::min<std::size_t>(size - at, 1 + random() % 90);
      const auto from = whole.seeds[0]->begin() + static_cast<std::ptrdiff_t>(at);
      pieces.seeds.emplace_back(Octets(from, from + static_cast<std::ptrdiff_t>(n)));
      pieces.seeds.emplace_back(std::nullopt);
      at += n;
    }
    CAPTURE(size, pieces.seeds.size());
    const auto ours = prf(our_query(), pieces);
    REQUIRE(ours);
    CHECK(ours == prf(our_query(), whole));
    CHECK(ours == prf(kOpenssl, whole));
  }
}

TEST_CASE("prf: what cannot be done fails, as with OpenSSL's", "[tls][prf]") {
  std::map<std::string, PrfCall> wrong;
  wrong["no digest"].digest.reset();
  wrong["unknown digest"].digest = "SHA-257";
  wrong["empty digest"].digest = "";
  wrong["no secret"].secret.reset();
  wrong["no seed"].seeds.clear();
  wrong["seeds of nothing"].seeds = {std::nullopt, Octets(), std::nullopt};
  wrong["no output"].size = 0;
  for (const auto& [what, asked] : wrong) {
    CAPTURE(what);
    CHECK_FALSE(prf(our_query(), asked));
    CHECK_FALSE(prf(kOpenssl, asked));
  }
  for (const char* query : {our_query(), kOpenssl}) {
    for (const char* name : {OSSL_KDF_PARAM_SECRET, OSSL_KDF_PARAM_SEED}) {
      CAPTURE(query, name);
      char text[] = "text";
      const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(name, text, 0),
                                   OSSL_PARAM_construct_end()};
      CHECK(EVP_KDF_CTX_set_params(context_of(kPrf, query).get(), params) != 1);
    }
  }
  char octets[] = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DIGEST, octets, 6),
                               OSSL_PARAM_construct_end()};
  CHECK(EVP_KDF_CTX_set_params(context_of(kPrf, our_query()).get(), params) != 1);
  ERR_clear_error();
}

TEST_CASE("prf: other hashes than those of TLS 1.2 are refused", "[tls][prf]") {
  for (const char* digest : {"MD5-SHA1", "SHA1", "MD5", "SHA2-224", "SHA2-512"}) {
    CAPTURE(digest);
    PrfCall asked;
    asked.digest = digest;
    CHECK_FALSE(prf(our_query(), asked));
    CHECK(prf(kOpenssl, asked));
    // A digest that failed leaves none behind.
    const KdfContext context = context_of(kPrf, our_query());
    PrfCall good;
    REQUIRE(EVP_KDF_CTX_set_params(context.get(), prf_params(good).data()) == 1);
    CHECK(EVP_KDF_CTX_set_params(context.get(), prf_params(asked).data()) != 1);
    CHECK_FALSE(prf_finish(context.get(), 48));
  }
  ERR_clear_error();
}

TEST_CASE("prf: parameters set beforehand, more of the seed, copies, a reset", "[tls][prf]") {
  for (const char* query : {our_query(), kOpenssl}) {
    for (const std::size_t length : {std::size_t{30}, std::size_t{300}}) {  // in place, and beyond
      CAPTURE(query, length);
      const KdfContext first = context_of(kPrf, query);
      PrfCall asked;
      asked.secret = Octets(length, 3);
      asked.seeds = {Octets(length, 4)};
      REQUIRE(EVP_KDF_CTX_set_params(first.get(), prf_params(asked).data()) == 1);
      CHECK(EVP_KDF_CTX_get_kdf_size(first.get()) == SIZE_MAX);
      CHECK(prf_finish(first.get(), 48) == prf(kOpenssl, asked));
      CHECK(prf_finish(first.get(), 48) == prf(kOpenssl, asked));

      // What is given later comes after what was; the secret takes the place of the one before.
      PrfCall more;
      more.digest.reset();
      more.secret = Octets(length / 2, 5);
      more.seeds = {Octets(100, 6), Octets(1, 7)};
      PrfCall both = more;
      both.digest = asked.digest;
      both.seeds.insert(both.seeds.begin(), asked.seeds[0]);
      CHECK(prf_finish(first.get(), 60, prf_params(more).data()) == [&] {
        both.size = 60;
        return prf(kOpenssl, both);
      }());

      const KdfContext second(EVP_KDF_CTX_dup(first.get()));
      EVP_KDF_CTX_reset(first.get());
      CHECK_FALSE(prf_finish(first.get(), 60));
      PrfCall half = asked;
      half.seeds.clear();
      CHECK_FALSE(prf_finish(first.get(), 60, prf_params(half).data()));
      if (!second && query == std::string(kOpenssl)) continue;  // it cannot before 3.1
      REQUIRE(second);
      CHECK(prf_finish(second.get(), 60) == prf(kOpenssl, both));
    }
  }
  const KdfContext empty(EVP_KDF_CTX_dup(context_of(kPrf, our_query()).get()));
  REQUIRE(empty);
  CHECK_FALSE(prf_finish(empty.get(), 48));
}

namespace {

// What both ends of a handshake must agree on, and an exporter's long context.
struct Agreed {
  Octets master, exported, with_context;
  bool reused = false;
  bool extended = false;
  bool operator==(const Agreed&) const = default;
};

Agreed agreed_by(SSL* ssl) {
  Agreed made;
  made.master.resize(48);
  SSL_SESSION_get_master_key(SSL_get_session(ssl), made.master.data(), made.master.size());
  made.exported.resize(70);
  made.with_context.resize(33);
  const Octets context(500, 1);
  CHECK(SSL_export_keying_material(ssl, made.exported.data(), made.exported.size(), "EXPORTER-test", 13,
                                   nullptr, 0, 0) == 1);
  CHECK(SSL_export_keying_material(ssl, made.with_context.data(), made.with_context.size(), "EXPORTER-test",
                                   13, context.data(), context.size(), 1) == 1);
  made.reused = SSL_session_reused(ssl) == 1;
  made.extended = SSL_get_extms_support(ssl) == 1;
  return made;
}

// A server and a client, of which one uses our PRF and the other OpenSSL's own, over memory.
class PrfPair {
 public:
  PrfPair(const char* server_query, const char* client_query, const Wanted& certificate = {},
          int version = TLS1_2_VERSION)
      : identity_(issue(certificate)),
        server_(SSL_CTX_new_ex(nullptr, server_query, TLS_server_method())),
        client_(SSL_CTX_new_ex(nullptr, client_query, TLS_client_method())) {
    SSL_CTX_use_certificate(server(), identity_.certificate.get());
    SSL_CTX_use_PrivateKey(server(), identity_.key.get());
    SSL_CTX_set_dh_auto(server(), 1);
    for (SSL_CTX* each : {server(), client()}) {
      SSL_CTX_set_min_proto_version(each, version);
      SSL_CTX_set_max_proto_version(each, version);
      if (version < TLS1_2_VERSION) SSL_CTX_set_cipher_list(each, "ALL:@SECLEVEL=0");
    }
  }

  [[nodiscard]] SSL_CTX* server() const { return server_.get(); }
  [[nodiscard]] SSL_CTX* client() const { return client_.get(); }

  // What both agreed on; nullopt: the handshake failed, or they did not. `resume`: the last session.
  [[nodiscard]] std::optional<Agreed> connect(bool resume = false) {
    const Owned<SSL> server(SSL_new(server_.get()));
    const Owned<SSL> client(SSL_new(client_.get()));
    BIO* up = BIO_new(BIO_s_mem());
    BIO* down = BIO_new(BIO_s_mem());
    BIO_up_ref(up);
    BIO_up_ref(down);
    SSL_set_bio(client.get(), down, up);
    SSL_set_bio(server.get(), up, down);
    SSL_set_accept_state(server.get());
    SSL_set_connect_state(client.get());
    if (resume) SSL_set_session(client.get(), session_.get());
    for (int turn = 0; turn < 8; ++turn) {
      SSL_do_handshake(client.get());
      SSL_do_handshake(server.get());
    }
    char letter = 'x';
    char answer = 0;
    const bool talked = SSL_write(server.get(), &letter, 1) == 1 && SSL_read(client.get(), &answer, 1) == 1 &&
                        SSL_write(client.get(), &letter, 1) == 1 && SSL_read(server.get(), &answer, 1) == 1;
    ERR_clear_error();
    if (!talked) return std::nullopt;
    session_.reset(SSL_get1_session(client.get()));
    // A session whose connection does not end well is forgotten.
    SSL_shutdown(client.get());
    SSL_shutdown(server.get());
    const Agreed there = agreed_by(client.get());
    const Agreed here = agreed_by(server.get());
    return here == there ? std::optional<Agreed>(here) : std::nullopt;
  }

 private:
  Identity identity_;
  Owned<SSL_CTX> server_, client_;
  Owned<SSL_SESSION> session_;
};

struct PrfSuite {
  const char* name;
  bool rsa;
};
// Both hashes, each way to a shared secret; blocks of keys from 40 to 160 octets.
constexpr PrfSuite kSuites[] = {
    {"ECDHE-ECDSA-AES128-GCM-SHA256", false},
    {"ECDHE-ECDSA-AES256-GCM-SHA384", false},
    {"ECDHE-ECDSA-CHACHA20-POLY1305", false},
    {"ECDHE-ECDSA-AES256-SHA384", false},
    {"ECDHE-RSA-AES128-GCM-SHA256", true},
    {"ECDHE-RSA-AES256-GCM-SHA384", true},
    {"ECDHE-RSA-AES128-SHA", true},
    {"DHE-RSA-AES256-GCM-SHA384", true},
    {"AES128-SHA256", true},
    {"AES256-GCM-SHA384", true},
};

}  // namespace

TEST_CASE("prf: handshakes, full and resumed", "[tls][prf]") {
  Wanted rsa;
  rsa.rsa = true;
  const Owned<EVP_PKEY> rsa_key(EVP_RSA_gen(2048));
  rsa.key = rsa_key.get();
  for (const bool we_serve : {true, false}) {
    for (const PrfSuite& suite : kSuites) {
      for (const bool extended : {true, false}) {
        for (const bool tickets : {true, false}) {
          CAPTURE(we_serve, suite.name, extended, tickets);
          PrfPair pair(we_serve ? our_query() : nullptr, we_serve ? nullptr : our_query(),
                       suite.rsa ? rsa : Wanted{});
          REQUIRE(SSL_CTX_set_cipher_list(pair.server(), suite.name) == 1);
          REQUIRE(SSL_CTX_set_cipher_list(pair.client(), suite.name) == 1);
          if (!extended) SSL_CTX_set_options(pair.client(), SSL_OP_NO_EXTENDED_MASTER_SECRET);
          if (!tickets) SSL_CTX_set_options(pair.server(), SSL_OP_NO_TICKET);
          const auto full = pair.connect();
          REQUIRE(full);
          CHECK_FALSE(full->reused);
          CHECK(full->extended == extended);
          const auto resumed = pair.connect(true);
          REQUIRE(resumed);
          CHECK(resumed->reused);
          CHECK(resumed->master == full->master);
          CHECK(resumed->exported != full->exported);
        }
      }
    }
  }
}

TEST_CASE("prf: groups whose shared secrets are of other lengths", "[tls][prf]") {
  PrfPair pair(our_query(), nullptr);
  for (const std::string group : {"X25519", "P-256", "P-384", "P-521", "X448"}) {
    CAPTURE(group);
    const std::string also = group == "P-256" ? group : group + ":P-256";  // its certificate's curve
    REQUIRE(SSL_CTX_set1_groups_list(pair.server(), group.c_str()) == 1);
    REQUIRE(SSL_CTX_set1_groups_list(pair.client(), also.c_str()) == 1);
    CHECK(pair.connect());
  }
}

// Nobody makes such a context here; were one made, it would say so and not do something else.
TEST_CASE("prf: TLS 1.1 under our query fails cleanly", "[tls][prf]") {
  if (!PrfPair(nullptr, nullptr, {}, TLS1_1_VERSION).connect()) return;  // OpenSSL was built without it
  CHECK_FALSE(PrfPair(our_query(), nullptr, {}, TLS1_1_VERSION).connect());
  CHECK_FALSE(PrfPair(nullptr, our_query(), {}, TLS1_1_VERSION).connect());
}

TEST_CASE("prf: two threads at once", "[tls][prf]") {
  const auto run = [](PrfPair& pair, int& good) {
    for (int i = 0; i < 50; ++i) good += pair.connect(i % 2 == 1) ? 1 : 0;
  };
  int first = 0;
  int second = 0;
  PrfPair here(our_query(), nullptr);
  PrfPair there(our_query(), our_query());
  std::thread other([&] { run(there, second); });
  run(here, first);
  other.join();
  CHECK(first == 50);
  CHECK(second == 50);
}
