// A ClientHello is found in every form in which people have one, and what is none is told by what is
// wrong with it. The forms of tests/fuzz/corpus/capture hold one and the same hello.
#include "sallyport/tls/capture.hpp"

#include <fstream>
#include <sstream>

#include "sallyport/tls/compose.hpp"
#include "sallyport/tls/rehearsal.hpp"

#include "catch.hpp"
#include "hello_bytes.hpp"
#include "text.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;

namespace {

std::string seed(const std::string& name) {
  std::ifstream file(SALLYPORT_SOURCE_DIR "/tests/fuzz/corpus/capture/" + name, std::ios::binary);
  REQUIRE(file);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

std::string wrong(std::string_view file) {
  const auto captured = read_capture(file);
  REQUIRE(captured.has_error());
  return captured.error();
}
}  // namespace

TEST_CASE("one hello in every form") {
  const std::string hello = seed("records");
  using Form = Capture::Form;
  struct Row {
    const char* name;
    Form form;
  };
  for (const Row& row :
       {Row{"records", Form::bytes}, Row{"message", Form::bytes}, Row{"xxd", Form::hex},
        Row{"hexdump", Form::hex}, Row{"bare_hex", Form::hex}, Row{"c_array", Form::hex},
        Row{"wireshark_frame", Form::hex}, Row{"ethernet.pcap", Form::pcap}, Row{"cooked.pcap", Form::pcap},
        Row{"cooked2_v6.pcap", Form::pcap}, Row{"raw_vlan.pcap", Form::pcap},
        Row{"loopback.pcap", Form::pcap}, Row{"raw.pcap", Form::pcap}, Row{"ethernet.pcapng", Form::pcapng},
        Row{"simple.pcapng", Form::pcapng}}) {
    INFO(row.name);
    const auto captured = read_capture(seed(row.name));
    if (captured.has_error()) UNSCOPED_INFO(captured.error());
    REQUIRE(captured.has_value());
    CHECK(captured->form == row.form);
    CHECK(captured->records == hello);
    const bool packets = row.form == Form::pcap || row.form == Form::pcapng;
    if (packets) {
      REQUIRE(captured->client);
      CHECK(captured->client->port == 40000);
      CHECK(captured->server->port == 443);
    }
  }
  CHECK(read_capture(seed("cooked2_v6.pcap"))->client->to_string() == "[2001:db8::7]:40000");
}

TEST_CASE("hex is taken as people write it") {
  const std::string hello = records(message(sni_extension("a.example")));
  std::string digits;
  for (const char c : hello) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    digits += kHex[static_cast<unsigned char>(c) >> 4];
    digits += kHex[c & 15];
  }
  const auto spaced = [&](const std::string& before, const std::string& between, std::size_t a_line) {
    std::string text = "# from the wire\n";
    for (std::size_t i = 0; i < digits.size(); i += 2) {
      text += before + digits.substr(i, 2) + between;
      if (a_line != 0 && (i / 2 + 1) % a_line == 0) text += "\r\n";
    }
    return text;
  };
  for (const std::string& text : {spaced("", "", 0), spaced("", "", 7), spaced("", " ", 16),
                                  spaced("", ":", 0), spaced("0x", ", ", 8), spaced("\\x", "", 0)}) {
    const auto captured = read_capture(text);
    REQUIRE(captured.has_value());
    CHECK(captured->records == hello);
  }
  CHECK(has(wrong("16 03 01 00\nzz"), "line 2, column 1: this is no hexadecimal digit"));
  CHECK(has(wrong("16 03 0"), "an odd number"));
  CHECK(has(wrong("\n \n"), "no bytes"));
}

TEST_CASE("what is no hello is told by what it is") {
  const std::string hello = seed("records");
  CHECK(has(wrong(""), "it is empty"));
  CHECK(has(wrong(hello.substr(0, 100)), "the ClientHello is not whole: 100 bytes"));
  CHECK(has(wrong("474554202f20485454502f312e310d0a0d0a"), "plain HTTP"));
  CHECK(has(wrong(std::string_view("\x15\x03\x03\0\x02\x02\x28", 7)), "an alert"));
  CHECK(has(wrong(seed("cut.pcap")), "is not whole in it: packets are missing"));
  const std::string capture = seed("ethernet.pcap");
  CHECK(has(wrong(capture.substr(0, 20)), "cut off within the header"));
  CHECK(has(wrong(capture.substr(0, 24)), "no TCP among its 0 packets"));
  std::string odd = capture;
  odd[20] = 105;
  CHECK(has(wrong(odd), "link type 105"));
  std::string huge = capture;
  huge[24 + 8 + 3] = 0x7f;
  CHECK(has(wrong(huge), "at byte 40"));
  std::string section = seed("ethernet.pcapng");
  section[4] = 13;
  CHECK(has(wrong(section), "a block of a wrong size at byte 0"));
  section = seed("ethernet.pcapng");
  section[28 + 20 + 8] = 7;
  CHECK(has(wrong(section), "a packet of an interface that is not described at byte 48"));
}

TEST_CASE("a capture that ends anywhere is read as far as it goes, and never beyond") {
  for (const char* name : {"ethernet.pcap", "ethernet.pcapng", "cooked2_v6.pcap", "xxd", "wireshark_frame"}) {
    const std::string whole = seed(name);
    for (std::size_t i = 0; i < whole.size(); i += 3) {
      // A copy of that size, so that a sanitizer sees a byte too many.
      const std::vector<char> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(i));
      const auto captured = read_capture({part.data(), part.size()});
      if (captured.has_error()) CHECK_FALSE(captured.error().empty());
    }
  }
}

TEST_CASE("a hello can be made to ask for another name, and nothing else of it changes") {
  const std::string hello = real_hello([](SSL* ssl) { set_sni(ssl, "a.example"); });
  HelloReader before, after, none;
  REQUIRE(before.feed(hello) == HelloReader::State::complete);
  const std::string renamed = with_server_name(hello, "other.example");
  REQUIRE(after.feed(renamed) == HelloReader::State::complete);
  CHECK(after.hello().sni == "other.example");
  CHECK(offer_of(after.hello()).ja4.substr(11) == offer_of(before.hello()).ja4.substr(11));
  CHECK(offer_of(after.hello()).ciphers.offered == offer_of(before.hello()).ciphers.offered);
  REQUIRE(none.feed(with_server_name(hello, "")) == HelloReader::State::complete);
  CHECK(none.hello().sni_state == SniState::absent);
}

// ---- rehearsals --------------------------------------------------------------------------------

namespace {

struct RehearsedHost {
  Identity ca = make_authority();
  StoreSpec spec;
  RehearsedHost() {
    Wanted wanted;
    wanted.san = "DNS:a.example";
    HostSpec host;
    host.names = {"a.example"};
    host.certificates = {loaded(issue(wanted, &ca), &ca)};
    spec.hosts = {host};
    spec.policies.resize(2);
    spec.policies[1].name = "old";
    spec.policies[1].max_version = Version::tls12;
    config::TlsRule rule;
    rule.name = "inside";
    rule.when.addresses = {"10.0.0.0/8"};
    rule.policy = "old";
    spec.policies[0].rules = {rule};
    rule.name = "refused";
    rule.when.addresses = {"192.0.2.0/24"};
    rule.refuse = true;
    spec.policies[0].rules.push_back(rule);
  }
  Rehearsal meets(const std::string& hello, const char* client = "127.0.0.1") {
    Notes notes;
    auto store = ContextStore::build(spec, nullptr, notes);
    INFO(first_text(notes));
    REQUIRE(store != nullptr);
    auto made = rehearse(store, hello, 0, {*net::IpAddress::parse(client), 0});
    REQUIRE(made);
    return *made;
  }
};

std::string hello_for(
    const char* name, const std::function<void(SSL*)>& adjust = [](SSL*) {}) {
  return real_hello([&](SSL* ssl) {
    set_sni(ssl, name);
    adjust(ssl);
  });
}

}  // namespace

TEST_CASE("a rehearsal tells what is answered, by which rule and policy") {
  RehearsedHost world;
  const Rehearsal now = world.meets(hello_for("a.example", [](SSL* ssl) { set_alpn(ssl, "\x08http/1.1"); }));
  CHECK_FALSE(now.refused);
  CHECK(now.version == Version::tls13);
  CHECK(suite_text(now.cipher) == "TLS_AES_128_GCM_SHA256");
  CHECK(now.group != 0);
  CHECK(now.alpn == "http/1.1");
  CHECK(now.rule == nullptr);
  CHECK_FALSE(now.hello_retry);
  const Rehearsal inside = world.meets(hello_for("a.example"), "10.1.2.3");
  CHECK(inside.version == Version::tls12);
  CHECK(inside.rule->name == "inside");
  CHECK(inside.policy->name == "old");
  CHECK(suite_text(inside.cipher) == "ECDHE-ECDSA-AES128-GCM-SHA256");
  CHECK(group_text(inside.group) == "X25519");
  const Rehearsal retry =
      world.meets(hello_for("a.example", [](SSL* ssl) { SSL_set1_groups_list(ssl, "P-521:P-384"); }));
  CHECK(retry.hello_retry);
  CHECK(group_text(retry.group) == "P-384");
}

TEST_CASE("a rehearsal tells what is refused, and why, as the gateway would") {
  RehearsedHost world;
  const Rehearsal unknown = world.meets(hello_for("b.example"));
  CHECK(unknown.refused);
  CHECK(unknown.host == nullptr);
  CHECK(unknown.verdict.reason == HandshakeReason::unknown_sni);
  const Rehearsal rule = world.meets(hello_for("a.example"), "192.0.2.9");
  CHECK(rule.verdict.reason == HandshakeReason::refused_by_rule);
  CHECK(rule.alert == std::uint8_t{49});
  const Rehearsal group =
      world.meets(hello_for("a.example", [](SSL* ssl) { SSL_set1_groups_list(ssl, "P-521"); }));
  CHECK(group.verdict == Verdict{Stage::key_exchange, HandshakeReason::no_shared_group});
  CHECK(has(group.told.hint, "the client offers the groups P-521"));
}

TEST_CASE("a hello put together from a log line's words is judged like the one it tells of") {
  RehearsedHost world;
  HelloOutline line;
  line.sni = "a.example";
  line.versions = {"TLSv1.3", "TLSv1.2"};
  line.ciphers = {"TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "0xfe00"};
  line.groups = {"X25519", "P-256"};
  line.sigalgs = {"ecdsa_secp256r1_sha256"};
  line.alpn = {"h2"};
  const ComposedHello full = compose_hello(line);
  CHECK(full.unknown.empty());
  const Rehearsal served = world.meets(full.records);
  CHECK_FALSE(served.refused);
  CHECK(served.hello_retry);  // a line does not tell the key shares
  line.versions = {"TLSv1.2"};
  line.ciphers = {"ECDHE-RSA-AES128-GCM-SHA256", "NONSENSE"};
  const ComposedHello rsa = compose_hello(line);
  CHECK(rsa.unknown == std::vector<std::string>{"NONSENSE"});
  const Rehearsal refused = world.meets(rsa.records);
  CHECK(refused.verdict.reason == HandshakeReason::no_shared_cipher);
  CHECK(has(refused.told.hint, "add an RSA one"));
  line.versions = {"TLSv1.1"};
  CHECK(world.meets(compose_hello(line).records).verdict.reason == HandshakeReason::unsupported_version);
}
