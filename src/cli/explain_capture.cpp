// `sallyport explain` of a captured ClientHello.
#include <cstdio>

#include <boost/json.hpp>

#include "sallyport/tls/capture.hpp"
#include "sallyport/tls/compose.hpp"

#include "explain.hpp"

namespace sallyport::cli {

namespace {

namespace json = boost::json;

struct CapturedHello {
  tls::Capture capture;
  const tls::ClientHello& hello;
  tls::Explanation offer;
};

std::string key_shares(const tls::ClientHello& hello) {
  std::string text;
  const auto bytes = hello.key_share_bytes;
  for (std::size_t at = 0; at + 4 <= bytes.size();) {
    const auto group = static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
    if (!tls::is_grease(group)) text += (text.empty() ? "" : ", ") + tls::group_text(group);
    at += 4 + static_cast<std::size_t>(bytes[at + 2] << 8 | bytes[at + 3]);
  }
  return text.empty() ? "none" : text;
}

std::vector<std::string> extras(const tls::ClientHello& hello) {
  std::vector<std::string> list;
  if (hello.has_session_ticket) list.emplace_back("a session ticket");
  if (hello.has_psk) list.emplace_back("a pre-shared key");
  if (hello.has_early_data) list.emplace_back("early data");
  if (hello.has_ech) list.emplace_back("Encrypted ClientHello");
  return list;
}

std::string sni_text(const tls::ClientHello& hello) {
  switch (hello.sni_state) {
    case tls::SniState::valid:
      return std::string(hello.sni);
    case tls::SniState::invalid:
      return "one that is no host name";
    case tls::SniState::absent:
      break;
  }
  return "none";
}

void line(const char* what, const std::string& text) {
  std::printf("  %-15s %s\n", what, text.c_str());
}

void print_offer(const CapturedHello& subject) {
  const tls::Capture& capture = subject.capture;
  const tls::ClientHello& hello = subject.hello;
  std::printf("A ClientHello of %zu bytes, from %s\n", capture.records.size(),
              std::string(to_string(capture.form)).c_str());
  if (capture.client) line("connection", capture.client->to_string() + " to " + capture.server->to_string());
  line("server name", sni_text(hello));
  line("versions", subject.offer.versions.offered);
  line("cipher suites", subject.offer.ciphers.offered);
  line("groups", subject.offer.groups.offered);
  line("key shares", key_shares(hello));
  line("signatures", subject.offer.sigalgs.offered);
  line("ALPN", hello.has_alpn ? subject.offer.alpn.offered : "not sent");
  for (const std::string& extra : extras(hello)) line("besides", extra);
  line("JA4", subject.offer.ja4);
  line("JA3", subject.offer.ja3);
}

// What was given, what the packets told, or nothing known.
net::Endpoint client_of(const ExplainArguments& arguments, const tls::Capture& capture) {
  if (!arguments.client.empty()) return {*net::IpAddress::parse(arguments.client), 0};
  return capture.client.value_or(net::Endpoint{});
}

bool reads_addresses(const tls::Rehearsal& rehearsal) {
  if (rehearsal.host == nullptr) return false;
  for (const tls::Rule& rule : rehearsal.host->own.policy().rules) {
    if (!rule.when.blocks.empty()) return true;
  }
  return false;
}

std::string client_certificate(const tls::Policy& policy) {
  switch (policy.client_auth) {
    case tls::ClientAuthMode::off:
      break;
    case tls::ClientAuthMode::require:
      return "the client must show a certificate of a CA in " + policy.client_ca_file;
    case tls::ClientAuthMode::request:
    case tls::ClientAuthMode::report:
      return "the client is asked for a certificate of a CA in " + policy.client_ca_file +
             ", and let in without";
  }
  return {};
}

void print_rehearsal(const tls::Rehearsal& r, const Trial& trial, std::uint32_t listener, bool client_known) {
  std::printf("\nUnder %s, at listener %s\n", trial.file.c_str(),
              trial.model.listeners[listener].name.c_str());
  line("host", r.host == nullptr ? "none" : r.host->name);
  if (r.host != nullptr) {
    line("rule",
         r.rule == nullptr ? "none matches" : r.rule->name + (r.rule->refuses() ? ", which refuses" : ""));
    line("policy", r.policy->name);
  }
  line("outcome", outcome_text(r));
  if (r.refused) {
    if (r.alert) line("alert", std::string(tls::alert_name(*r.alert)));
    line("why", r.told.hint);
  } else {
    if (r.hello_retry)
      line("first", "it is asked for a key share of " + tls::group_text(r.group) + " (HelloRetryRequest)");
    if (const std::string asked = client_certificate(*r.policy); !asked.empty()) line("then", asked);
    line("beyond", "what the client makes of the certificate is not in its hello");
  }
  if (!client_known && reads_addresses(r))
    line("note", "rules on addresses were judged for 0.0.0.0: give --client");
}

json::value text_or_null(std::string_view text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

json::object offer_json(const CapturedHello& subject) {
  json::object to;
  to["form"] = to_string(subject.capture.form);
  to["bytes"] = subject.capture.records.size();
  if (subject.capture.client) {
    to["client"] = subject.capture.client->to_string();
    to["server"] = subject.capture.server->to_string();
  }
  to["sni"] = subject.hello.sni;
  to["versions"] = subject.offer.versions.offered;
  to["ciphers"] = subject.offer.ciphers.offered;
  to["groups"] = subject.offer.groups.offered;
  to["key_shares"] = key_shares(subject.hello);
  to["sigalgs"] = subject.offer.sigalgs.offered;
  to["alpn"] = subject.hello.has_alpn ? json::value(subject.offer.alpn.offered) : json::value(nullptr);
  to["ja3"] = subject.offer.ja3;
  to["ja4"] = subject.offer.ja4;
  json::array besides;
  for (const std::string& extra : extras(subject.hello)) besides.push_back(json::string(extra));
  to["besides"] = std::move(besides);
  return to;
}

json::object rehearsal_json(const tls::Rehearsal& r, const Trial& trial, std::uint32_t listener) {
  json::object to;
  to["listener"] = trial.model.listeners[listener].name;
  to["host"] = text_or_null(r.host == nullptr ? std::string_view() : r.host->name);
  to["policy"] = text_or_null(r.policy == nullptr ? std::string_view() : r.policy->name);
  to["rule"] = text_or_null(r.rule == nullptr ? std::string_view() : r.rule->name);
  to["refused"] = r.refused;
  if (r.refused) {
    to["reason"] = to_string(r.verdict.reason);
    to["stage"] = to_string(r.verdict.stage);
    to["alert"] = text_or_null(r.alert ? tls::alert_name(*r.alert) : std::string_view());
    to["hint"] = r.told.hint;
  } else {
    to["version"] = to_string(r.version);
    to["cipher"] = tls::suite_text(r.cipher);
    to["group"] = text_or_null(r.group == 0 ? std::string() : tls::group_text(r.group));
    to["alpn"] = text_or_null(r.alpn);
    to["hello_retry"] = r.hello_retry;
    to["client_certificate"] = text_or_null(client_certificate(*r.policy));
  }
  return to;
}

}  // namespace

int explain_capture(std::string_view file, const ExplainArguments& arguments, const Trial* trial) {
  auto captured = tls::read_capture(file);
  if (captured.has_error()) {
    std::fprintf(stderr, "%s: %s\n", arguments.file.c_str(), captured.error().c_str());
    return kFailed;
  }
  if (arguments.sni) captured->records = tls::with_server_name(captured->records, *arguments.sni);
  tls::HelloReader reader;
  if (reader.feed(captured->records) != tls::HelloReader::State::complete) {
    std::fprintf(stderr, "%s: its ClientHello cannot be read\n", arguments.file.c_str());
    return kFailed;
  }
  const CapturedHello subject{std::move(*captured), reader.hello(), tls::offer_of(reader.hello())};
  std::optional<tls::Rehearsal> rehearsal;
  std::uint32_t listener = 0;
  if (trial != nullptr) {
    const std::uint16_t port = subject.capture.server ? subject.capture.server->port : std::uint16_t{0};
    listener = *trial->listener(arguments.listener, port);
    rehearsal =
        tls::rehearse(trial->store, subject.capture.records, listener, client_of(arguments, subject.capture));
    if (!rehearsal) {
      std::fprintf(stderr, "the handshake could not be tried: no sockets, or no memory\n");
      return kFailed;
    }
  }
  if (arguments.as_json) {
    json::object to{{"offer", offer_json(subject)}};
    if (rehearsal) to["outcome"] = rehearsal_json(*rehearsal, *trial, listener);
    std::printf("%s\n", json::serialize(to).c_str());
    return kOk;
  }
  print_offer(subject);
  const bool client_known = !arguments.client.empty() || subject.capture.client;
  if (rehearsal) print_rehearsal(*rehearsal, *trial, listener, client_known);
  return kOk;
}

}  // namespace sallyport::cli
