// Our key schedule of TLS 1.3 against RFC 8448's trace, against OpenSSL's own on random inputs, and
// in handshakes: both ends must come to the same secrets, and the tap to those that a client logs. A
// wrong octet here would end every handshake; a secret under the wrong name, every record after it.
#include "key_schedule.hpp"

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

constexpr const char* kKeySchedule = "TLS13-KDF";

// One derivation, as libssl asks for it.
struct KdfCall {
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  std::optional<std::string> digest = "SHA256";
  std::optional<Octets> key, salt, data;
  std::string label;
  std::string prefix = "tls13 ";
  std::size_t size = 32;
};

// Its parameters, which point into it.
std::vector<OSSL_PARAM> params_of(KdfCall& asked) {
  std::vector<OSSL_PARAM> params;
  const auto octets = [&](const char* name, std::optional<Octets>& value) {
    static std::uint8_t nothing;
    if (!value) return;
    params.push_back(
        OSSL_PARAM_construct_octet_string(name, value->empty() ? &nothing : value->data(), value->size()));
  };
  const auto text = [&](const char* name, std::string& value) {
    params.push_back(OSSL_PARAM_construct_octet_string(name, value.data(), value.size()));
  };
  params.push_back(OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &asked.mode));
  if (asked.digest) {
    params.push_back(OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, asked.digest->data(), 0));
  }
  octets(OSSL_KDF_PARAM_KEY, asked.key);
  octets(OSSL_KDF_PARAM_SALT, asked.salt);
  text(OSSL_KDF_PARAM_PREFIX, asked.prefix);
  text(OSSL_KDF_PARAM_LABEL, asked.label);
  octets(OSSL_KDF_PARAM_DATA, asked.data);
  params.push_back(OSSL_PARAM_construct_end());
  return params;
}

// nullopt: refused.
std::optional<Octets> derive(const char* query, KdfCall asked) {
  const KdfContext context = context_of(kKeySchedule, query);
  if (!context) return std::nullopt;
  Octets out(asked.size + 1, 0xee);
  const auto params = params_of(asked);
  const int done = EVP_KDF_derive(context.get(), out.data(), asked.size, params.data());
  ERR_clear_error();
  if (done <= 0 || out.back() != 0xee) return std::nullopt;
  out.pop_back();
  return out;
}

KdfCall expand(const Octets& secret, const std::string& label, const std::optional<Octets>& data = {},
               std::size_t size = 32) {
  KdfCall asked;
  asked.key = secret;
  asked.label = label;
  asked.data = data;
  asked.size = size;
  return asked;
}

KdfCall extract(const std::optional<Octets>& salt, const std::optional<Octets>& key) {
  KdfCall asked;
  asked.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
  asked.key = key;
  asked.salt = salt;
  asked.label = "derived";
  return asked;
}

}  // namespace

// RFC 8448 §3, "Simple 1-RTT Handshake".
TEST_CASE("key schedule: RFC 8448's trace", "[tls][key_schedule]") {
  const Octets early = from_hex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
  const Octets shared = from_hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
  const Octets handshake = from_hex("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac");
  const Octets master = from_hex("18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919");
  const Octets hellos = from_hex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8");
  const Octets finished = from_hex("9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13");
  const Octets server_hs = from_hex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
  const Octets server_ap = from_hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
  const Octets no_messages = from_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

  struct Step {
    KdfCall asked;
    std::string gives;
  };
  const std::vector<Step> steps = {
      {extract({}, {}), "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"},
      {expand(early, "derived", no_messages),
       "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"},
      {extract(early, shared), "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"},
      {expand(handshake, "c hs traffic", hellos),
       "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"},
      {expand(handshake, "s hs traffic", hellos),
       "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"},
      {expand(server_hs, "key", {}, 16), "3fce516009c21727d0f2e4e86ee403bc"},
      {expand(server_hs, "iv", {}, 12), "5d313eb2671276ee13000b30"},
      {expand(server_hs, "finished"), "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8"},
      {extract(handshake, {}), "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"},
      {expand(master, "c ap traffic", finished),
       "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"},
      {expand(master, "s ap traffic", finished),
       "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"},
      {expand(master, "exp master", finished),
       "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50"},
      {expand(server_ap, "key", {}, 16), "9f02283b6c9c07efc26bb9f2ac92e356"},
      {expand(server_ap, "iv", {}, 12), "cf782b88dd83549aadf1e984"},
  };
  for (const Step& step : steps) {
    CAPTURE(step.asked.label, step.asked.mode);
    CHECK(derive(our_query(), step.asked) == from_hex(step.gives));
  }
}

TEST_CASE("key schedule: the same as OpenSSL's on random inputs", "[tls][key_schedule]") {
  std::mt19937 random(8446);
  const auto octets = [&](std::size_t size) {
    Octets made(size);
    std::generate(made.begin(), made.end(), [&] { return static_cast<std::uint8_t>(random()); });
    return made;
  };
  const auto up_to = [&](std::size_t most) { return random() % (most + 1); };
  const std::vector<std::string> labels = {"c ap traffic", "s ap traffic", "key",        "iv",
                                           "finished",     "traffic upd",  "res master", ""};
  for (const bool wide : {false, true}) {
    const std::size_t hash_size = wide ? 48 : 32;
    const std::vector<std::string> names =
        wide ? std::vector<std::string>{"SHA384", "SHA2-384", "SHA-384", "sha384"}
             : std::vector<std::string>{"SHA256", "SHA2-256", "SHA-256", "2.16.840.1.101.3.4.2.1"};
    for (std::size_t round = 0; round < 600; ++round) {
      CAPTURE(wide, round);
      // Every output size up to three blocks and the longest one that there is.
      KdfCall asked = expand(octets(round % 3 == 0 ? up_to(300) : hash_size), labels[round % labels.size()],
                             {}, round < 599 ? round % (3 * hash_size + 2) : 255 * hash_size);
      if (round % 2 == 0) asked.data = octets(round % 5 == 0 ? up_to(255) : hash_size);
      if (round % 7 == 0) asked.label = std::string(up_to(249), 'x');
      asked.digest = names[round % names.size()];
      const auto expanded = derive(our_query(), asked);
      REQUIRE(expanded);
      CHECK(expanded == derive(kOpenssl, asked));

      KdfCall taken = extract({}, {});
      taken.digest = asked.digest;
      taken.size = hash_size;
      if (round % 2 == 0) taken.key = octets(round % 3 == 0 ? 1 + up_to(1023) : hash_size);
      if (round % 4 < 2) taken.salt = octets(hash_size);
      const auto extracted = derive(our_query(), taken);
      REQUIRE(extracted);
      CHECK(extracted == derive(kOpenssl, taken));
    }
  }
}

// While a tap lives, the states after two secrets are remembered: none may be taken for another's.
TEST_CASE("key schedule: secrets that come again under a tap", "[tls][key_schedule]") {
  std::mt19937 random(5869);
  TrafficSecrets heard;
  for (const bool wide : {false, true}) {
    const std::size_t hash_size = wide ? 48 : 32;
    std::vector<Octets> secrets(4, Octets(hash_size, 1));
    for (std::size_t i = 1; i < secrets.size(); ++i) secrets[i].back() = static_cast<std::uint8_t>(i);
    for (int round = 0; round < 40; ++round) {
      const SecretsTap tap(heard);
      for (int turn = 0; turn < 8; ++turn) {
        const Octets& secret = secrets[random() % secrets.size()];
        KdfCall asked = expand(secret, "finished", {}, 16);
        KdfCall taken = extract(secret, secret);
        taken.size = hash_size;
        asked.digest = taken.digest = wide ? "SHA384" : "SHA256";
        CAPTURE(wide, round, turn);
        CHECK(derive(our_query(), asked) == derive(kOpenssl, asked));
        CHECK(derive(our_query(), taken) == derive(kOpenssl, taken));
      }
    }
  }
}

// What follows from no secret is computed once; only under the words that it was computed for.
TEST_CASE("key schedule: what is the same in every handshake", "[tls][key_schedule]") {
  for (const std::string digest : {"SHA256", "SHA384"}) {
    const std::size_t hash_size = digest == "SHA256" ? 32 : 48;
    KdfCall first = extract({}, {});
    first.digest = digest;
    first.size = hash_size;
    const auto early = derive(kOpenssl, first);
    REQUIRE(early);
    CHECK(derive(our_query(), first) == early);
    for (const std::string label : {"derived", "derivec", "", "derived "}) {
      for (const std::string prefix : {"tls13 ", "dtls13", ""}) {
        for (const auto& key : {std::optional<Octets>(), std::optional<Octets>(Octets(32, 1))}) {
          KdfCall second = extract(early, key);
          second.digest = digest;
          second.size = hash_size;
          second.label = label;
          second.prefix = prefix;
          CAPTURE(digest, label, prefix, key.has_value());
          CHECK(derive(our_query(), second) == derive(kOpenssl, second));
        }
      }
    }
    KdfCall other = extract(Octets(hash_size, 0), {});
    other.digest = digest;
    other.size = hash_size;
    CHECK(derive(our_query(), other) == derive(kOpenssl, other));
  }
}

TEST_CASE("key schedule: what cannot be done fails, as with OpenSSL's", "[tls][key_schedule]") {
  const Octets secret(32, 7);
  std::map<std::string, KdfCall> wrong;
  wrong["no digest"] = expand(secret, "key");
  wrong["no digest"].digest.reset();
  wrong["unknown digest"] = expand(secret, "key");
  wrong["unknown digest"].digest = "SHA-257";
  wrong["no key"] = expand(secret, "key");
  wrong["no key"].key.reset();
  wrong["long label"] = expand(secret, std::string(250, 'x'));
  wrong["long data"] = expand(secret, "key", Octets(256, 1));
  wrong["long out"] = expand(secret, "key", {}, 255 * 32 + 1);
  wrong["longer than its field"] = expand(secret, "key", {}, 65536);
  wrong["not the hash's size"] = extract(secret, secret);
  wrong["not the hash's size"].size = 31;
  wrong["long label between"] = extract(secret, secret);
  wrong["long label between"].label = std::string(250, 'x');
  wrong["both at once"] = expand(secret, "key");
  wrong["both at once"].mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
  wrong["no such mode"] = expand(secret, "key");
  wrong["no such mode"].mode = 7;
  for (const auto& [what, asked] : wrong) {
    CAPTURE(what);
    CHECK_FALSE(derive(our_query(), asked));
    CHECK_FALSE(derive(kOpenssl, asked));
  }
  // OpenSSL's has other digests; TLS 1.3 has not.
  KdfCall other = expand(secret, "key");
  other.digest = "SHA512";
  CHECK_FALSE(derive(our_query(), other));
  // A digest that failed leaves none behind.
  const KdfContext context = context_of(kKeySchedule, our_query());
  KdfCall good = expand(secret, "key");
  REQUIRE(EVP_KDF_CTX_set_params(context.get(), params_of(good).data()) == 1);
  CHECK(EVP_KDF_CTX_set_params(context.get(), params_of(other).data()) != 1);
  Octets out(32);
  CHECK(EVP_KDF_derive(context.get(), out.data(), out.size(), nullptr) != 1);
  ERR_clear_error();
}

TEST_CASE("key schedule: parameters set beforehand, copies, a reset, words", "[tls][key_schedule]") {
  for (const char* query : {our_query(), kOpenssl}) {
    CAPTURE(query);
    const KdfContext first = context_of(kKeySchedule, query);
    KdfCall asked = expand(Octets(500, 3), std::string(40, 'l'), {}, 40);
    REQUIRE(EVP_KDF_CTX_set_params(first.get(), params_of(asked).data()) == 1);
    CHECK(EVP_KDF_CTX_get_kdf_size(first.get()) == SIZE_MAX);
    const KdfContext second(EVP_KDF_CTX_dup(first.get()));
    if (!second && query == std::string(kOpenssl)) continue;  // it cannot before 3.1
    REQUIRE(second);
    EVP_KDF_CTX_reset(first.get());
    Octets out(40);
    CHECK(EVP_KDF_derive(first.get(), out.data(), out.size(), nullptr) != 1);
    REQUIRE(EVP_KDF_derive(second.get(), out.data(), out.size(), nullptr) == 1);
    CHECK(out == derive(kOpenssl, asked));
    REQUIRE(EVP_KDF_derive(second.get(), out.data(), out.size(), nullptr) == 1);
    CHECK(out == derive(kOpenssl, asked));

    // The mode in words, and a shorter key after a long one.
    KdfCall shorter = extract({}, Octets(32, 9));
    char word[] = "extract_only";
    auto params = params_of(shorter);
    params.front() = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, word, 0);
    REQUIRE(EVP_KDF_CTX_set_params(second.get(), params.data()) == 1);
    CHECK(EVP_KDF_CTX_get_kdf_size(second.get()) == 32);
    Octets hash(32);
    REQUIRE(EVP_KDF_derive(second.get(), hash.data(), hash.size(), nullptr) == 1);
    CHECK(hash == derive(kOpenssl, shorter));
    char unknown[] = "EXTRACT";
    params.front() = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, unknown, 0);
    CHECK(EVP_KDF_CTX_set_params(second.get(), params.data()) != 1);
    ERR_clear_error();
  }
}

TEST_CASE("key schedule: expand_label", "[tls][key_schedule]") {
  for (const std::size_t hash_size : {std::size_t{32}, std::size_t{48}}) {
    const Octets secret(hash_size, 5);
    for (const std::size_t size : {std::size_t{12}, std::size_t{16}, std::size_t{32}, std::size_t{48}}) {
      for (const std::string label : {"key", "iv", "traffic upd"}) {
        CAPTURE(hash_size, size, label);
        KdfCall asked = expand(secret, label, {}, size);
        asked.digest = hash_size == 32 ? "SHA256" : "SHA384";
        Octets out(size);
        REQUIRE(expand_label(hash_size, secret, label, out));
        CHECK(out == derive(kOpenssl, asked));
      }
    }
  }
  Octets out(16);
  CHECK_FALSE(expand_label(20, out, "key", out));
  CHECK_FALSE(expand_label(32, out, std::string(250, 'x'), out));
  out.resize(255 * 32 + 1);
  CHECK_FALSE(expand_label(32, Octets(32), "key", out));
}

namespace {

// Lines of NSS's key log ("LABEL client-random secret") by label.
using KeyLog = std::map<std::string, std::string>;

void keep_line(const SSL* ssl, const char* line) {
  const std::string text(line);
  (*static_cast<KeyLog*>(SSL_get_app_data(ssl)))[text.substr(0, text.find(' '))] =
      text.substr(text.rfind(' ') + 1);
}

// A server that uses our key schedule, and a client of OpenSSL's own, over memory.
class KeySchedulePair {
 public:
  explicit KeySchedulePair(const char* suites = "TLS_AES_128_GCM_SHA256", const Wanted& certificate = {})
      : identity_(issue(certificate)) {
    server_context_.reset(SSL_CTX_new_ex(nullptr, key_schedule_properties(), TLS_server_method()));
    client_context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_use_certificate(server_context_.get(), identity_.certificate.get());
    SSL_CTX_use_PrivateKey(server_context_.get(), identity_.key.get());
    SSL_CTX_set_ciphersuites(client_context_.get(), suites);
    SSL_CTX_set_keylog_callback(client_context_.get(), keep_line);
  }

  [[nodiscard]] SSL_CTX* client() const { return client_context_.get(); }

  // Empty: it failed.
  [[nodiscard]] std::optional<KeyLog> connect(TrafficSecrets* heard, bool resume = false) {
    const Owned<SSL> server(SSL_new(server_context_.get()));
    const Owned<SSL> client(SSL_new(client_context_.get()));
    BIO* up = BIO_new(BIO_s_mem());
    BIO* down = BIO_new(BIO_s_mem());
    BIO_up_ref(up);
    BIO_up_ref(down);
    SSL_set_bio(client.get(), down, up);
    SSL_set_bio(server.get(), up, down);
    SSL_set_accept_state(server.get());
    SSL_set_connect_state(client.get());
    KeyLog log;
    SSL_set_app_data(client.get(), &log);
    if (resume) SSL_set_session(client.get(), session_.get());
    for (int turn = 0; turn < 8; ++turn) {
      SSL_do_handshake(client.get());
      std::optional<SecretsTap> tap;
      if (heard != nullptr) tap.emplace(*heard);
      SSL_do_handshake(server.get());
    }
    char letter = 'x';
    char answer = 0;
    const bool talked = SSL_write(server.get(), &letter, 1) == 1 && SSL_read(client.get(), &answer, 1) == 1 &&
                        SSL_write(client.get(), &letter, 1) == 1 && SSL_read(server.get(), &answer, 1) == 1;
    ERR_clear_error();
    if (!talked || (SSL_session_reused(client.get()) == 1) != resume) return std::nullopt;
    session_.reset(SSL_get1_session(client.get()));
    SSL_shutdown(client.get());
    return log;
  }

 private:
  Identity identity_;
  Owned<SSL_CTX> server_context_, client_context_;
  Owned<SSL_SESSION> session_;
};

}  // namespace

TEST_CASE("key schedule: handshakes, and what the tap hears", "[tls][key_schedule]") {
  struct Suite {
    const char* name;
    std::size_t hash_size;
  };
  for (const Suite suite : {Suite{"TLS_AES_128_GCM_SHA256", 32}, Suite{"TLS_AES_256_GCM_SHA384", 48},
                            Suite{"TLS_CHACHA20_POLY1305_SHA256", 32}}) {
    KeySchedulePair pair(suite.name);
    for (const bool resumed : {false, true}) {
      CAPTURE(suite.name, resumed);
      TrafficSecrets heard;
      const auto log = pair.connect(&heard, resumed);
      REQUIRE(log);
      CHECK(heard.size == suite.hash_size);
      CHECK(heard.has_client);
      CHECK(heard.has_server);
      CHECK(in_hex(std::span(heard.client).first(heard.size)) == log->at("CLIENT_TRAFFIC_SECRET_0"));
      CHECK(in_hex(std::span(heard.server).first(heard.size)) == log->at("SERVER_TRAFFIC_SECRET_0"));
      heard.clear();
      CHECK(heard.size == 0);
      CHECK_FALSE(heard.has_client);
      CHECK_FALSE(heard.has_server);
      CHECK(std::count(heard.client.begin(), heard.client.end(), 0) == 48);
    }
    // No tap, nothing heard; one that is gone hears nothing either.
    TrafficSecrets heard;
    { const SecretsTap gone(heard); }
    REQUIRE(pair.connect(nullptr, true));
    CHECK(heard.size == 0);
    CHECK_FALSE(heard.has_client);
  }
}

// All that libssl looks up for such a context is looked up by our query.
TEST_CASE("key schedule: other keys, groups and TLS 1.2 work as before", "[tls][key_schedule]") {
  const Owned<EVP_PKEY> edwards(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  std::map<std::string, Wanted> certificates;
  certificates["rsa"].rsa = true;
  certificates["p-384"].curve = "P-384";
  certificates["ed25519"].key = edwards.get();
  certificates["ed25519"].digest = nullptr;
  for (const auto& [name, certificate] : certificates) {
    KeySchedulePair pair("TLS_AES_128_GCM_SHA256", certificate);
    for (const char* group : {"X25519", "P-256", "P-384", "X448", "ffdhe2048"}) {
      CAPTURE(name, group);
      REQUIRE(SSL_CTX_set1_groups_list(pair.client(), group) == 1);
      TrafficSecrets heard;
      CHECK(pair.connect(&heard));
      CHECK(heard.size == 32);
    }
    REQUIRE(SSL_CTX_set1_groups_list(pair.client(), "X25519:P-384") == 1);
    SSL_CTX_set_max_proto_version(pair.client(), TLS1_2_VERSION);
    CAPTURE(name);
    TrafficSecrets heard;
    CHECK(pair.connect(&heard));
    CHECK(pair.connect(&heard, true));
    CHECK(heard.size == 0);
  }
}

TEST_CASE("key schedule: two threads at once, each with its own tap", "[tls][key_schedule]") {
  const auto run = [](KeySchedulePair& pair, int& good) {
    for (int i = 0; i < 50; ++i) {
      TrafficSecrets heard;
      const auto log = pair.connect(&heard, i % 2 == 1);
      if (log && in_hex(std::span(heard.client).first(heard.size)) == log->at("CLIENT_TRAFFIC_SECRET_0") &&
          in_hex(std::span(heard.server).first(heard.size)) == log->at("SERVER_TRAFFIC_SECRET_0")) {
        ++good;
      }
    }
  };
  int first = 0;
  int second = 0;
  KeySchedulePair here;
  KeySchedulePair there;
  std::thread other([&] { run(there, second); });
  run(here, first);
  other.join();
  CHECK(first == 50);
  CHECK(second == 50);
}
