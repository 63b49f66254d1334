// Fingerprints are compared with lists that others publish: one byte off and they match nobody.
#include "sallyport/tls/fingerprint.hpp"

#include <initializer_list>

#include "catch.hpp"
#include "hello_bytes.hpp"

using namespace sallyport::tls;
using namespace tls_test;

namespace {

std::string list16(std::initializer_list<std::size_t> values) {
  std::string list;
  for (const std::size_t value : values) list += u16(value);
  return list;
}

// The hello that FoxIO's description of JA4 takes as its example (Chrome), GREASE added.
std::string chrome_suites() {
  return list16({0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
                 0xc014, 0x009c, 0x009d, 0x002f, 0x0035});
}
std::string chrome_extensions(bool signatures = true) {
  std::string sigalgs;
  if (signatures) {
    sigalgs = list16({0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601});
  } else {
    sigalgs = list16({0x0a0a});  // GREASE alone: as if there were none
  }
  return extension(0x1a1a, "") + extension(0x001b, "x") + sni_extension("a.example") +
         extension(0x0033, with16(u16(0x001d) + with16("k"))) +
         extension(0x0010, with16(with8("h2") + with8("http/1.1"))) + extension(0x4469, "") +
         extension(0x0017, "") + extension(0x002d, "x") + extension(0x000d, with16(sigalgs)) +
         extension(0x0005, "") + extension(0x0023, "") + extension(0x0012, "") +
         extension(0x002b, with8(list16({0x5a5a, 0x0304, 0x0303}))) + extension(0xff01, u8(0)) +
         extension(0x000b, with8(u8(0))) + extension(0x000a, with16(list16({0x2a2a, 0x001d, 0x0017}))) +
         extension(0x0015, "");
}

struct Parsed {
  HelloReader reader;
  explicit Parsed(const std::string& handshake) {
    REQUIRE(reader.feed(records(handshake)) == HelloReader::State::complete);
  }
  [[nodiscard]] const ClientHello& hello() const { return reader.hello(); }
};

std::string with_version(std::string handshake, std::size_t version) {
  return handshake.replace(4, 2, u16(version));
}

}  // namespace

TEST_CASE("JA4 is what its description says of its example") {
  const Parsed chrome(message(chrome_extensions(), chrome_suites()));
  CHECK(ja4(chrome.hello()) == "t13d1516h2_8daaf6152771_e5627efa2ab1");
  CHECK(ja4_raw(chrome.hello()) ==
        "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_"
        "0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_"
        "0403,0804,0401,0503,0805,0501,0806,0601");
}

TEST_CASE("JA4 without signature algorithms hashes the extensions alone") {
  const Parsed unsigned_hello(message(chrome_extensions(false), chrome_suites()));
  CHECK(ja4(unsigned_hello.hello()) == "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

TEST_CASE("JA4 of a hello with nothing in it") {
  const Parsed bare(message("", u16(0x0a0a)));
  CHECK(ja4(bare.hello()) == "t12i000000_000000000000_000000000000");
  const auto front = [](const std::string& handshake) {
    return ja4(Parsed(handshake).hello()).substr(0, 10);
  };
  CHECK(front(with_version(message(""), 0x0301)) == "t10i010000");
  CHECK(front(with_version(message(""), 0x0302)) == "t11i010000");
  CHECK(front(with_version(message(""), 0x0300)) == "ts3i010000");
  CHECK(front(with_version(message(""), 0x1234)) == "t00i010000");
}

TEST_CASE("JA4 counts to 99 at most") {
  std::string suites;
  std::string extensions;
  for (std::size_t i = 0; i < 120; ++i) suites += u16(0xc001 + i);
  for (std::size_t i = 0; i < 120; ++i) extensions += extension(0x1000 + i, "");
  CHECK(ja4(Parsed(message(extensions, suites)).hello()).substr(0, 10) == "t12i999900");
}

TEST_CASE("JA4 shows an ALPN name that is no text in hex") {
  const auto word = [](const std::string& name) {
    const Parsed parsed(message(extension(0x0010, with16(with8(name)))));
    return ja4(parsed.hello()).substr(8, 2);
  };
  CHECK(word("h2") == "h2");
  CHECK(word("http/1.1") == "h1");
  CHECK(word("x") == "xx");
  CHECK(word("\xab") == "ab");
  CHECK(word("\xab\xcd") == "ad");
  CHECK(word("\x30\xab") == "3b");
  CHECK(word("\x30\x31\xab\xcd") == "3d");
  CHECK(word("\x30\xab\xcd\x31") == "01");
}

TEST_CASE("JA3 is what its authors say of their examples") {
  const std::string extensions = sni_extension("a.example") +
                                 extension(0x000a, with16(list16({0x0a0a, 23, 24, 25}))) +
                                 extension(0x000b, with8(u8(0)));
  const Parsed first(with_version(
      message(extensions, list16({47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4})), 769));
  CHECK(ja3_text(first.hello()) == "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
  CHECK(ja3(first.hello()) == "ada70206e40642a3e4461f35503241d5");
  const Parsed second(with_version(message("", list16({4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99})), 769));
  CHECK(ja3_text(second.hello()) == "769,4-5-10-9-100-98-3-6-19-18-99,,,");
  CHECK(ja3(second.hello()) == "de350869b8c85de67a350c8d186f11e6");
}

TEST_CASE("a list of point formats that lies about its length is not read beyond its end") {
  const Parsed cut(message(extension(0x000b, u8(200) + u8(0) + u8(1))));
  CHECK(ja3_text(cut.hello()).ends_with(",0-1"));
  const Parsed empty(message(extension(0x000b, "")));
  CHECK(ja3_text(empty.hello()).ends_with(",11,,"));
}
