// The hellos that are made by hand are hellos: our own strict reader takes them, in one piece and cut,
// with what the kind of client is said to offer, in its order.
#include "sallyport/tls/probe.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "sallyport/tls/hello.hpp"

#include "catch.hpp"
#include "probe_hello.hpp"
#include "suites.hpp"
#include "wire.hpp"

using namespace sallyport::tls;

TEST_CASE("Cloudflare's offer stands in the hello in its order") {
  HelloOffer offer = cloudflare_offer();
  offer.sni = "www.example.com";
  const std::string message = hello_message(offer);
  CHECK(message.size() > 1400);  // two packets
  HelloReader reader;
  REQUIRE(reader.feed(hello_records(message)) == HelloReader::State::complete);
  const ClientHello& hello = reader.hello();
  CHECK(hello.sni == "www.example.com");
  CHECK(values_of(hello.cipher_suites) == std::vector<std::uint16_t>{0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f,
                                                                     0xc013, 0x009c, 0x002f, 0xc02c, 0xc030,
                                                                     0xc028, 0x0035});
  CHECK(offers_as_cloudflare(hello.cipher_suites));
  CHECK(values_of(hello.groups) == std::vector<std::uint16_t>{0x11ec, 0x001d, 0x0017, 0x0018});
  CHECK(values_of(hello.supported_versions) == std::vector<std::uint16_t>{0x0304, 0x0303});
  CHECK(hello.offers_key_share(0x11ec));
  CHECK(hello.offers_key_share(0x001d));
  CHECK((hello.alpn.contains("h2") && hello.alpn.contains("http/1.1")));
}

TEST_CASE("a hello may be cut into records anywhere") {
  const std::string message = hello_message(post_quantum_offer());
  for (const std::size_t first : {std::size_t{1}, std::size_t{4}, message.size() / 2, message.size() - 1}) {
    HelloReader reader;
    const std::string records = hello_records(message, first);
    CHECK(records.size() == message.size() + 10);
    REQUIRE(reader.feed(records) == HelloReader::State::complete);
    CHECK(reader.hello().segmented);
    CHECK(values_of(reader.hello().supported_versions) == std::vector<std::uint16_t>{0x0304});
  }
}

TEST_CASE("a client of TLS 1.1 offers nothing newer") {
  HelloReader reader;
  REQUIRE(reader.feed(hello_records(hello_message(legacy_offer()))) == HelloReader::State::complete);
  CHECK(reader.hello().legacy_version == 0x0302);
  CHECK(reader.hello().supported_versions.empty());
  CHECK_FALSE(reader.hello().has_key_share);
  CHECK(reader.hello().sni_state == SniState::absent);
}

TEST_CASE("a made-up key of ML-KEM-768 has its form") {
  const std::string key = random_mlkem768_key();
  REQUIRE(key.size() == 1184);
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(key[i])); };
  std::set<unsigned> seen;
  for (std::size_t i = 0; i < 1152; i += 3) {
    for (const unsigned coefficient :
         {byte(i) | (byte(i + 1) & 0xf) << 8, byte(i + 1) >> 4 | byte(i + 2) << 4}) {
      CHECK(coefficient < 3329);
      seen.insert(coefficient);
    }
  }
  CHECK(seen.size() > 500);
  CHECK(key != random_mlkem768_key());
}

TEST_CASE("each kind of client is found by its name") {
  REQUIRE(probe_kinds().size() == kProbeKinds);
  for (const ProbeKindText& one : probe_kinds()) {
    CHECK(find_probe_kind(one.name) == one.kind);
    CHECK(&about(one.kind) == &one);
  }
  CHECK_FALSE(find_probe_kind("ie6"));
}
