// What is wrong with a server and what to change, from what clients of all kinds met: one finding for
// each cause, not for each client, with the error that Cloudflare's visitors see for it.
#include <algorithm>
#include <string>

#include "sallyport/tls/explain.hpp"

#include "cloudflare_errors.hpp"
#include "probe_judge.hpp"

namespace sallyport::cli {

namespace {

using tls::ChainReason;
using tls::HandshakeReason;
using tls::ProbeEnd;
using tls::ProbeKind;
using tls::ProbeResult;
using ProbeSeverity = ProbeFinding::Severity;

// The gateway's table is written for a page; a line has no use for its quotes.
std::string remedy(HandshakeReason reason) {
  std::string text(tls::about(reason).remedy);
  std::erase(text, '`');
  return text;
}

class Judgement {
 public:
  explicit Judgement(ProbeReport& report) : report_(report), rows_(report) {}

  void run() {
    if (!rows_.any_works()) {
      nobody_gets_in();
    } else {
      cloudflare();
      pieces();
      versions();
      groups();
      key_types();
      protocols();
      habits();
    }
    for (const ProbeChain& chain : report_.chains) judge_chain(chain);
    unexplained();
    std::stable_sort(report_.findings.begin(), report_.findings.end(),
                     [](const auto& a, const auto& b) { return a.severity > b.severity; });
  }

 private:
  using Kinds = std::vector<ProbeKind>;

  void tell(ProbeSeverity severity, std::string_view name, std::string text, int cloudflare, Kinds kinds) {
    explained_.insert(explained_.end(), kinds.begin(), kinds.end());
    report_.findings.push_back({severity, name, std::move(text), cloudflare, std::move(kinds)});
  }
  // Says nothing about whether those clients get in.
  void tell_of_chain(ProbeSeverity severity, std::string_view name, std::string text,
                     const ProbeChain& chain) {
    const int code = severity == ProbeSeverity::fail ? kBadCertificate : 0;
    report_.findings.push_back({severity, name, std::move(text), code, chain.kinds});
  }
  void tell(ProbeSeverity severity, HandshakeReason reason, const std::string& what, int cloudflare,
            Kinds kinds) {
    tell(severity, to_string(reason), what + ": " + remedy(reason), cloudflare, std::move(kinds));
  }

  [[nodiscard]] const ProbeResult& result(ProbeKind kind) const { return rows_.row(kind)->result; }
  [[nodiscard]] bool failed_for(ProbeKind kind, HandshakeReason reason) const {
    return rows_.fails(kind) && rows_.row(kind)->reason == reason;
  }
  [[nodiscard]] bool is_explained(ProbeKind kind) const {
    return std::find(explained_.begin(), explained_.end(), kind) != explained_.end();
  }
  [[nodiscard]] Kinds failed_named() const {
    Kinds kinds;
    for (const ProbeRow& row : report_.rows) {
      if (is_named_client(row.result.kind) && !row.result.ok()) kinds.push_back(row.result.kind);
    }
    return kinds;
  }

  void nobody_gets_in();
  [[nodiscard]] bool all_end_alike(const Kinds& kinds) const;
  void cloudflare();
  void cloudflare_suites(ProbeSeverity severity, int code, Kinds kinds);
  void pieces();
  void versions();
  void groups();
  void key_types();
  void key_type(ProbeKind kind, ProbeKind other, ProbeSeverity severity, const char* takes, const char* has);
  void protocols();
  void http(ProbeKind kind);
  void client_certificate();
  void habits();
  void judge_chain(const ProbeChain& chain);
  void judge_staple(const ProbeChain& chain);
  void unexplained();

  ProbeReport& report_;
  ProbeRows rows_;
  Kinds explained_;
};

// ---- nobody gets in ------------------------------------------------------------------------

// Whoever closes without having read all resets.
bool Judgement::all_end_alike(const Kinds& kinds) const {
  const auto left = [](const ProbeResult& one) {
    return one.silent && (one.end == ProbeEnd::closed || one.end == ProbeEnd::reset);
  };
  const ProbeResult& first = result(kinds.front());
  return std::all_of(kinds.begin(), kinds.end(), [&](ProbeKind kind) {
    const ProbeResult& one = result(kind);
    if (left(one) && left(first)) return true;
    return one.end == first.end && one.silent == first.silent && one.alert == first.alert;
  });
}

void Judgement::nobody_gets_in() {
  const Kinds kinds = failed_named();
  if (kinds.empty() || !all_end_alike(kinds)) return;  // each is told on its own
  const ProbeResult& first = result(kinds.front());
  const HandshakeReason reason = rows_.row(kinds.front())->reason;
  if (first.end == ProbeEnd::not_tls) {
    const bool http = first.detail.starts_with("HTTP/");
    tell(ProbeSeverity::fail, to_string(reason),
         std::string("the port does not speak TLS but ") + (http ? "plain HTTP" : "another protocol") +
             " (it said '" + first.detail +
             "'): have the server speak TLS there, or name the port on which it does",
         kHandshakeFailed, kinds);
  } else if (first.end == ProbeEnd::alert && reason == HandshakeReason::unknown_sni) {
    tell(ProbeSeverity::fail, reason, "the server has no host for the name '" + report_.sni + "'",
         kHandshakeFailed, kinds);
  } else if (first.end == ProbeEnd::alert && reason == HandshakeReason::client_cert_missing) {
    tell(ProbeSeverity::fail, reason, "the server requires a client certificate", kUnknownError, kinds);
  } else if (first.end == ProbeEnd::alert) {
    tell(ProbeSeverity::fail, to_string(reason),
         "the server refuses every client alike (" + rows_.row(kinds.front())->note +
             "): it has no certificate for the name, or its versions, suites and groups fit nobody: see its "
             "log and what it is configured to take",
         kHandshakeFailed, kinds);
  } else if (first.end == ProbeEnd::timeout && first.silent) {
    tell(ProbeSeverity::fail, to_string(reason),
         "the server takes connections and says nothing: its process hangs or is out of workers, or another "
         "protocol is spoken there (does it expect a PROXY protocol header?)",
         kHandshakeFailed, kinds);
  } else if (first.silent && (first.end == ProbeEnd::closed || first.end == ProbeEnd::reset)) {
    tell(ProbeSeverity::fail, to_string(reason),
         std::string("the server ") + (first.end == ProbeEnd::closed ? "closes" : "resets") +
             " every connection without a byte: it does not let this address in, is over a limit, or expects "
             "a "
             "PROXY protocol header",
         kHandshakeFailed, kinds);
  }
}

// ---- the handshake -------------------------------------------------------------------------

void Judgement::cloudflare_suites(ProbeSeverity severity, int code, Kinds kinds) {
  const HandshakeReason reason = rows_.row(kinds.front())->reason;
  const bool groups = reason == HandshakeReason::no_shared_group;
  std::string other;
  if (rows_.works(ProbeKind::tls12)) {
    const ProbeResult& given = result(ProbeKind::tls12);
    other = " (another client was given " + (groups ? given.group : given.suite) + ")";
  }
  if (groups) {
    tell(severity, reason,
         "the server takes none of the groups that Cloudflare offers, X25519MLKEM768, X25519, P-256 and "
         "P-384" +
             other,
         code, std::move(kinds));
    return;
  }
  tell(severity, to_string(reason),
       "none of the TLS 1.2 suites that Cloudflare offers, which has no ChaCha20 and no DHE there, is taken" +
           other +
           ": add ECDHE-ECDSA-AES128-GCM-SHA256 and ECDHE-RSA-AES128-GCM-SHA256 to the server's ciphers",
       code, std::move(kinds));
}

void Judgement::cloudflare() {
  const auto is_set_problem = [](HandshakeReason reason) {
    return reason == HandshakeReason::no_shared_cipher || reason == HandshakeReason::no_shared_group;
  };
  const bool new_fails = rows_.fails(ProbeKind::cloudflare_13);
  const bool old_fails = rows_.fails(ProbeKind::cloudflare_12);
  if (new_fails && is_set_problem(rows_.row(ProbeKind::cloudflare_13)->reason)) {
    Kinds kinds{ProbeKind::cloudflare_13};
    for (const ProbeKind kind :
         {ProbeKind::cloudflare_12, ProbeKind::split_hello, ProbeKind::split_records}) {
      if (rows_.fails(kind)) kinds.push_back(kind);
    }
    cloudflare_suites(ProbeSeverity::fail, kHandshakeFailed, std::move(kinds));
  } else if (old_fails && is_set_problem(rows_.row(ProbeKind::cloudflare_12)->reason)) {
    // TLS 1.3 hides it, as long as that is spoken.
    const bool hidden = rows_.row(ProbeKind::cloudflare_13) != nullptr;
    cloudflare_suites(hidden ? ProbeSeverity::warn : ProbeSeverity::fail, hidden ? 0 : kHandshakeFailed,
                      {ProbeKind::cloudflare_12});
  }
  const bool small_works = rows_.works(ProbeKind::tls13) || rows_.works(ProbeKind::tls12);
  if (!new_fails || is_explained(ProbeKind::cloudflare_13) || !small_works) return;
  Kinds kinds{ProbeKind::cloudflare_13};
  for (const ProbeKind kind : {ProbeKind::tls13_mlkem, ProbeKind::split_hello, ProbeKind::split_records}) {
    if (rows_.fails(kind)) kinds.push_back(kind);
  }
  tell(ProbeSeverity::fail, "large_hello",
       "a hello of 1.7 KB with X25519MLKEM768 fails (" + rows_.row(ProbeKind::cloudflare_13)->note +
           ") where a small one does not: look for a middlebox or a TLS library that does not take large or "
           "post-quantum hellos",
       kHandshakeFailed, std::move(kinds));
}

void Judgement::pieces() {
  if (!rows_.works(ProbeKind::cloudflare_13)) return;
  if (rows_.fails(ProbeKind::split_hello)) {
    tell(ProbeSeverity::fail, "split_hello",
         "a hello that comes in two TCP segments fails (" + rows_.row(ProbeKind::split_hello)->note +
             ") where the same in one does not: something reads once and does not wait for the rest, which "
             "post-quantum hellos need; update the server, or what inspects SNI before it",
         kHandshakeFailed, {ProbeKind::split_hello});
  }
  if (rows_.fails(ProbeKind::split_records)) {
    tell(ProbeSeverity::warn, "split_records",
         "a hello in two TLS records fails (" + rows_.row(ProbeKind::split_records)->note +
             ") where the same in one does not: few clients send such, but RFC 8446 §5.1 allows it; update "
             "the "
             "server, or what inspects SNI before it",
         0, {ProbeKind::split_records});
  }
}

void Judgement::versions() {
  if (failed_for(ProbeKind::tls13, HandshakeReason::unsupported_version)) {
    Kinds kinds{ProbeKind::tls13};
    if (failed_for(ProbeKind::tls13_mlkem, HandshakeReason::unsupported_version))
      kinds.push_back(ProbeKind::tls13_mlkem);
    tell(ProbeSeverity::warn, "no_tls13",
         "the server does not speak TLS 1.3: handshakes take a round trip more and have no post-quantum key "
         "exchange; allow it",
         0, std::move(kinds));
  }
  if (failed_for(ProbeKind::tls12, HandshakeReason::unsupported_version)) {
    Kinds kinds{ProbeKind::tls12};
    if (failed_for(ProbeKind::cloudflare_12, HandshakeReason::unsupported_version))
      kinds.push_back(ProbeKind::cloudflare_12);
    tell(ProbeSeverity::info, "no_tls12",
         "the server speaks TLS 1.3 alone: Cloudflare and browsers do, clients from before 2018 are refused",
         0, std::move(kinds));
  }
  if (rows_.works(ProbeKind::legacy)) {
    tell(ProbeSeverity::warn, "old_version",
         "the server still speaks " + result(ProbeKind::legacy).version +
             ", which is forbidden since RFC 8996: allow TLS 1.2 and 1.3 alone",
         0, {ProbeKind::legacy});
  }
  for (const ProbeKind kind : {ProbeKind::tls12, ProbeKind::cloudflare_12}) {
    if (!rows_.works(kind) || result(kind).forward_secret) continue;
    tell(ProbeSeverity::warn, "no_forward_secrecy",
         "a client of TLS 1.2 is given " + result(kind).suite +
             ", without forward secrecy: who gets the key can read all that was ever recorded; put ECDHE "
             "suites "
             "first",
         0, {kind});
    return;
  }
}

void Judgement::groups() {
  if (rows_.works(ProbeKind::tls13_mlkem) && result(ProbeKind::tls13_mlkem).group != "X25519MLKEM768") {
    tell(ProbeSeverity::info, "no_post_quantum",
         "the server does not take X25519MLKEM768 (it chose " + result(ProbeKind::tls13_mlkem).group +
             "): what is recorded today can be read once there are quantum computers; OpenSSL 3.5 has it",
         0, {ProbeKind::tls13_mlkem});
  }
  Kinds kinds;
  for (const ProbeKind kind : {ProbeKind::tls13, ProbeKind::tls13_mlkem, ProbeKind::cloudflare_13}) {
    if (rows_.works(kind) && result(kind).hello_retry) kinds.push_back(kind);
  }
  if (kinds.empty()) return;
  const std::string group = result(kinds.front()).group;
  tell(
      ProbeSeverity::warn, "hello_retry",
      "the server asks for a second hello, with " + group +
          ": each new connection of a common client takes one more round trip; put X25519MLKEM768 and X25519 "
          "first in its groups",
      0, std::move(kinds));
}

// Nothing to speak of while clients of the other kind get in.
void Judgement::key_type(ProbeKind kind, ProbeKind other, ProbeSeverity severity, const char* takes,
                         const char* has) {
  if (!rows_.fails(kind) || !rows_.works(other)) return;
  const HandshakeReason reason = rows_.row(kind)->reason;
  if (reason != HandshakeReason::no_shared_sigalg && reason != HandshakeReason::no_shared_cipher) return;
  tell(severity, to_string(reason),
       std::string("the client takes ") + takes + " certificates alone and the server has only an " + has +
           " one: add an " + takes + " one if you have such clients",
       0, {kind});
}

void Judgement::key_types() {
  key_type(ProbeKind::ecdsa_only, ProbeKind::rsa_only, ProbeSeverity::info, "ECDSA", "RSA");
  key_type(ProbeKind::rsa_only, ProbeKind::ecdsa_only, ProbeSeverity::warn, "RSA", "ECDSA");
}

// ---- HTTP ----------------------------------------------------------------------------------

void Judgement::http(ProbeKind kind) {
  const ProbeRow* row = rows_.row(kind);
  if (row == nullptr || !row->talk || is_explained(kind)) return;
  const ProbeTalk& talk = *row->talk;
  if (row->result.certificate_asked && talk.end != ProbeEnd::done) return;  // told with the certificate
  Kinds kinds{kind};
  const ProbeRow* other = rows_.row(ProbeKind::no_alpn);
  const bool alike = other != nullptr && other->talk && !other->talk->h2 && other->talk->end == talk.end;
  if (kind == ProbeKind::http1_only && alike) kinds.push_back(ProbeKind::no_alpn);
  if (talk.h2 && talk.end != ProbeEnd::done) {
    tell(ProbeSeverity::fail, "h2_not_spoken",
         "the server chooses h2 by ALPN and does not speak it (" + row->note +
             "): take h2 out of its ALPN, or have what stands behind it speak HTTP/2",
         kUnknownError, std::move(kinds));
  } else if (talk.end == ProbeEnd::timeout) {
    tell(ProbeSeverity::fail, "http_no_answer",
         "the server does not answer a HEAD request in time (" + row->note + "): see what it waits for", 524,
         std::move(kinds));
  } else if (talk.end != ProbeEnd::done) {
    tell(ProbeSeverity::fail, "http_malformed",
         "the server does not answer a HEAD request by HTTP/1.1 (" + row->note + "): see its log",
         kUnknownError, std::move(kinds));
  } else if (talk.goaway) {
    tell(ProbeSeverity::warn, "h2_goaway",
         "the server ends a fresh HTTP/2 connection at once (" + row->note + ")", kUnknownError,
         std::move(kinds));
  } else if (!talk.h2 && talk.head_bytes > kCloudflareHead) {
    tell(ProbeSeverity::fail, "response_head_too_large",
         "the response's head is larger than 128 KiB, more than Cloudflare takes: send smaller fields and "
         "cookies",
         kUnknownError, std::move(kinds));
  } else if (!talk.h2 && talk.status < 400 && !talk.keeps_alive) {
    tell(
        ProbeSeverity::warn, "no_keep_alive",
        "the server closes the connection behind each response: every request costs a handshake; let it keep "
        "connections, behind Cloudflare for more than 900 s",
        0, std::move(kinds));
  }
}

void Judgement::protocols() {
  const ProbeRow* h2 = rows_.row(ProbeKind::h2_only);
  const bool without = h2 != nullptr && h2->result.ok() && h2->result.alpn != "h2";
  if (without || failed_for(ProbeKind::h2_only, HandshakeReason::no_alpn_overlap)) {
    tell(ProbeSeverity::warn, to_string(HandshakeReason::no_alpn_overlap),
         "the server does not choose h2 by ALPN: HTTP/2 and, through Cloudflare too, gRPC cannot be had; "
         "switch "
         "HTTP/2 on, beside http/1.1",
         0, {ProbeKind::h2_only});
  }
  if (failed_for(ProbeKind::http1_only, HandshakeReason::no_alpn_overlap)) {
    tell(ProbeSeverity::warn, to_string(HandshakeReason::no_alpn_overlap),
         "the server does not choose http/1.1 by ALPN: WebSocket, and clients that know no HTTP/2, cannot be "
         "served; add http/1.1 beside h2",
         0, {ProbeKind::http1_only});
  }
  client_certificate();
  http(ProbeKind::h2_only);
  http(ProbeKind::http1_only);
  http(ProbeKind::no_alpn);
}

// Required is what Authenticated Origin Pulls want, and what keeps everybody else out.
void Judgement::client_certificate() {
  Kinds kinds;
  bool asked = false;
  std::string cas;
  for (const ProbeRow& row : report_.rows) {
    asked = asked || row.result.certificate_asked;
    if (cas.empty() && !row.result.client_cas.empty()) cas = ", of \"" + row.result.client_cas.front() + "\"";
    const bool by_alert = row.reason == HandshakeReason::client_cert_missing ||
                          (row.talk && row.talk->end == ProbeEnd::alert && row.result.certificate_asked);
    const bool by_http = row.talk && row.result.certificate_asked &&
                         (row.talk->status == 400 || row.talk->status == 403 || row.talk->status == 495 ||
                          row.talk->status == 496);
    const bool by_end = row.talk && row.result.certificate_asked && row.talk->end != ProbeEnd::done;
    if (by_alert || by_http || by_end) kinds.push_back(row.result.kind);
  }
  const auto told = [](const ProbeFinding& one) { return one.name.starts_with("client_cert"); };
  if (!asked || std::any_of(report_.findings.begin(), report_.findings.end(), told)) return;
  if (kinds.empty()) {
    tell(ProbeSeverity::info, "client_cert_requested",
         "the server asks for a client certificate" + cas + ", and serves those who have none", 0, {});
  } else {
    tell(ProbeSeverity::warn, to_string(HandshakeReason::client_cert_missing),
         "the server requires a client certificate" + cas +
             ": give its clients one; behind Cloudflare switch Authenticated Origin Pulls on for the zone",
         kUnknownError, std::move(kinds));
  }
}

void Judgement::habits() {
  const ProbeRow* row = rows_.row(ProbeKind::resumption);
  if (row != nullptr && row->result.ok() && !row->result.resumed) {
    tell(ProbeSeverity::info, "no_resumption",
         "a client that comes back gets a full handshake: switch session tickets on, with keys that all "
         "servers "
         "share",
         0, {ProbeKind::resumption});
  }
  if (rows_.works(ProbeKind::unknown_sni)) {
    tell(ProbeSeverity::info, "default_host",
         "the server shows a certificate to whoever asks for any name (" +
             rows_.row(ProbeKind::unknown_sni)->note +
             "): refuse unknown names if scanners should not learn it",
         0, {ProbeKind::unknown_sni});
  }
}

// ---- the chain -----------------------------------------------------------------------------

ProbeSeverity severity_of(tls::ChainFinding::Severity severity) {
  switch (severity) {
    case tls::ChainFinding::Severity::info:
      return ProbeSeverity::info;
    case tls::ChainFinding::Severity::warning:
      return ProbeSeverity::warn;
    case tls::ChainFinding::Severity::error:
      break;
  }
  return ProbeSeverity::fail;
}

bool is_of_origin_ca(const ProbeChain& chain) {
  const auto& leaf = chain.report.certificates[chain.report.sent.front()].certificate;
  const std::string issuer = tls::describe(leaf.get()).issuer;
  return issuer.find("CloudFlare Origin ") != std::string::npos ||
         issuer.find("Cloudflare Origin ") != std::string::npos;
}

void Judgement::judge_chain(const ProbeChain& chain) {
  const bool origin_ca = is_of_origin_ca(chain);
  for (const tls::ChainFinding& finding : chain.report.findings) {
    const bool of_trust =
        finding.reason == ChainReason::missing_issuer || finding.reason == ChainReason::unknown_root;
    ProbeSeverity severity = severity_of(finding.severity);
    std::string text = finding.text;
    if (of_trust && origin_ca) {
      severity = ProbeSeverity::info;
      text =
          "the certificate is of Cloudflare's Origin CA, which Cloudflare trusts in Full (strict) and nobody "
          "else does: right for a host that only Cloudflare connects to";
    } else if (finding.reason == ChainReason::added && finding.certificate) {
      severity = ProbeSeverity::fail;
      const auto& missing = chain.report.certificates[*finding.certificate];
      text = "the intermediate \"" + tls::describe(missing.certificate.get()).subject +
             "\" is not sent: append it (" + missing.file + ") to the server's chain file";
    }
    const std::string_view name = of_trust && origin_ca ? "cloudflare_origin_ca" : to_string(finding.reason);
    tell_of_chain(severity, name, std::move(text), chain);
  }
  judge_staple(chain);
}

void Judgement::judge_staple(const ProbeChain& chain) {
  using Status = tls::ShownStaple::Status;
  if (chain.staple.status == Status::revoked) {
    tell_of_chain(
        ProbeSeverity::fail, "ocsp_revoked",
        "the OCSP response that the server staples says that its certificate is revoked: get a new one",
        chain);
  } else if (chain.staple.status == Status::absent && chain.must_staple) {
    tell_of_chain(
        ProbeSeverity::fail, "must_staple",
        "the certificate promises an OCSP response in the handshake (must-staple) and there is none: "
        "switch OCSP stapling on, or get a certificate without the promise",
        chain);
  } else if (chain.staple.status != Status::absent && chain.staple.next_update != base::WallTime{} &&
             chain.staple.next_update < report_.at) {
    tell_of_chain(
        ProbeSeverity::warn, "ocsp_expired",
        "the OCSP response that the server staples is out of date: see why it does not fetch a new one",
        chain);
  }
}

// ---- the rest ------------------------------------------------------------------------------

// Whoever failed and is not covered by a cause that was found.
void Judgement::unexplained() {
  for (const ProbeRow& row : report_.rows) {
    const ProbeKind kind = row.result.kind;
    if (row.outcome != ProbeOutcome::fail || is_explained(kind)) continue;
    const bool grave =
        kind == ProbeKind::tls13 || kind == ProbeKind::tls12 || kind == ProbeKind::cloudflare_13;
    const std::string_view name =
        row.reason == HandshakeReason::none ? std::string_view("other") : to_string(row.reason);
    tell(grave ? ProbeSeverity::fail : ProbeSeverity::warn, name,
         std::string(tls::about(kind).about) + " fails: " + row.note, grave ? kHandshakeFailed : 0, {kind});
  }
}

}  // namespace

std::string_view to_string(ProbeFinding::Severity severity) noexcept {
  switch (severity) {
    case ProbeSeverity::info:
      return "info";
    case ProbeSeverity::warn:
      return "warn";
    case ProbeSeverity::fail:
      break;
  }
  return "fail";
}

bool ProbeReport::ok() const noexcept {
  return std::none_of(findings.begin(), findings.end(),
                      [](const ProbeFinding& one) { return one.severity == ProbeSeverity::fail; });
}

void judge(ProbeReport& report) {
  judge_rows(report);
  Judgement(report).run();
}

}  // namespace sallyport::cli
