// What a server answers is read in any segmentation, and nothing that it sends is believed further than
// its bytes go: a length that lies, a message without end, a second HelloRetryRequest.
#include "sallyport/tls/server_answer.hpp"

#include "catch.hpp"
#include "hello_bytes.hpp"

using sallyport::tls::AnswerReader;
using sallyport::tls::ServerAnswer;
using AnswerState = AnswerReader::State;
using namespace tls_test;

namespace {

std::string record(int type, const std::string& body, int version = 0x0303) {
  return u8(static_cast<std::size_t>(type)) + u16(static_cast<std::size_t>(version)) + with16(body);
}
std::string handshake(int type, const std::string& body) {
  return u8(static_cast<std::size_t>(type)) + u8(body.size() >> 16) + u16(body.size() & 0xffff) + body;
}
std::string server_hello(const std::string& extensions, std::size_t suite = 0x1301,
                         const std::string& random = std::string(32, 'r')) {
  return handshake(2, u16(0x0303) + random + with8("") + u16(suite) + u8(0) + with16(extensions));
}
std::string retry_random() {
  static const unsigned char bytes[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                        0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                        0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
  return {reinterpret_cast<const char*>(bytes), sizeof bytes};
}
const std::string kVersion13 = extension(43, u16(0x0304));
std::string share(std::size_t group) {
  return extension(51, u16(group) + with16(std::string(32, 'k')));
}

// Every split point, and byte by byte, must say the same as the whole.
AnswerReader read(const std::string& bytes) {
  AnswerReader whole;
  whole.feed(bytes);
  AnswerReader slow;
  for (const char& byte : bytes) slow.feed({&byte, 1});
  CHECK(slow.state() == whole.state());
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    AnswerReader cut;
    cut.feed({bytes.data(), at});
    cut.feed({bytes.data() + at, bytes.size() - at});
    if (cut.state() != whole.state() || cut.answer().version != whole.answer().version ||
        cut.answer().group != whole.answer().group || cut.answer().alert != whole.answer().alert ||
        cut.answer().first_line != whole.answer().first_line)
      FAIL("cut at " << at);
  }
  return whole;
}

}  // namespace

TEST_CASE("a ServerHello of TLS 1.3 is all that can be read of it") {
  const AnswerReader reader = read(record(22, server_hello(kVersion13 + share(0x11ec))) + record(20, "\x01") +
                                   record(23, std::string(50, 'x')));
  CHECK(reader.state() == AnswerState::sealed);
  CHECK(reader.answer().hello);
  CHECK_FALSE(reader.answer().retry);
  CHECK(reader.answer().version == 0x0304);
  CHECK(reader.answer().suite == 0x1301);
  CHECK(reader.answer().group == 0x11ec);
}

TEST_CASE("a HelloRetryRequest names the group and may come once") {
  const std::string retry =
      record(22, server_hello(kVersion13 + extension(51, u16(0x0018)), 0x1302, retry_random()));
  const AnswerReader reader = read(retry);
  CHECK(reader.state() == AnswerState::need_more);
  CHECK(reader.answer().retry);
  CHECK_FALSE(reader.answer().hello);
  CHECK(reader.answer().group == 0x0018);
  const AnswerReader second =
      read(retry + record(20, "\x01") + record(22, server_hello(kVersion13 + share(0x18))));
  CHECK(second.state() == AnswerState::sealed);
  CHECK((second.answer().hello && second.answer().retry));
  CHECK(read(retry + retry).state() == AnswerState::broken);
}

TEST_CASE("the flight of TLS 1.2 is read to its end") {
  const std::string leaf(300, 'c');
  const std::string flight =
      server_hello(extension(16, with16(with8("h2"))), 0xc02b) +
      handshake(11, u8(0) + u16(leaf.size() + 3) + u8(0) + u16(leaf.size()) + leaf) +
      handshake(12, u8(3) + u16(0x0017) + with8(std::string(65, 'p')) + u16(0x0403) + with16("signature")) +
      handshake(13, "x") + handshake(14, "");
  const auto check = [&](const AnswerReader& reader) {
    const ServerAnswer& answer = reader.answer();
    CHECK(reader.state() == AnswerState::sealed);
    CHECK(answer.version == 0x0303);
    CHECK(answer.suite == 0xc02b);
    CHECK(answer.alpn == "h2");
    CHECK(answer.group == 0x0017);
    CHECK(answer.signature == 0x0403);
    CHECK(answer.leaf.size() == leaf.size());
    CHECK(answer.certificate_requested);
    CHECK(answer.flight_done);
  };
  check(read(record(22, flight)));
  // A message may be cut over records, and a record may hold several.
  std::string pieces;
  for (std::size_t at = 0; at < flight.size(); at += 41) pieces += record(22, flight.substr(at, 41));
  check(read(pieces));
}

TEST_CASE("an alert ends it, a warning that the name is not known does not") {
  const AnswerReader refused = read(record(21, "\x02\x28"));
  CHECK(refused.state() == AnswerState::alert);
  CHECK(refused.answer().alert == 40);
  const AnswerReader warned =
      read(record(21, "\x01\x70") + record(22, server_hello(kVersion13 + share(0x001d))));
  CHECK(warned.state() == AnswerState::sealed);
  CHECK_FALSE(warned.answer().alert);
}

TEST_CASE("what is no TLS is kept by its first line") {
  CHECK(read("HTTP/1.1 400 Bad Request\r\nServer: x\r\n").answer().first_line == "HTTP/1.1 400 Bad Request");
  CHECK(read("220 mail.test ESMTP\r\n").state() == AnswerState::not_tls);
  CHECK(read("\x16\x02junk").state() == AnswerState::not_tls);
  const AnswerReader endless = read(std::string(1000, 'x'));
  CHECK(endless.answer().first_line.size() == AnswerReader::kFirstLine);
  CHECK(endless.line_done());
}

TEST_CASE("lengths that lie, and messages out of place, are broken") {
  CHECK(read(record(22, "")).state() == AnswerState::broken);
  CHECK(read(record(23, "early")).state() == AnswerState::broken);
  CHECK(read(record(20, "\x01")).state() == AnswerState::broken);
  CHECK(read(record(21, "\x02")).state() == AnswerState::broken);
  CHECK(read(u8(22) + u16(0x0303) + u16(0xffff)).state() ==
        AnswerState::broken);                                                 // longer than a record may be
  CHECK(read(record(22, handshake(14, ""))).state() == AnswerState::broken);  // before a ServerHello
  CHECK(read(record(22, handshake(2, u16(0x0303) + "short"))).state() == AnswerState::broken);
  CHECK(read(record(22, server_hello(u16(43) + u16(9) + "x"))).state() == AnswerState::broken);
  CHECK(read(record(22, server_hello(extension(51, "x")))).state() == AnswerState::broken);
  CHECK(read(record(22, server_hello("") + server_hello(""))).state() == AnswerState::broken);
  CHECK(read(record(22, server_hello("", 0xc02b) + handshake(11, u8(0) + u16(9) + "x"))).state() ==
        AnswerState::broken);
  CHECK(read(record(22, u8(2) + u8(0xff) + u16(0xffff))).state() ==
        AnswerState::broken);  // 16 MiB of a message
}

TEST_CASE("a message that never ends is given up") {
  AnswerReader reader;
  reader.feed(record(22, u8(2) + u8(1) + u16(0xff00)));
  const std::string more = record(22, std::string(16384, 'x'));
  int fed = 0;
  while (reader.state() == AnswerState::need_more && fed < 100) {
    reader.feed(more);
    ++fed;
  }
  CHECK(reader.state() == AnswerState::broken);
  CHECK(fed <= 8);
}
