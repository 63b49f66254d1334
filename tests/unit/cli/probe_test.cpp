// The verdict over all clients: one finding a cause, told from what the others met. And what a server
// says comes out harmless.
#include <fstream>
#include <iterator>
#include <string>

#include "sallyport/tls/names.hpp"

#include "catch.hpp"
#include "printable.hpp"
#include "probe_report.hpp"

using namespace sallyport::cli;
using sallyport::tls::HandshakeReason;
using sallyport::tls::ProbeEnd;
using sallyport::tls::ProbeKind;
namespace alert = sallyport::tls::alert;

namespace {

ProbeRow works(ProbeKind kind, const std::string& suite = "ECDHE-ECDSA-AES128-GCM-SHA256") {
  ProbeRow row;
  row.result.kind = kind;
  row.result.silent = false;
  row.result.suite = suite;
  row.result.group = "X25519";
  row.result.alpn = "h2";
  return row;
}
ProbeRow fails(ProbeKind kind, ProbeEnd end, int code = -1) {
  ProbeRow row;
  row.result.kind = kind;
  row.result.end = end;
  row.result.silent = end != ProbeEnd::alert;
  if (code >= 0) row.result.alert = static_cast<std::uint8_t>(code);
  return row;
}
ProbeRow refused(ProbeKind kind, int code = alert::kHandshakeFailure) {
  return fails(kind, ProbeEnd::alert, code);
}

ProbeReport judged(std::vector<ProbeRow> rows) {
  ProbeReport report;
  report.sni = "a.test";
  report.timeout = std::chrono::seconds(5);
  report.rows = std::move(rows);
  judge(report);
  return report;
}

std::string names(const ProbeReport& report) {
  std::string text;
  for (const ProbeFinding& one : report.findings) {
    if (!text.empty()) text += ' ';
    text += std::string(to_string(one.severity)) + ":" + std::string(one.name);
    if (one.cloudflare != 0) text += ":" + std::to_string(one.cloudflare);
  }
  return text;
}

}  // namespace

TEST_CASE("what Cloudflare cannot agree upon is told from what another client was given") {
  const auto chacha = works(ProbeKind::tls12, "ECDHE-RSA-CHACHA20-POLY1305");
  const ProbeReport only12 =
      judged({refused(ProbeKind::tls13, alert::kProtocolVersion), chacha, refused(ProbeKind::cloudflare_13),
              refused(ProbeKind::cloudflare_12), refused(ProbeKind::split_hello)});
  CHECK(names(only12) == "fail:no_shared_cipher:525 warn:no_tls13");
  CHECK_FALSE(only12.ok());
  // TLS 1.3 hides it.
  const ProbeReport with13 = judged(
      {works(ProbeKind::tls13), chacha, works(ProbeKind::cloudflare_13), refused(ProbeKind::cloudflare_12)});
  CHECK(names(with13) == "warn:no_shared_cipher");
  CHECK(with13.ok());
  CHECK(with13.rows.back().reason == HandshakeReason::no_shared_cipher);
  CHECK(with13.rows.back().note == "alert handshake_failure: no_shared_cipher");
}

TEST_CASE("a split hello counts only where the whole one works") {
  const auto whole = works(ProbeKind::cloudflare_13);
  CHECK(names(judged({works(ProbeKind::tls13), whole, fails(ProbeKind::split_hello, ProbeEnd::closed)})) ==
        "fail:split_hello:525");
  CHECK(names(judged({works(ProbeKind::tls13), whole, fails(ProbeKind::split_records, ProbeEnd::timeout)})) ==
        "warn:split_records");
  CHECK(names(judged({works(ProbeKind::tls13), fails(ProbeKind::tls13_mlkem, ProbeEnd::timeout),
                      fails(ProbeKind::cloudflare_13, ProbeEnd::timeout),
                      fails(ProbeKind::split_hello, ProbeEnd::timeout)})) == "fail:large_hello:525");
}

TEST_CASE("who lets nobody in is told once, by how") {
  const auto all = [](ProbeEnd end, int code = -1) {
    return names(judged({fails(ProbeKind::tls13, end, code), fails(ProbeKind::tls12, end, code),
                         fails(ProbeKind::cloudflare_13, end, code)}));
  };
  CHECK(all(ProbeEnd::closed) == "fail:peer_closed:525");
  CHECK(all(ProbeEnd::reset) == "fail:peer_reset:525");
  CHECK(all(ProbeEnd::timeout) == "fail:timeout:525");
  CHECK(all(ProbeEnd::not_tls) == "fail:not_tls:525");
  CHECK(all(ProbeEnd::alert, alert::kUnrecognizedName) == "fail:unknown_sni:525");
  CHECK(all(ProbeEnd::alert, alert::kInternalError) == "fail:peer_alert_other:525");
  // Each differently: each is told.
  CHECK(names(judged({fails(ProbeKind::tls13, ProbeEnd::closed), refused(ProbeKind::tls12)})) ==
        "fail:peer_closed:525 fail:peer_alert_handshake_failure:525");
}

TEST_CASE("the reason is the gateway's word for the same") {
  const auto reason = [](ProbeRow row) {
    return judged({works(ProbeKind::tls13), works(ProbeKind::http1_only), std::move(row)}).rows.back().reason;
  };
  CHECK(reason(refused(ProbeKind::no_sni, alert::kUnrecognizedName)) == HandshakeReason::missing_sni);
  CHECK(reason(refused(ProbeKind::unknown_sni)) == HandshakeReason::unknown_sni);
  CHECK(reason(refused(ProbeKind::ecdsa_only)) == HandshakeReason::no_shared_sigalg);
  CHECK(reason(refused(ProbeKind::h2_only)) == HandshakeReason::no_alpn_overlap);
  CHECK(reason(refused(ProbeKind::h2_only, alert::kNoApplicationProtocol)) ==
        HandshakeReason::no_alpn_overlap);
  CHECK(reason(refused(ProbeKind::tls12, alert::kProtocolVersion)) == HandshakeReason::unsupported_version);
  CHECK(reason(refused(ProbeKind::tls12, 116)) == HandshakeReason::client_cert_missing);
  CHECK(reason(fails(ProbeKind::tls12, ProbeEnd::broken)) == HandshakeReason::bad_record);
  ProbeRow asked = refused(ProbeKind::tls12);
  asked.result.certificate_asked = true;
  CHECK(reason(asked) == HandshakeReason::client_cert_missing);
}

TEST_CASE("refusing is right where it is") {
  const auto outcome = [](ProbeRow row) {
    return judged({works(ProbeKind::tls13), std::move(row)}).rows.back().outcome;
  };
  CHECK(outcome(refused(ProbeKind::no_sni)) == ProbeOutcome::ok);
  CHECK(outcome(works(ProbeKind::unknown_sni)) == ProbeOutcome::ok);
  CHECK(outcome(fails(ProbeKind::unknown_sni, ProbeEnd::closed)) == ProbeOutcome::odd);
  CHECK(outcome(refused(ProbeKind::legacy)) == ProbeOutcome::ok);
  CHECK(outcome(works(ProbeKind::legacy)) == ProbeOutcome::odd);
  CHECK(outcome(fails(ProbeKind::plain_http, ProbeEnd::closed)) == ProbeOutcome::ok);
  CHECK(outcome(works(ProbeKind::resumption)) == ProbeOutcome::odd);
}

TEST_CASE("a response's head is read as far as it is needed") {
  const auto read = [](const std::string& bytes) {
    ProbeTalk talk;
    const bool done = read_head(bytes, talk);
    return std::pair(done, talk);
  };
  const std::string head = "HTTP/1.1 200 OK\r\nServer: x\r\nConnection: Keep-Alive\r\n\r\n";
  for (std::size_t at = 0; at < head.size(); ++at) CHECK_FALSE(read(head.substr(0, at)).first);
  const auto [done, talk] = read(head + "body");
  CHECK(done);
  CHECK(talk.status == 200);
  CHECK(talk.keeps_alive);
  CHECK(talk.head_bytes == head.size());
  CHECK_FALSE(read("HTTP/1.1 204 No Content\r\nconnection: foo, CLOSE\r\n\r\n").second.keeps_alive);
  CHECK(read("HTTP/1.1 200\n\n").second.status == 200);
  for (const char* bad :
       {"220 mail.test\r\n", "HTTP/2 200\r\n", "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1 2000\r\n", "+"}) {
    const auto [over, other] = read(bad);
    CHECK(over);
    CHECK(other.end == ProbeEnd::not_tls);
  }
  const auto [cut, large] = read("HTTP/1.1 200 OK\r\nSet-Cookie: " + std::string(kCloudflareHead, 'x'));
  CHECK(cut);
  CHECK(large.head_bytes > kCloudflareHead);
}

TEST_CASE("docs/probe.md has each kind of client in the words of the code") {
  std::ifstream file(SALLYPORT_SOURCE_DIR "/docs/probe.md");
  const std::string docs{std::istreambuf_iterator<char>(file), {}};
  for (const sallyport::tls::ProbeKindText& one : sallyport::tls::probe_kinds()) {
    const std::string row = "| `" + std::string(one.name) + "` | " + std::string(one.about) + " |";
    INFO(row);
    CHECK(docs.find(row) != std::string::npos);
  }
}

TEST_CASE("nothing of a stranger's text moves the cursor") {
  CHECK(printable("CN=Zürich, 日本 \"x\"") == "CN=Zürich, 日本 \"x\"");
  CHECK(printable("\x1b[31mred\r\n") == "\\x1b[31mred\\x0d\\x0a");
  CHECK(printable(std::string("\0\x7f", 2)) == "\\x00\\x7f");
  CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");  // CSI as one character
  CHECK(printable("a\xe2\x80\xae"
                  "b") == "a\\xe2\\x80\\xaeb");  // right-to-left override
  CHECK(printable("\xe2\x81\xa6") == "\\xe2\\x81\\xa6");
  CHECK(printable("\xc0\xaf\xff") == "\\xc0\\xaf\\xff");  // not UTF-8
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // a surrogate
  CHECK(printable("\xf0\x9f\x92") == "\\xf0\\x9f\\x92");  // cut short
  CHECK(printable("\xf0\x9f\x94\x92") == "\xf0\x9f\x94\x92");
}
