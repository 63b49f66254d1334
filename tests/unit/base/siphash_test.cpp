// The digests are SipHash-2-4-128's own, as `openssl mac -macopt size:16 SIPHASH` gives them.
#include "sallyport/base/siphash.hpp"

#include <string>

#include "catch.hpp"

using namespace sallyport::base;

TEST_CASE("siphash: known digests at every length of the last word that matters") {
  const SipHash hash({0x0706050403020100, 0x0f0e0d0c0b0a0908});
  const auto of = [&hash](int length) {
    std::string text;
    for (int i = 0; i < length; ++i) text += static_cast<char>(i);
    return hash(text);
  };
  CHECK(of(0) == Digest{0xe6a825ba047f81a3, 0x930255c71472f66d});
  CHECK(of(1) == Digest{0x44af996bd8c187da, 0x45fc229b11597634});
  CHECK(of(8) == Digest{0x61f55862baa9623b, 0xb49714f364e2830f});
  CHECK(of(15) == Digest{0x11a8b03399e99354, 0xd9c3cf970fec087e});
}

TEST_CASE("siphash: another key, another digest") {
  const SipHash a(SipHash::random_key());
  const SipHash b(SipHash::random_key());
  const std::string text = "192.0.2.1";
  CHECK(a(text) == a(text));
  CHECK(a(text) != b(text));
}
