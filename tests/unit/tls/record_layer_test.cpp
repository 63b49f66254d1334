// The record layer that takes over from OpenSSL once a TLS 1.3 handshake is done: RFC 8448's records, each
// suite against itself with every cut, what is refused and with which alert, and changes of keys.
#include "record_layer.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "sallyport/tls/names.hpp"

#include "catch.hpp"

using namespace sallyport;
using tls::RecordKeys;
using tls::RecordLayer;

namespace {

constexpr std::uint8_t kAlertType = 21;
constexpr std::uint8_t kHandshakeType = 22;
constexpr std::uint8_t kDataType = 23;

std::string record_bytes(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  return bytes;
}

std::vector<std::uint8_t> record_octets(std::string_view bytes) {
  return {bytes.begin(), bytes.end()};
}

struct Wire final : tls::RecordSink {
  base::Buffer out;
  bool dead = false;
  std::span<char> prepare(std::size_t n) override { return dead ? std::span<char>() : out.prepare(n); }
  void commit(std::size_t n) override { out.commit(n); }
  std::string take() {
    std::string bytes(out.view());
    out.clear();
    return bytes;
  }
};

// One end: `write_secret` is what the other reads by.
struct End {
  End(std::uint16_t number, std::uint8_t read_fill, std::uint8_t write_fill)
      : read_secret(48, read_fill), write_secret(48, write_fill) {
    start = {tls::record_suite(number), read_secret, write_secret};
    REQUIRE(start.suite != nullptr);
  }
  RecordLayer& layer() {
    if (!made) made = std::make_unique<RecordLayer>(start, wire);
    return *made;
  }
  // Hands `bytes` in by pieces and collects what comes out.
  RecordLayer::End read(std::string_view bytes, std::size_t piece = SIZE_MAX, std::size_t room = 64 * 1024) {
    RecordLayer::End end = RecordLayer::End::want_read;
    std::vector<char> space(room);
    while (!bytes.empty() && end == RecordLayer::End::want_read) {
      std::span<const char> in = bytes.substr(0, std::min(piece, bytes.size()));
      bytes.remove_prefix(in.size());
      do {
        const RecordLayer::Read read = layer().read(in, space);
        received.append(space.data(), read.size);
        end = read.end;
      } while (end == RecordLayer::End::more);
      if (end == RecordLayer::End::want_read) REQUIRE(in.empty());
    }
    return end;
  }

  std::vector<std::uint8_t> read_secret, write_secret;
  RecordLayer::Start start{};
  Wire wire;
  std::unique_ptr<RecordLayer> made;
  std::string received;
};

// A peer that seals what no peer should.
struct Forger {
  explicit Forger(const End& victim) : keys(*victim.start.suite, victim.start.read_secret, 0, true) {}
  std::string seal(std::uint8_t type, std::string_view plain) {
    std::string record(RecordKeys::kHeader + plain.size() + 1 + RecordKeys::kTag, '\0');
    REQUIRE(keys.seal(type, plain, record));
    return record;
  }
  RecordKeys keys;
};

std::string pattern(std::size_t n) {
  std::string text(n, '\0');
  for (std::size_t i = 0; i < n; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  return text;
}

const std::string kUpdateAsked = record_bytes("1800000101");
const std::string kUpdate = record_bytes("1800000100");

}  // namespace

TEST_CASE("RFC 8448 section 3: the records of application data") {
  const auto client =
      record_octets(record_bytes("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"));
  const auto server =
      record_octets(record_bytes("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"));
  std::string plain;
  for (char c = 0; c < 50; ++c) plain += c;
  const std::string by_client = record_bytes(
      "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e"
      "1f"
      "5a6292a2977014bd1e3deae63aeebb21694915e4");

  Wire wire;
  // Its ticket was the server's first record.
  RecordLayer::Start start{tls::record_suite(0x1301), client, server};
  start.written = 1;
  RecordLayer layer(start, wire);
  std::span<const char> in = by_client;
  std::vector<char> room(1024);
  const RecordLayer::Read read = layer.read(in, room);
  CHECK(read.end == RecordLayer::End::want_read);
  CHECK(std::string_view(room.data(), read.size) == plain);

  REQUIRE(layer.write(plain));
  CHECK(
      wire.take() ==
      record_bytes(
          "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fc"
          "c49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d"));
  layer.close_notify();
  CHECK(wire.take() == record_bytes("1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"));
}

TEST_CASE("what one end seals the other opens, however it is cut") {
  const std::uint16_t number = GENERATE(0x1301, 0x1302, 0x1303);
  const std::size_t piece = GENERATE(1, 2, 5, 7, 1000, 16383, 16406, 20000, 1000000);
  End ours(number, 1, 2);
  End theirs(number, 2, 1);
  std::string sent;
  for (const std::size_t size : {1, 2, 300, 2047, 2048, 2049, 16384, 16385, 50000, 3}) {
    const std::string plain = pattern(size);
    REQUIRE(ours.layer().write(plain));
    sent += plain;
  }
  ours.layer().close_notify();
  const std::size_t room = GENERATE(16 * 1024 + 256, 64 * 1024);
  CHECK(theirs.read(ours.wire.take(), piece, room) == RecordLayer::End::close_notify);
  CHECK(theirs.received == sent);
  CHECK(theirs.layer().alert_received() == tls::alert::kCloseNotify);
  CHECK(theirs.wire.out.empty());
}

TEST_CASE("records are as large as may be, or as the client asked for") {
  End ours(0x1301, 1, 2);
  ours.start.most_plain = 512;
  REQUIRE(ours.layer().write(pattern(1025)));
  const std::string sent = ours.wire.take();
  CHECK(sent.size() == 1025 + 3 * (RecordKeys::kHeader + 1 + RecordKeys::kTag));
}

TEST_CASE("padding is cut off, wherever the type stands") {
  End ours(0x1301, 1, 2);
  Forger peer(ours);
  CHECK(ours.read(peer.seal(0, std::string("abc\x17", 4) + std::string(1000, '\0'))) ==
        RecordLayer::End::want_read);
  CHECK(ours.received == "abc");
}

TEST_CASE("what is refused, and by which alert") {
  struct Case {
    const char* what;
    std::function<std::string(Forger&)> bytes;
    std::uint8_t alert;
  };
  const auto raw = [](std::string bytes) { return [bytes](Forger&) { return bytes; }; };
  const auto sealed = [](std::uint8_t type, std::string plain) {
    return [=](Forger& peer) { return peer.seal(type, plain); };
  };
  const Case cases[] = {
      {"a plain alert", raw(record_bytes("15030300020100")), tls::alert::kUnexpectedMessage},
      {"a late ChangeCipherSpec", raw(record_bytes("140303000101")), tls::alert::kUnexpectedMessage},
      {"a plain ClientHello", raw(record_bytes("160301000401000000")), tls::alert::kUnexpectedMessage},
      {"HTTP", raw("GET / HTTP/1.1\r\n"), tls::alert::kUnexpectedMessage},
      {"a header that promises too much", raw(record_bytes("1703034101")), tls::alert::kRecordOverflow},
      {"too short for a tag", raw(record_bytes("1703030010") + std::string(16, 'x')),
       tls::alert::kBadRecordMac},
      {"an empty record", raw(record_bytes("1703030000")), tls::alert::kBadRecordMac},
      {"one flipped bit",
       [](Forger& peer) {
         std::string record = peer.seal(kDataType, "hello");
         record[8] = static_cast<char>(record[8] ^ 1);
         return record;
       },
       tls::alert::kBadRecordMac},
      {"a changed header",
       [](Forger& peer) {
         std::string record = peer.seal(kDataType, "hello");
         record[2] = 1;
         return record;
       },
       tls::alert::kBadRecordMac},
      {"a record said twice",
       [](Forger& peer) {
         const std::string record = peer.seal(kDataType, "hello");
         return record + record;
       },
       tls::alert::kBadRecordMac},
      {"two records in the wrong order",
       [](Forger& peer) {
         const std::string first = peer.seal(kDataType, "hello");
         return peer.seal(kDataType, "hello") + first;
       },
       tls::alert::kBadRecordMac},
      {"zeros alone", sealed(0, std::string(10, '\0')), tls::alert::kUnexpectedMessage},
      {"more data than a record may have", sealed(kDataType, pattern(16385)), tls::alert::kRecordOverflow},
      {"an unknown type", sealed(99, "x"), tls::alert::kUnexpectedMessage},
      {"a sealed ChangeCipherSpec", sealed(20, "\x01"), tls::alert::kUnexpectedMessage},
      {"an empty alert", sealed(kAlertType, ""), tls::alert::kUnexpectedMessage},
      {"half an alert", sealed(kAlertType, "\x02"), tls::alert::kDecodeError},
      {"two alerts in one", sealed(kAlertType, std::string(4, '\0')), tls::alert::kDecodeError},
      {"an empty handshake message", sealed(kHandshakeType, ""), tls::alert::kUnexpectedMessage},
      {"a second ClientHello", sealed(kHandshakeType, record_bytes("0100000100")),
       tls::alert::kUnexpectedMessage},
      {"a ticket from a client", sealed(kHandshakeType, record_bytes("04000001")),
       tls::alert::kUnexpectedMessage},
      {"KeyUpdate and more", sealed(kHandshakeType, kUpdate + "x"), tls::alert::kUnexpectedMessage},
      {"KeyUpdate of a wrong length", sealed(kHandshakeType, record_bytes("1800000200")),
       tls::alert::kDecodeError},
      {"KeyUpdate that asks for what there is not", sealed(kHandshakeType, record_bytes("1800000102")),
       tls::alert::kIllegalParameter},
      {"data between the parts of a KeyUpdate",
       [](Forger& peer) {
         std::string records = peer.seal(kHandshakeType, kUpdate.substr(0, 2));
         return records += peer.seal(kDataType, "x");
       },
       tls::alert::kUnexpectedMessage},
      {"data under the old keys",
       [](Forger& peer) {
         std::string records = peer.seal(kHandshakeType, kUpdate);
         return records += peer.seal(kDataType, "x");
       },
       tls::alert::kBadRecordMac},
      {"33 empty records",
       [](Forger& peer) {
         std::string records;
         for (int i = 0; i < 33; ++i) records += peer.seal(kDataType, "");
         return records;
       },
       tls::alert::kUnexpectedMessage},
      {"33 warnings",
       [](Forger& peer) {
         std::string records;
         for (int i = 0; i < 33; ++i) records += peer.seal(kAlertType, record_bytes("015a"));
         return records;
       },
       tls::alert::kUnexpectedMessage},
  };
  for (const Case& each : cases) {
    INFO(each.what);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1000000}}) {
      End ours(0x1301, 1, 2);
      End theirs(0x1301, 2, 1);
      Forger peer(ours);
      // What came whole before is delivered.
      CHECK(ours.read(peer.seal(kDataType, "before"), piece) == RecordLayer::End::want_read);
      CHECK(ours.read(each.bytes(peer), piece) == RecordLayer::End::failed);
      CHECK(ours.layer().alert_sent() == each.alert);
      CHECK_FALSE(ours.layer().write(std::string_view("x")));
      const std::string answer = ours.wire.take();
      CHECK(theirs.read(answer) == RecordLayer::End::failed);
      CHECK(theirs.layer().alert_received() == each.alert);
      // Broken stays broken, and says so once.
      CHECK(ours.read(peer.seal(kDataType, "after")) == RecordLayer::End::failed);
      ours.layer().close_notify();
      CHECK(ours.wire.out.empty());
      CHECK(ours.received.substr(0, 6) == "before");
      CHECK(ours.received.find("after") == std::string::npos);
    }
  }
}

TEST_CASE("a fatal alert ends it without an answer; user_canceled does not end it") {
  End ours(0x1301, 1, 2);
  Forger peer(ours);
  CHECK(ours.read(peer.seal(kAlertType, record_bytes("015a"))) == RecordLayer::End::want_read);
  CHECK(ours.read(peer.seal(kDataType, "x")) == RecordLayer::End::want_read);
  // The level says nothing in TLS 1.3: a warning ends it as well.
  CHECK(ours.read(peer.seal(kAlertType, record_bytes("0114"))) == RecordLayer::End::failed);
  CHECK(ours.layer().alert_received() == tls::alert::kBadRecordMac);
  CHECK_FALSE(ours.layer().alert_sent());
  CHECK(ours.wire.out.empty());
}

TEST_CASE("records without data are few in a row, not few in all") {
  End ours(0x1301, 1, 2);
  Forger peer(ours);
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 32; ++i) REQUIRE(ours.read(peer.seal(kDataType, "")) == RecordLayer::End::want_read);
    REQUIRE(ours.read(peer.seal(kDataType, "x")) == RecordLayer::End::want_read);
  }
  CHECK(ours.received == "xxxxx");
}

TEST_CASE("a KeyUpdate changes the reader's keys, and the writer's when asked") {
  const std::uint16_t number = GENERATE(0x1301, 0x1302, 0x1303);
  const bool in_parts = GENERATE(false, true);
  End ours(number, 1, 2);
  End theirs(number, 2, 1);
  Forger peer(ours);
  std::string records;
  for (int generation = 0; generation < 3; ++generation) {
    const std::string& message = generation == 1 ? kUpdate : kUpdateAsked;
    if (in_parts) {
      for (const char part : message) records += peer.seal(kHandshakeType, std::string(1, part));
    } else {
      records += peer.seal(kHandshakeType, message);
    }
    REQUIRE(peer.keys.update());
    records += peer.seal(kDataType, std::string(1, static_cast<char>('a' + generation)));
  }
  CHECK(ours.read(records) == RecordLayer::End::want_read);
  CHECK(ours.received == "abc");
  REQUIRE(ours.layer().write(std::string_view("under new keys")));
  // Two answers; the other end follows and does not answer back.
  CHECK(theirs.read(ours.wire.take()) == RecordLayer::End::want_read);
  CHECK(theirs.received == "under new keys");
  CHECK(theirs.wire.out.empty());
}

TEST_CASE("a client passes over tickets, in any cut, and nothing else") {
  End ours(0x1301, 1, 2);
  ours.start.server = false;
  Forger peer(ours);
  const std::string ticket = record_bytes("040001f4") + std::string(500, 't');
  std::string records = peer.seal(kHandshakeType, ticket + ticket);
  for (std::size_t at = 0; at < ticket.size(); at += 99)
    records += peer.seal(kHandshakeType, ticket.substr(at, 99));
  // A change of keys may follow one in its record.
  records += peer.seal(kHandshakeType, ticket + kUpdate);
  REQUIRE(peer.keys.update());
  records += peer.seal(kDataType, "data");
  CHECK(ours.read(records, GENERATE(1, 50, 100000)) == RecordLayer::End::want_read);
  CHECK(ours.received == "data");
  SECTION("data within one") {
    CHECK(ours.read(peer.seal(kHandshakeType, ticket.substr(0, 100))) == RecordLayer::End::want_read);
    CHECK(ours.read(peer.seal(kDataType, "x")) == RecordLayer::End::failed);
  }
  SECTION("a request for a certificate, which we did not offer to show") {
    CHECK(ours.read(peer.seal(kHandshakeType, record_bytes("0d00000400000000"))) == RecordLayer::End::failed);
  }
  CHECK(ours.layer().alert_sent() == tls::alert::kUnexpectedMessage);
}

TEST_CASE("a key seals so many records, then there is a new one") {
  End ours(0x1301, 1, 2);
  End theirs(0x1301, 2, 1);
  ours.start.records_a_key = 3;
  for (int i = 0; i < 10; ++i) REQUIRE(ours.layer().write(std::string_view("0123456789")));
  const std::string sent = ours.wire.take();
  constexpr std::size_t kAround = RecordKeys::kHeader + 1 + RecordKeys::kTag;
  CHECK(sent.size() == 10 * (10 + kAround) + 3 * (5 + kAround));
  CHECK(theirs.read(sent, 100) == RecordLayer::End::want_read);
  CHECK(theirs.received.size() == 100);
}

TEST_CASE("who was idle goes on where he was") {
  End ours(0x1302, 1, 2);
  End theirs(0x1302, 2, 1);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(ours.layer().write(std::string_view("ping")));
    const std::string sent = ours.wire.take();
    // Within a record, too.
    CHECK(theirs.read(sent.substr(0, 10)) == RecordLayer::End::want_read);
    theirs.layer().idle();
    ours.layer().idle();
    CHECK(theirs.read(sent.substr(10)) == RecordLayer::End::want_read);
  }
  CHECK(theirs.received == "pingpingping");
}

TEST_CASE("a sink that is gone is no fault of the records") {
  End ours(0x1301, 1, 2);
  ours.wire.dead = true;
  CHECK(ours.layer().write(pattern(100000)));
  ours.layer().close_notify();
}

TEST_CASE("which suites can be taken over") {
  CHECK(tls::record_suite(0x1301)->hash_size == 32);
  CHECK(tls::record_suite(0x1302)->hash_size == 48);
  CHECK(tls::record_suite(0x1303)->key_size == 32);
  CHECK(tls::record_suite(0x1304) == nullptr);  // AES-128-CCM
  CHECK(tls::record_suite(0xc02b) == nullptr);
}
