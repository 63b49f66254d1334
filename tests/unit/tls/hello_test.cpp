#include "sallyport/tls/hello.hpp"

#include <algorithm>
#include <vector>

#include "catch.hpp"
#include "hello_bytes.hpp"

using namespace sallyport::tls;
using namespace tls_test;
using HelloState = HelloReader::State;

namespace {

std::string browser_like() {
  return real_hello([](SSL* ssl) {
    set_sni(ssl, "WWW.Example.COM");
    set_alpn(ssl, "\x02h2\x08http/1.1");
    SSL_set1_groups_list(ssl, "X25519:P-256");
  });
}

void check_browser_like(const ClientHello& hello) {
  CHECK(hello.sni_state == SniState::valid);
  CHECK(hello.sni == "www.example.com");
  CHECK(hello.has_alpn);
  CHECK(hello.alpn.contains("h2"));
  CHECK(hello.alpn.contains("http/1.1"));
  CHECK_FALSE(hello.alpn.contains("http/1"));
  CHECK(hello.offers(Version::tls13));
  CHECK(hello.offers(Version::tls12));
  CHECK(hello.cipher_suites.contains(0x1301));
  CHECK(hello.groups.contains(29));
  CHECK(hello.groups.contains(23));
  CHECK_FALSE(hello.groups.contains(24));
  CHECK(hello.offers_key_share(29));
  CHECK_FALSE(hello.offers_key_share(23));
  CHECK(hello.signature_algorithms.contains(0x0403));
  CHECK_FALSE(hello.has_psk);
  CHECK_FALSE(hello.has_early_data);
  CHECK_FALSE(hello.has_ech);
}

HelloFault fault_of(const std::string& bytes, std::size_t limit = HelloReader::kMaxMessage) {
  HelloReader reader(limit);
  CHECK(reader.feed(bytes) == HelloState::failed);
  return reader.fault();
}

}  // namespace

TEST_CASE("a real ClientHello is read whole, at every split point") {
  const std::string bytes = browser_like();
  HelloReader whole;
  REQUIRE(whole.feed(bytes) == HelloState::complete);
  check_browser_like(whole.hello());
  CHECK_FALSE(whole.hello().segmented);
  for (std::size_t split = 1; split < bytes.size(); ++split) {
    INFO(split);
    HelloReader reader;
    REQUIRE(reader.feed(std::string_view(bytes).substr(0, split)) == HelloState::need_more);
    REQUIRE(reader.feed(std::string_view(bytes).substr(split)) == HelloState::complete);
    REQUIRE(reader.hello().sni == "www.example.com");
    REQUIRE(reader.hello().segmented);
    REQUIRE(std::equal(reader.message().begin(), reader.message().end(), whole.message().begin(),
                       whole.message().end()));
  }
}

TEST_CASE("a real ClientHello is read byte by byte and over records of every size") {
  const std::string bytes = browser_like();
  HelloReader slow;
  for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
    REQUIRE(slow.feed({bytes.data() + i, 1}) == HelloState::need_more);
  }
  REQUIRE(slow.feed({bytes.data() + bytes.size() - 1, 1}) == HelloState::complete);
  check_browser_like(slow.hello());

  const std::string handshake = bytes.substr(5);
  for (std::size_t fragment = 1; fragment <= handshake.size(); ++fragment) {
    INFO(fragment);
    const std::string cut = records(handshake, fragment);
    HelloReader reader;
    REQUIRE(reader.feed(cut) == HelloState::complete);
    REQUIRE(reader.hello().sni == "www.example.com");
    REQUIRE(reader.hello().segmented == (fragment < handshake.size()));
  }
}

TEST_CASE("bytes behind the hello are not its business") {
  HelloReader reader;
  CHECK(reader.feed(browser_like() + "\x17\x03\x03 early data") == HelloState::complete);
  CHECK(reader.feed("GET / ") == HelloState::complete);
}

TEST_CASE("a hello without SNI or ALPN, and one of TLS 1.2") {
  HelloReader plain;
  REQUIRE(plain.feed(real_hello()) == HelloState::complete);
  CHECK(plain.hello().sni_state == SniState::absent);
  CHECK_FALSE(plain.hello().has_alpn);

  HelloReader old;
  REQUIRE(old.feed(real_hello([](SSL* ssl) { SSL_set_max_proto_version(ssl, TLS1_2_VERSION); })) ==
          HelloState::complete);
  CHECK(old.hello().offers(Version::tls12));
  CHECK_FALSE(old.hello().offers(Version::tls13));
}

TEST_CASE("no list fits outside what encloses it: every length byte off by one is malformed or harmless") {
  const std::string bytes = browser_like();
  for (std::size_t at = 9; at < bytes.size(); ++at) {
    for (const int change : {-1, 1, 0x80}) {
      std::string broken = bytes;
      broken[at] = static_cast<char>(broken[at] + change);
      HelloReader reader;
      reader.feed(broken);  // ASan watches
      REQUIRE(reader.state() != HelloState::need_more);
    }
  }
}

TEST_CASE("GREASE is skipped in every list") {
  const std::string suites = u16(0x0a0a) + u16(0x1301) + u16(0xfafa);
  const std::string groups = extension(10, with16(u16(0x1a1a) + u16(29)));
  const std::string versions = extension(43, with8(u16(0x2a2a) + u16(0x0304)));
  HelloReader reader;
  REQUIRE(reader.feed(records(message(extension(0x3a3a, "") + groups + versions, suites))) ==
          HelloState::complete);
  std::vector<std::uint16_t> seen;
  for (const std::uint16_t suite : reader.hello().cipher_suites) seen.push_back(suite);
  CHECK(seen == std::vector<std::uint16_t>{0x1301});
  CHECK(reader.hello().groups.contains(29));
  CHECK_FALSE(reader.hello().groups.contains(0x1a1a));
  CHECK(reader.hello().offers(Version::tls13));
  CHECK_FALSE(reader.hello().offers(Version::tls12));
}

TEST_CASE("presence of PSK, early data, ECH and a ticket is told") {
  const std::string list =
      extension(35, "ticket") + extension(42, "") + extension(0xfe0d, "x") + extension(41, "p");
  HelloReader reader;
  REQUIRE(reader.feed(records(message(list))) == HelloState::complete);
  CHECK(reader.hello().has_session_ticket);
  CHECK(reader.hello().has_early_data);
  CHECK(reader.hello().has_ech);
  CHECK(reader.hello().has_psk);
  std::size_t at = 0;
  Extension each;
  std::vector<std::uint16_t> types;
  while (reader.hello().extensions.next(at, each)) types.push_back(each.type);
  CHECK(types == std::vector<std::uint16_t>{35, 42, 0xfe0d, 41});
}

TEST_CASE("server names are normalised, and what is none is invalid") {
  struct Row {
    const char* sent;
    SniState state;
    const char* name;
  };
  const Row rows[] = {{"Example.COM", SniState::valid, "example.com"},
                      {"example.com.", SniState::valid, "example.com"},
                      {"a_b-c.example", SniState::valid, "a_b-c.example"},
                      {"localhost", SniState::valid, "localhost"},
                      {"192.0.2.1", SniState::invalid, ""},
                      {"2001:db8::1", SniState::invalid, ""},
                      {"example.com..", SniState::invalid, ""},
                      {".example.com", SniState::invalid, ""},
                      {"a..b", SniState::invalid, ""},
                      {".", SniState::invalid, ""},
                      {"exa mple.com", SniState::invalid, ""},
                      {"*.example.com", SniState::invalid, ""},
                      {"ex\xc3\xa4mple.com", SniState::invalid, ""},
                      {"example.com/../", SniState::invalid, ""}};
  for (const Row& row : rows) {
    INFO(row.sent);
    HelloReader reader;
    REQUIRE(reader.feed(records(message(sni_extension(row.sent)))) == HelloState::complete);
    CHECK(reader.hello().sni_state == row.state);
    CHECK(reader.hello().sni == row.name);
  }
  HelloReader nul;
  REQUIRE(nul.feed(records(message(sni_extension(std::string("a.example\0.b", 12))))) ==
          HelloState::complete);
  CHECK(nul.hello().sni_state == SniState::invalid);
  CHECK(is_host_name(std::string(63, 'a') + ".example"));
  CHECK_FALSE(is_host_name(std::string(64, 'a') + ".example"));
}

TEST_CASE("two server names, which two readers may understand differently, are refused") {
  CHECK(fault_of(records(message(sni_extension("a.example") + sni_extension("b.example")))) ==
        HelloFault::malformed);
  const std::string two = extension(0, with16(u8(0) + with16("a.example") + u8(0) + with16("b.example")));
  CHECK(fault_of(records(message(two))) == HelloFault::malformed);
  CHECK(fault_of(records(message(extension(0, with16(u8(1) + with16("a.example")))))) ==
        HelloFault::malformed);
  CHECK(fault_of(records(message(sni_extension("")))) == HelloFault::malformed);
}

TEST_CASE("broken hellos are told apart") {
  CHECK(fault_of(records(message(extension(41, "psk") + extension(42, "")))) == HelloFault::malformed);
  CHECK(fault_of(records(message(extension(16, with16(""))))) == HelloFault::malformed);
  CHECK(fault_of(records(message(extension(16, with16(with8("h2") + with8("")))))) == HelloFault::malformed);
  CHECK(fault_of(records(message(extension(10, with16("abc"))))) == HelloFault::malformed);
  CHECK(fault_of(records(message(extension(51, with16(u16(29) + with16("")))))) == HelloFault::malformed);
  CHECK(fault_of(records(message("", ""))) == HelloFault::malformed);
  CHECK(fault_of(records("\x02" + message("").substr(1))) == HelloFault::malformed);
  CHECK(fault_of("\x16\x02\x00") == HelloFault::bad_record);
  CHECK(fault_of(u8(22) + u16(0x0301) + u16(0)) == HelloFault::bad_record);
  CHECK(fault_of(u8(22) + u16(0x0301) + u16(16385)) == HelloFault::bad_record);
}

TEST_CASE("a record of another type between the pieces of a hello is refused") {
  const std::string pieces = records(message(""), 10);
  std::string broken = pieces;
  broken[15] = 23;
  CHECK(fault_of(broken) == HelloFault::bad_record);
}

TEST_CASE("a hello over the bound is refused by its declared size, before it is kept") {
  const std::string large = message(extension(21, std::string(16 * 1024, 'p')));
  CHECK(fault_of(records(large)) == HelloFault::too_large);
  HelloReader early;
  CHECK(early.feed(records(large).substr(0, 9)) == HelloState::failed);
  CHECK(early.fault() == HelloFault::too_large);

  const std::string fits = message(extension(21, std::string(16 * 1024 - 100, 'p')));
  HelloReader reader;
  CHECK(reader.feed(records(fits)) == HelloState::complete);
  CHECK(fault_of(records(fits), 8 * 1024) == HelloFault::too_large);
  // A flood of one-byte records is bounded too.
  CHECK(fault_of(records(fits, 1)) == HelloFault::too_large);
}

TEST_CASE("plain HTTP is told from other bytes that are no TLS, at every split point") {
  for (const char* request :
       {"GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\n", "CONNECT a:1 "}) {
    const std::string_view bytes = request;
    const std::size_t method = bytes.find(' ') + 1;
    for (std::size_t split = 1; split < bytes.size(); ++split) {
      HelloReader reader;
      reader.feed(bytes.substr(0, split));
      CHECK(reader.state() == (split < method ? HelloState::need_more : HelloState::failed));
      reader.feed(bytes.substr(split));
      CHECK(reader.fault() == HelloFault::plain_http);
    }
  }
  CHECK(fault_of("SSH-2.0-OpenSSH") == HelloFault::not_tls);
  CHECK(fault_of("GETTING") == HelloFault::not_tls);
  CHECK(fault_of(std::string("\x80\x2e\x01", 3)) == HelloFault::not_tls);
  CHECK(fault_of(std::string("\0\0", 2)) == HelloFault::not_tls);
}

TEST_CASE("a balancer's header and an alert are told from other bytes, at every split point") {
  const std::string alert = u8(21) + u16(0x0303) + u16(2) + u8(2) + u8(80);
  const std::string v2("\r\n\r\n\0\r\nQUIT\n", 12);
  const std::pair<std::string, HelloFault> rows[] = {{"PROXY TCP4 1.2.3.4 ", HelloFault::proxy_header},
                                                     {v2, HelloFault::proxy_header},
                                                     {alert, HelloFault::alert}};
  for (const auto& [bytes, fault] : rows) {
    for (std::size_t split = 1; split < bytes.size(); ++split) {
      HelloReader reader;
      reader.feed(bytes.substr(0, split));
      reader.feed(bytes.substr(split));
      CHECK(reader.fault() == fault);
      if (fault == HelloFault::alert) CHECK(reader.alert() == 80);
    }
  }
  CHECK(fault_of(u8(21) + u16(0x0303) + u16(3)) == HelloFault::not_tls);
  CHECK(fault_of(u8(21) + u8(2)) == HelloFault::not_tls);
  CHECK(fault_of("PROXX") == HelloFault::not_tls);
}

TEST_CASE("a reader knows whether anything came at all") {
  HelloReader reader;
  CHECK_FALSE(reader.started());
  CHECK(reader.feed({}) == HelloState::need_more);
  CHECK_FALSE(reader.started());
  reader.feed("\x16");
  CHECK(reader.started());
}
