// The hint: what happened, with the facts of this handshake, and what to change. A reason of which
// no more is known than its name says what the table says.
#include <algorithm>
#include <ctime>

#include "sallyport/tls/explain.hpp"

#include "client_rule.hpp"
#include "openssl.hpp"
#include "suites.hpp"
#include "words.hpp"

namespace sallyport::tls {

namespace {

using Reason = HandshakeReason;

constexpr std::size_t kName = 120;  // of a host, a subject, a server name

std::string cut_in_quotes(std::string_view text) {
  return "'" + cut(text, kName) + "'";
}

// The table is written for a page; a log line has no use for its quotes.
std::string plain(std::string_view text) {
  std::string words(text);
  std::erase(words, '`');
  return words;
}

std::string table_hint(Reason reason) {
  const ReasonText& text = about(reason);
  return plain(text.cause) + ": " + plain(text.remedy);
}

// This and what uses it is asked only of failures that met a host.
std::string host_word(const HandshakeFailure& f) {
  return "host " + cut(f.host->name, kName);
}

std::string policy_word(const HandshakeFailure& f) {
  const std::string policy = "policy " + cut(f.policy->name, kName);
  return f.rule == nullptr ? policy : policy + " (picked by rule " + cut(f.rule->name, kName) + ")";
}

std::string day(base::WallTime when) {
  const std::time_t seconds = base::WallClock::to_time_t(when);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[16];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d", &parts)};
}

std::string_view auth_word(SuiteAuth auth) {
  return auth == SuiteAuth::ecdsa ? "ECDSA" : "RSA";
}

bool has_certificate(const HandshakeFailure& f, SuiteAuth auth) {
  const auto& list = f.host->certificates;
  return std::any_of(list.begin(), list.end(), [&](const auto& c) { return auth_of(*c) == auth; });
}

std::string certificates_word(const HandshakeFailure& f) {
  const bool ecdsa = has_certificate(f, SuiteAuth::ecdsa);
  if (ecdsa && has_certificate(f, SuiteAuth::rsa)) return "an ECDSA and an RSA certificate";
  return ecdsa ? "only an ECDSA certificate" : "only an RSA certificate";
}

bool both_speak13(const HandshakeFailure& f) {
  return f.policy->allows(Version::tls13) && f.hello->offers(Version::tls13);
}

// What all suites of TLS 1.2 that the client offers have in common; `other`: no two agree.
template <class Kind>
Kind all_of(const U16View& suites, Kind (*kind)(std::uint16_t)) {
  Kind found = Kind::any;
  for (const std::uint16_t suite : suites) {
    if (is_signal(suite) || suite_exchange(suite) == SuiteExchange::any) continue;
    if (found != Kind::any && kind(suite) != found) return Kind::other;
    found = kind(suite);
  }
  return found;
}

// ---- the parameters ------------------------------------------------------------------------

// Suites are shared, and yet none can be had: it is the certificate.
std::string no_certificate_fits(const HandshakeFailure& f) {
  const Policy& policy = *f.policy;
  const auto shares = [&](SuiteAuth auth) {
    return std::any_of(policy.ciphers.begin(), policy.ciphers.end(), [&](std::uint16_t id) {
      return suite_auth(id) == auth && f.hello->cipher_suites.contains(id);
    });
  };
  const bool rsa = shares(SuiteAuth::rsa);
  const SuiteAuth wanted = rsa ? SuiteAuth::rsa : SuiteAuth::ecdsa;
  if (rsa != shares(SuiteAuth::ecdsa) && !has_certificate(f, wanted)) {
    const std::string kind(auth_word(wanted));
    const bool all = all_of(f.hello->cipher_suites, suite_auth) == wanted;
    const bool ecdhe = all_of(f.hello->cipher_suites, suite_exchange) == SuiteExchange::ecdhe;
    return (all ? "the client offers only " : "of what the policy allows the client offers only ") +
           std::string(ecdhe || !all ? "ECDHE-" : "") + kind + " suites and " + host_word(f) + " has " +
           certificates_word(f) + ": add an " + kind + " one";
  }
  for (const auto& certificate : f.host->certificates) {
    const std::uint16_t curve = curve_of(*certificate);
    if (curve == 0 || f.hello->groups.raw().empty() || f.hello->groups.contains(curve)) continue;
    return "the ECDSA certificate of " + host_word(f) + " is on " + std::string(find_group(curve)->name) +
           ", which the client does not list among its groups: add an RSA certificate, or one on a curve of "
           "the client's";
  }
  return table_hint(Reason::no_shared_cipher);
}

std::string no_shared_cipher(const HandshakeFailure& f, const Explanation& s) {
  const Policy& policy = *f.policy;
  const std::string sides = "the client offers " + s.ciphers.offered + "; " + policy_word(f) + " of " +
                            host_word(f) + " allows " + s.ciphers.configured;
  if (both_speak13(f))
    return "no TLS 1.3 suite in common: " + sides + ": add one of the client's to cipher_suites";
  if (f.hello->cipher_suites.contains_any(policy.ciphers)) return no_certificate_fits(f);
  if (all_of(f.hello->cipher_suites, suite_exchange) == SuiteExchange::rsa) {
    return "the client offers only suites without forward secrecy (" + s.ciphers.offered + "); " +
           policy_word(f) + " of " + host_word(f) + " allows " + s.ciphers.configured +
           ": update the client, or add a suite of its to ciphers";
  }
  return sides + ": add one of the client's to ciphers";
}

std::string no_shared_group(const HandshakeFailure& f, const Explanation& s) {
  return "the client offers the groups " + s.groups.offered + "; " + policy_word(f) + " of " + host_word(f) +
         " allows " + s.groups.configured + ": add one of the client's to groups";
}

std::string no_shared_sigalg(const HandshakeFailure& f, const Explanation& s) {
  const bool rsa = has_certificate(f, SuiteAuth::rsa);
  const bool ecdsa = has_certificate(f, SuiteAuth::ecdsa);
  const std::string remedy = rsa && ecdsa ? "add a signature algorithm at the client"
                                          : std::string("add an ") + (rsa ? "ECDSA" : "RSA") + " one";
  return "the client takes signatures by " + s.sigalgs.offered + " and " + host_word(f) + " has " +
         certificates_word(f) + ", which signs by " + s.sigalgs.configured + ": " + remedy;
}

std::string unsupported_version(const HandshakeFailure& f, const Explanation& s) {
  if (f.alert_sent == SSL_AD_INAPPROPRIATE_FALLBACK) {
    return "the client fell back to a lower version than both sides speak: its first try was broken off, "
           "look "
           "for a middlebox between";
  }
  const std::string sides = "the client offers " + s.versions.offered + "; " + policy_word(f) + " of " +
                            host_word(f) + " speaks " + s.versions.configured;
  const bool modern = f.hello->offers(Version::tls12) || f.hello->offers(Version::tls13);
  if (!modern) return sides + ": update the client, TLS 1.0 and 1.1 are not spoken here";
  return sides + (f.hello->offers(Version::tls12) ? ": set min_version to \"1.2\", or update the client"
                                                  : ": set max_version to \"1.3\"");
}

std::string no_alpn_overlap(const HandshakeFailure& f, const Explanation& s) {
  const std::string sides = "the client speaks " + s.alpn.offered + "; " + policy_word(f) + " of " +
                            host_word(f) + " speaks " + s.alpn.configured;
  for (const std::string_view web : {"h2", "http/1.1"}) {
    if (f.hello->alpn.contains(web)) return sides + ": add " + std::string(web) + " to alpn";
  }
  if (f.hello->alpn.contains("acme-tls/1")) {
    return sides +
           ": a certificate authority validates by TLS-ALPN-01, which is not answered here; use HTTP-01 or "
           "DNS-01";
  }
  return sides + ": the client means another service";
}

// ---- the name ------------------------------------------------------------------------------

// The name as it was sent, also one that cannot be a host's.
std::string sent_name(const ClientHello& hello) {
  Extension extension;
  for (std::size_t at = 0; hello.extensions.next(at, extension);) {
    constexpr std::size_t kHeader = 5;  // of the list, the kind and the name
    if (extension.type != 0 || extension.body.size() < kHeader) continue;
    const auto name = extension.body.subspan(kHeader);
    return cut_in_quotes({reinterpret_cast<const char*>(name.data()), name.size()});
  }
  return "''";
}

std::string unknown_sni(const HandshakeFailure& f) {
  if (f.hello != nullptr && f.hello->sni_state == SniState::invalid) {
    return "the client asks for " + sent_name(*f.hello) +
           ", which is no host name (addresses may not stand in SNI): have it ask by name";
  }
  return "no host on this listener is named " + cut_in_quotes(f.sni) +
         ": add it to a host's names, or name a host for such clients in tls.unknown_sni";
}

std::string refused_by_rule(const HandshakeFailure& f) {
  return "rule " + cut(f.rule->name, kName) + " of policy " + cut(f.policy->name, kName) + " of " +
         host_word(f) +
         " refuses such clients: if this one is welcome, narrow the rule's when or put a rule "
         "that lets it in before it";
}

// ---- the bytes -----------------------------------------------------------------------------

std::string not_tls(const HandshakeFailure& f) {
  switch (f.fault) {
    case HelloFault::plain_http:
      return "the client spoke plain HTTP on a TLS port and was answered 400: use https://, or a listener "
             "with "
             "protocol: http";
    case HelloFault::proxy_header:
      return "a PROXY protocol header came from an address that is not trusted to send one: list it in the "
             "listener's proxy_protocol.from";
    default:
      return "the first bytes are no TLS record: another protocol, or a scanner";
  }
}

std::string timeout(const HandshakeFailure& f, Stage stage) {
  const auto ms = std::chrono::duration_cast<base::Milliseconds>(f.duration).count();
  const std::string waited = " within " + std::to_string(ms) + " ms";
  if (f.silent) return "not one byte came" + waited + ": a check that never speaks, or a client that stalls";
  if (stage == Stage::hello)
    return "the ClientHello was not whole" + waited + ": bytes were lost on the way, or held back";
  return "the client did not answer our certificate" + waited +
         ": it stalls, or large packets do not reach it (MTU)";
}

// ---- the peer's alert ----------------------------------------------------------------------

std::string shown(const HandshakeFailure& f) {
  if (f.certificate == nullptr) return "the certificate";
  return "the certificate " + cut_in_quotes(f.certificate->subject()) + " (" +
         cut(f.certificate->chain_file(), kName) + ")";
}

std::string unknown_ca(const HandshakeFailure& f) {
  if (f.certificate == nullptr) return table_hint(Reason::peer_alert_unknown_ca);
  const Certificate& ours = *f.certificate;
  const std::string begin = "the client does not know the CA of " + shown(f);
  if (ours.subject() == ours.issuer()) {
    return begin +
           ", which is self-signed: give the client this certificate, or get one of a CA that it knows";
  }
  const std::string issuer = cut_in_quotes(ours.issuer());
  const std::size_t above = ours.chain_length() - 1;
  if (above == 0) {
    return begin + ": the chain has no intermediate; unless " + issuer +
           " is a root that the client should have, append its certificate to the chain file";
  }
  return begin + ", issued by " + issuer + ": the chain has " + std::to_string(above) +
         (above == 1 ? " certificate" : " certificates") +
         " above it, so the client lacks the root, or a further intermediate is missing";
}

std::string names_mismatch(const HandshakeFailure& f) {
  if (f.certificate == nullptr || f.sni.empty() || f.certificate->covers(f.sni)) return {};
  WordList names;
  for (const std::string& name : f.certificate->dns_names()) names.add(name);
  return shown(f) + " is for " + cut(names.str(), 300) + " and not for " + cut_in_quotes(f.sni) +
         ": add the name to the certificate, or give that name a host of its own";
}

std::string refused_certificate(const HandshakeFailure& f, Reason reason) {
  std::string names = names_mismatch(f);
  if (!names.empty()) return names;
  return "the client refused " + shown(f) + ": " + plain(about(reason).remedy);
}

std::string expired(const HandshakeFailure& f) {
  if (f.certificate == nullptr) return table_hint(Reason::peer_alert_certificate_expired);
  const Certificate& ours = *f.certificate;
  if (ours.not_after() < base::WallClock::now()) {
    return shown(f) + " expired on " + day(ours.not_after()) + ": renew it and send SIGHUP";
  }
  return shown(f) + " is valid until " + day(ours.not_after()) +
         ": a certificate above it is expired, or the client's clock is wrong";
}

std::string other_alert(const HandshakeFailure& f) {
  const std::uint8_t alert = f.alert_received.value_or(0);
  const std::string_view name = alert_name(alert);
  const std::string text = name.empty() ? "number " + std::to_string(alert) : std::string(name);
  return "the client ended the handshake with the alert " + text + ": the client's log has the reason";
}

// ---- the client's certificate --------------------------------------------------------------

// A list of revoked certificates that is missing or out of date, where that is it; else empty.
std::string unlisted(const HandshakeFailure& f) {
  if (f.verify_code == X509_V_ERR_UNABLE_TO_GET_CRL) {
    return ": no revocation list in client_auth.crls of " + policy_word(f) + " is of its issuer " +
           cut_in_quotes(f.client_issuer) + ": add it";
  }
  const bool old = f.verify_code == X509_V_ERR_CRL_HAS_EXPIRED;
  if (!old && f.verify_code != X509_V_ERR_CRL_NOT_YET_VALID) return {};
  const ClientRule* rule = f.policy->client_rule.get();
  const RevocationList* list = rule == nullptr ? nullptr : rule->list_of(f.client_issuer);
  const std::string file = list == nullptr ? std::string("of its issuer") : cut_in_quotes(list->file);
  if (!old) return ": the revocation list " + file + " is not valid yet: check the clock";
  const std::string due = list != nullptr && list->until ? ", due on " + day(*list->until) : std::string();
  return ": the revocation list " + file + " is out of date" + due + ": put a new one there and send SIGHUP";
}

// Where a key of the client-certificate rule is to be changed.
std::string auth_word(const HandshakeFailure& f, const char* key) {
  if (f.policy->origin_pull) return std::string("origin_pull.") + key + " of " + host_word(f);
  return std::string("client_auth.") + key + " of " + policy_word(f);
}

// The certificate is good, but not one of those that the policy names.
std::string not_named(const HandshakeFailure& f, const std::string& begin) {
  const ClientRule* rule = f.policy->client_rule.get();
  if (f.verify_code == kNoSanMatches && rule != nullptr) {
    WordList wanted;
    for (const std::string& name : rule->sans) wanted.add(cut(name, kName));
    const std::string names = f.client_names.empty() ? std::string("none") : cut(f.client_names, 500);
    return begin + " has none of the names in " + auth_word(f, "sans") + ", " + cut(wanted.str(), 300) +
           "; its names are " + names + ": add one of them, or give the client the right certificate";
  }
  return begin + " has a key that is none of " + auth_word(f, "spki_pins") + "; its pin is " +
         std::string(f.client_pin) + ": add it, or give the client the right certificate";
}

std::string client_certificate(const HandshakeFailure& f, Reason reason) {
  const Policy& policy = *f.policy;
  const std::string ca = cut_in_quotes(policy.client_ca_file);
  if (reason == Reason::client_cert_missing) {
    const bool strict = policy.client_auth == ClientAuthMode::require;
    return host_word(f) + (strict ? " requires" : " would require") + " a client certificate of a CA in " +
           ca + " and the client sent none: give it one, or set " + auth_word(f, "mode") +
           (policy.origin_pull ? " to report or off" : " to request or off");
  }
  std::string begin = "the client's certificate";
  if (!f.client_subject.empty())
    begin += " " + cut_in_quotes(f.client_subject) + ", issued by " + cut_in_quotes(f.client_issuer) + ",";
  if (reason == Reason::client_cert_pin) return not_named(f, begin);
  if (f.verify_code != 0)
    begin += " was not taken (" + std::string(X509_verify_cert_error_string(f.verify_code)) + ")";
  if (std::string list = unlisted(f); !list.empty()) return begin + list;
  if (reason == Reason::client_cert_untrusted) {
    return begin + ": add its CA to " + ca + ", or have the client send its intermediates as well";
  }
  return begin + ": " + plain(about(reason).remedy);
}

std::string peer_left(const HandshakeFailure& f, const Verdict& verdict) {
  if (verdict.stage != Stage::finished) return table_hint(verdict.reason);
  const std::string how = verdict.reason == Reason::peer_reset ? "reset the connection" : "closed";
  return "the client " + how + " after it saw " + shown(f) +
         ", without an alert: it may not trust it, or it gave up waiting; the client's log has the reason";
}

std::string early_alert(const HandshakeFailure& f) {
  const std::string_view name = alert_name(f.alert_received.value_or(0));
  return "the client sent the alert " + std::string(name.empty() ? "of an unknown kind" : name) +
         " instead of a ClientHello: its own settings leave it nothing to offer; the client's log has the "
         "reason";
}

std::string hint_without_host(const HandshakeFailure& f) {
  if (f.fault == HelloFault::alert) return early_alert(f);
  switch (f.verdict.reason) {
    case Reason::unknown_sni:
      return unknown_sni(f);
    case Reason::not_tls:
      return not_tls(f);
    case Reason::timeout:
      return timeout(f, f.verdict.stage);
    default:
      return table_hint(f.verdict.reason);
  }
}

std::string hint_with_host(const HandshakeFailure& f, const Explanation& s) {
  switch (f.verdict.reason) {
    case Reason::refused_by_rule:
      return f.rule == nullptr ? table_hint(Reason::refused_by_rule) : refused_by_rule(f);
    case Reason::no_shared_cipher:
      return no_shared_cipher(f, s);
    case Reason::no_shared_group:
      return no_shared_group(f, s);
    case Reason::no_shared_sigalg:
      return no_shared_sigalg(f, s);
    case Reason::unsupported_version:
      return unsupported_version(f, s);
    case Reason::no_alpn_overlap:
      return no_alpn_overlap(f, s);
    case Reason::peer_alert_unknown_ca:
      return unknown_ca(f);
    case Reason::peer_alert_bad_certificate:
    case Reason::peer_alert_certificate_unknown:
      return refused_certificate(f, f.verdict.reason);
    case Reason::peer_alert_certificate_expired:
      return expired(f);
    case Reason::peer_alert_other:
      return other_alert(f);
    case Reason::client_cert_missing:
    case Reason::client_cert_untrusted:
    case Reason::client_cert_expired:
    case Reason::client_cert_revoked:
    case Reason::client_cert_pin:
      return client_certificate(f, f.verdict.reason);
    case Reason::timeout:
      return timeout(f, f.verdict.stage);
    case Reason::peer_closed:
    case Reason::peer_reset:
      return peer_left(f, f.verdict);
    default:
      return table_hint(f.verdict.reason);
  }
}

}  // namespace

std::string hint_of_client(const Handshake& facts) {
  HandshakeFailure told;
  told.verdict = {Stage::client_cert, client_cert_reason(facts.client_cert)};
  told.host = facts.host;
  told.policy = &facts.terms->policy();
  told.rule = facts.rule;
  told.hello = facts.hello;
  told.sni = facts.sni;
  if (const RefusedCertificate* refused = facts.client_refused) {
    told.verify_code = refused->code;
    told.client_subject = refused->subject;
    told.client_issuer = refused->issuer;
    told.client_names = refused->names;
    told.client_pin = refused->pin;
  } else if (facts.client != nullptr) {  // resumed: what was found then is known by its reason alone
    told.client_subject = facts.client->subject;
    told.client_issuer = facts.client->issuer;
  }
  return client_certificate(told, told.verdict.reason);
}

std::string hint_of(const HandshakeFailure& failure, const Explanation& sets) {
  const bool met = failure.host != nullptr && failure.hello != nullptr;
  std::string hint = met ? hint_with_host(failure, sets) : hint_without_host(failure);
  if (failure.hello != nullptr && offers_as_cloudflare(failure.hello->cipher_suites)) {
    hint += " (the TLS 1.2 suites are those of Cloudflare to an origin: its visitors see error 525)";
  }
  return hint;
}

}  // namespace sallyport::tls
