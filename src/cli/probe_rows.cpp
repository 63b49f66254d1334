// What is to be made of one connection: whether that client gets in, and the reason if not, in the
// words of the gateway's own verdicts (tls/verdict.hpp).
#include <algorithm>

#include "sallyport/tls/chain.hpp"
#include "sallyport/tls/names.hpp"

#include "probe_judge.hpp"

namespace sallyport::cli {

namespace {

using tls::HandshakeReason;
using tls::ProbeEnd;
using tls::ProbeKind;
using tls::ProbeResult;

std::string quoted_line(const std::string& line) {
  return line.empty() ? "nothing that can be read" : "'" + line + "'";
}

std::string alert_word(std::optional<std::uint8_t> alert) {
  const std::string_view name = tls::alert_name(alert.value_or(0));
  return name.empty() ? "number " + std::to_string(alert.value_or(0)) : std::string(name);
}

std::string patience(const ProbeReport& report) {
  const auto ms = report.timeout.count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

std::string end_words(const ProbeReport& report, ProbeEnd end, std::optional<std::uint8_t> alert,
                      const std::string& detail, bool silent) {
  const std::string where = silent ? "" : ", in the middle";
  switch (end) {
    case ProbeEnd::alert:
      return "alert " + alert_word(alert);
    case ProbeEnd::closed:
      return "closed by the server" + where;
    case ProbeEnd::reset:
      return (detail.empty() ? "reset by the server" : detail) + where;
    case ProbeEnd::timeout:
      return (silent ? "no answer within " : "the answer was not whole within ") + patience(report);
    case ProbeEnd::not_tls:
      return "not TLS: " + quoted_line(detail);
    case ProbeEnd::broken:
      return "an answer that breaks the rules of TLS" + (detail.empty() ? "" : " (" + detail + ")");
    default:
      return {};
  }
}

// ---- why -----------------------------------------------------------------------------------

// A server says handshake_failure whenever nothing fits. What does fit is told by the other clients.
HandshakeReason of_handshake_failure(const ProbeRows& rows, const ProbeResult& result) {
  switch (result.kind) {
    case ProbeKind::no_sni:
      return HandshakeReason::missing_sni;
    case ProbeKind::unknown_sni:
      return HandshakeReason::unknown_sni;
    case ProbeKind::ecdsa_only:
    case ProbeKind::rsa_only:
      if (!rows.any_works()) break;
      return rows.works(ProbeKind::tls13) ? HandshakeReason::no_shared_sigalg
                                          : HandshakeReason::no_shared_cipher;
    case ProbeKind::h2_only:
      return rows.works(ProbeKind::http1_only) ? HandshakeReason::no_alpn_overlap
                                               : HandshakeReason::peer_alert_handshake_failure;
    case ProbeKind::cloudflare_12:
      // Both are of TLS 1.2 and differ in their suites and groups.
      if (!rows.works(ProbeKind::tls12)) break;
      return rows.chose_foreign_group() ? HandshakeReason::no_shared_group
                                        : HandshakeReason::no_shared_cipher;
    case ProbeKind::cloudflare_13:
    case ProbeKind::split_hello:
    case ProbeKind::split_records:
      if (rows.works(ProbeKind::tls13) || rows.works(ProbeKind::cloudflare_12)) break;
      if (!rows.works(ProbeKind::tls12)) break;
      return rows.chose_foreign_group() ? HandshakeReason::no_shared_group
                                        : HandshakeReason::no_shared_cipher;
    default:
      break;
  }
  return HandshakeReason::peer_alert_handshake_failure;
}

HandshakeReason of_alert(const ProbeRows& rows, const ProbeResult& result) {
  constexpr std::uint8_t kInsufficientSecurity = 71;
  constexpr std::uint8_t kInappropriateFallback = 86;
  constexpr std::uint8_t kCertificateRequired = 116;
  const bool asked = result.certificate_asked;
  switch (result.alert.value_or(0)) {
    case tls::alert::kProtocolVersion:
    case kInappropriateFallback:
      return HandshakeReason::unsupported_version;
    case tls::alert::kUnrecognizedName:
      return result.kind == ProbeKind::no_sni ? HandshakeReason::missing_sni : HandshakeReason::unknown_sni;
    case tls::alert::kNoApplicationProtocol:
      return HandshakeReason::no_alpn_overlap;
    case kInsufficientSecurity:
      return HandshakeReason::no_shared_cipher;
    case kCertificateRequired:
      return HandshakeReason::client_cert_missing;
    case tls::alert::kBadCertificate:
      return asked ? HandshakeReason::client_cert_missing : HandshakeReason::peer_alert_bad_certificate;
    case tls::alert::kHandshakeFailure:
      // TLS 1.2 has no alert of its own for a certificate that is missing (RFC 5246 §7.4.6).
      return asked ? HandshakeReason::client_cert_missing : of_handshake_failure(rows, result);
    default:
      return HandshakeReason::peer_alert_other;
  }
}

HandshakeReason reason_of(const ProbeRows& rows, const ProbeResult& result) {
  switch (result.end) {
    case ProbeEnd::done:
    case ProbeEnd::answered:
      return HandshakeReason::none;
    case ProbeEnd::alert:
      return of_alert(rows, result);
    case ProbeEnd::closed:
      return HandshakeReason::peer_closed;
    case ProbeEnd::reset:
      return HandshakeReason::peer_reset;
    case ProbeEnd::timeout:
      return HandshakeReason::timeout;
    case ProbeEnd::not_tls:
      return HandshakeReason::not_tls;
    case ProbeEnd::broken:
      break;
  }
  return HandshakeReason::bad_record;
}

// ---- rows ----------------------------------------------------------------------------------

std::string settings_words(const http2::ServerSettings& settings) {
  const auto words = [](const char* name, const std::optional<std::uint32_t>& value) {
    return value ? ", " + std::string(name) + " " + std::to_string(*value) : std::string();
  };
  std::string text = "speaks HTTP/2: ";
  text += settings.max_concurrent_streams ? std::to_string(*settings.max_concurrent_streams) + " streams"
                                          : "any number of streams";
  text += words("window", settings.initial_window_size);
  return text + words("head of at most", settings.max_header_list_size);
}

std::string talk_words(const ProbeReport& report, const ProbeTalk& talk) {
  if (talk.end == ProbeEnd::not_tls)
    return std::string("does not speak ") + (talk.h2 ? "HTTP/2" : "HTTP/1.1") + " but " +
           quoted_line(talk.first_line);
  if (talk.end != ProbeEnd::done)
    return std::string(talk.h2 ? "HTTP/2: " : "HTTP/1.1: ") +
           end_words(report, talk.end, talk.alert, {}, true);
  if (talk.goaway) return "HTTP/2: GOAWAY with code " + std::to_string(*talk.goaway);
  return talk.h2 ? settings_words(talk.settings) : talk.first_line;
}

ProbeOutcome outcome_of_refusable(const ProbeResult& result) {
  if (result.ok() || result.end == ProbeEnd::alert) return ProbeOutcome::ok;
  return ProbeOutcome::odd;
}

ProbeOutcome outcome_of(const ProbeRow& row) {
  const ProbeResult& result = row.result;
  switch (result.kind) {
    case ProbeKind::no_sni:
    case ProbeKind::unknown_sni:
      return outcome_of_refusable(result);
    case ProbeKind::legacy:
      return result.ok() || result.end == ProbeEnd::timeout ? ProbeOutcome::odd : ProbeOutcome::ok;
    case ProbeKind::plain_http: {
      const bool serves = result.end == ProbeEnd::not_tls && result.detail.find(" 200") != std::string::npos;
      return serves || result.end == ProbeEnd::timeout ? ProbeOutcome::odd : ProbeOutcome::ok;
    }
    case ProbeKind::resumption:
      if (!result.ok()) return ProbeOutcome::fail;
      return result.resumed ? ProbeOutcome::ok : ProbeOutcome::odd;
    case ProbeKind::h2_only:
      if (result.ok() && result.alpn != "h2") return ProbeOutcome::fail;
      break;
    default:
      break;
  }
  if (!result.ok()) return ProbeOutcome::fail;
  if (!row.talk) return ProbeOutcome::ok;
  if (row.talk->end != ProbeEnd::done) return ProbeOutcome::fail;
  const bool odd = row.talk->goaway || (!row.talk->h2 && row.talk->status >= 400);
  return odd ? ProbeOutcome::odd : ProbeOutcome::ok;
}

std::string shown_certificate(const ProbeResult& result) {
  if (result.chain.empty()) return "served";
  return "shows \"" + tls::describe(result.chain.front().get()).subject + "\"";
}

std::string note_of_success(const ProbeReport& report, const ProbeRow& row) {
  const ProbeResult& result = row.result;
  std::string note;
  const auto add = [&](const std::string& text) { note += (note.empty() ? "" : "; ") + text; };
  if (result.hello_retry) add("asks for a second hello");
  if (result.certificate_asked) add("asks for a client certificate");
  if (result.kind == ProbeKind::resumption) add(result.resumed ? "resumed" : "a full handshake again");
  if (result.kind == ProbeKind::no_sni || result.kind == ProbeKind::unknown_sni)
    add(shown_certificate(result));
  if (result.kind == ProbeKind::h2_only && result.alpn != "h2") add("does not choose h2");
  if (row.talk) add(talk_words(report, *row.talk));
  return note;
}

std::string note_of(const ProbeReport& report, const ProbeRow& row) {
  const ProbeResult& result = row.result;
  if (result.ok()) return note_of_success(report, row);
  if (result.kind == ProbeKind::plain_http && result.end == ProbeEnd::not_tls)
    return quoted_line(result.detail);
  std::string note = end_words(report, result.end, result.alert, result.detail, result.silent);
  // An alert says less than the verdict, the other ends say the same.
  const bool refusable = row.outcome != ProbeOutcome::fail;
  if (result.end == ProbeEnd::alert && !refusable) note += ": " + std::string(to_string(row.reason));
  return note;
}

}  // namespace

std::string_view to_string(ProbeOutcome outcome) noexcept {
  switch (outcome) {
    case ProbeOutcome::ok:
      return "ok";
    case ProbeOutcome::odd:
      return "odd";
    case ProbeOutcome::fail:
      break;
  }
  return "fail";
}

const ProbeRow* ProbeRows::row(ProbeKind kind) const noexcept {
  const auto found = std::find_if(report_.rows.begin(), report_.rows.end(),
                                  [kind](const ProbeRow& one) { return one.result.kind == kind; });
  return found == report_.rows.end() ? nullptr : &*found;
}

bool ProbeRows::works(ProbeKind kind) const noexcept {
  const ProbeRow* one = row(kind);
  return one != nullptr && one->result.ok();
}

bool ProbeRows::fails(ProbeKind kind) const noexcept {
  const ProbeRow* one = row(kind);
  return one != nullptr && !one->result.ok();
}

bool ProbeRows::any_works() const noexcept {
  return std::any_of(report_.rows.begin(), report_.rows.end(),
                     [](const ProbeRow& one) { return one.result.ok() && is_named_client(one.result.kind); });
}

bool ProbeRows::chose_foreign_group() const noexcept {
  const ProbeRow* one = row(ProbeKind::tls12);
  if (one == nullptr || !one->result.ok() || one->result.group.empty()) return false;
  static constexpr std::string_view kTheirs[] = {"X25519MLKEM768", "X25519", "P-256", "P-384"};
  return std::find(std::begin(kTheirs), std::end(kTheirs), one->result.group) == std::end(kTheirs);
}

bool is_named_client(ProbeKind kind) noexcept {
  return kind != ProbeKind::no_sni && kind != ProbeKind::unknown_sni && kind != ProbeKind::legacy &&
         kind != ProbeKind::plain_http;
}

void judge_rows(ProbeReport& report) {
  const ProbeRows rows(report);
  for (ProbeRow& row : report.rows) {
    row.reason = reason_of(rows, row.result);
    row.outcome = outcome_of(row);
  }
  for (ProbeRow& row : report.rows) row.note = note_of(report, row);
}

}  // namespace sallyport::cli
