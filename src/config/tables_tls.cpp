// TLS towards clients: policies, their rules on hellos, client certificates.
#include <algorithm>

#include "sallyport/config/profiles.hpp"

#include "tables.hpp"

namespace sallyport::config {
namespace {

Parsed<std::string> parse_alpn(std::string_view text) {
  if (text != "h2" && text != "http/1.1")
    return Wrong{"expected h2 or http/1.1, found " + in_quotes(text) +
                 ": the gateway speaks no other protocol"};
  return std::string(text);
}

// The names of OpenSSL's lists, one each: "A:B" in one item would be taken apart behind our back.
Parsed<std::string> parse_algorithm(std::string_view text) {
  const bool good = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  if (!good) return Wrong{in_quotes(text) + " is not one name (a list is written [a, b])"};
  return std::string(text);
}

// A name in client certificates, see ClientAuth::sans.
Parsed<std::string> parse_san(std::string_view text) {
  std::string_view name = text;
  for (const std::string_view prefix : {"DNS:", "URI:", "email:", "IP:"}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  const auto bad = [](char c) { return c <= ' ' || c >= 0x7f || c == ',' || c == '"' || c == '\\'; };
  const bool label_star = name.starts_with("*.");
  const bool path_star = name.ends_with("/*") && name.find(':') != std::string_view::npos;
  std::string_view plain = name;
  if (label_star) plain.remove_prefix(2);
  if (path_star) plain.remove_suffix(1);
  if (plain.empty() || std::any_of(plain.begin(), plain.end(), bad) ||
      plain.find('*') != std::string_view::npos ||
      (name.find(':') == std::string_view::npos && name.find('/') != std::string_view::npos)) {
    return Wrong{
        in_quotes(text) +
        " is no name of a certificate: a DNS name (*. stands for one label), a URI (/* at its end for "
        "any that goes on so), an e-mail or an IP address"};
  }
  return std::string(text);
}

// Base64 of 32 bytes: 43 characters and one '=', the last of them with two bits of nothing.
Parsed<std::string> parse_pin(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const bool whole = text.size() == 44 && text.back() == '=' &&
                     text.find_first_not_of(kDigits) == text.size() - 1 && kDigits.find(text[42]) % 4 == 0;
  if (whole) return std::string(text);
  return Wrong{
      in_quotes(text) +
      " is no pin, which is the base64 of 32 bytes: openssl x509 -in FILE -noout -pubkey | openssl pkey "
      "-pubin -outform der | openssl dgst -sha256 -binary | base64"};
}

}  // namespace

const Words<TlsVersion>& words_of(TlsVersion) {
  static const Words<TlsVersion> words{{"1.2", TlsVersion::tls12}, {"1.3", TlsVersion::tls13}};
  return words;
}
const Words<ClientAuthMode>& words_of(ClientAuthMode) {
  static const Words<ClientAuthMode> words{{"off", ClientAuthMode::off},
                                           {"request", ClientAuthMode::request},
                                           {"require", ClientAuthMode::require},
                                           {"report", ClientAuthMode::report}};
  return words;
}
const Words<ClientCertFields>& words_of(ClientCertFields) {
  static const Words<ClientCertFields> words{{"client_cert", ClientCertFields::client_cert},
                                             {"xfcc", ClientCertFields::xfcc},
                                             {"separate", ClientCertFields::separate}};
  return words;
}
const Words<TlsProfile>& words_of(TlsProfile) {
  static const Words<TlsProfile> words{{"standard", TlsProfile::standard},
                                       {"modern", TlsProfile::modern},
                                       {"intermediate", TlsProfile::intermediate},
                                       {"cloudflare", TlsProfile::cloudflare},
                                       {"fips", TlsProfile::fips}};
  return words;
}

const Keys<ClientAuth>& keys_of(const ClientAuth*) {
  using T = ClientAuth;
  static const Keys<T> keys{
      key("mode", &T::mode,
          "off, request (verified and reported, never refused), require, or report (as require, but let in "
          "and "
          "told of)"),
      key("ca", &T::ca, "PEM file of the CAs that client certificates come from"),
      key("depth", &T::depth, "intermediate certificates at most", Range{0, 32}),
      key("crls", &T::crls, "files of revocation lists, PEM or DER; what they do not cover is refused"),
      text_key("sans", &T::sans, "one of these names must stand in the certificate; any when left out",
               &parse_san),
      text_key("spki_pins", &T::spki_pins,
               "one of these must be its key: base64 of the SHA-256 of the public key info", &parse_pin),
      key("forward", &T::forward,
          "how upstreams are told of it: client_cert (RFC 9440), xfcc (Envoy's), separate (X-Client-Cert-…)"),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, ClientAuth& auth) {
  if (auth.mode != ClientAuthMode::off && !node.find("ca"))
    reader.error(node, "client certificates are checked against a CA: give ca");
  refuse_empty(reader, node, {"crls", "sans", "spki_pins", "forward"});
}

const Keys<HelloMatch>& keys_of(const HelloMatch*) {
  using T = HelloMatch;
  static const Keys<T> keys{
      key("versions", &T::versions, "\"1.2\", \"1.3\"; older ones too"),
      key("ciphers", &T::ciphers, "suites of TLS 1.2 and 1.3"),
      key("groups", &T::groups, "key exchange"),
      key("sigalgs", &T::sigalgs, "signature algorithms, as ecdsa_secp256r1_sha256"),
      key("alpn", &T::alpn, "protocols, as h2"),
      key("ja4", &T::ja4, "fingerprints; a part between underscores may be *"),
      key("sni", &T::sni, "server names; * is any text; \"\" is none"),
      text_key("addresses", &T::addresses, "ranges of client addresses", &parse_cidr),
  };
  return keys;
}

const Keys<TlsRule>& keys_of(const TlsRule*) {
  using T = TlsRule;
  static const Keys<T> keys{
      required(key("name", &T::name, "of the rule, in logs and metrics")),
      required(key("when", &T::when, "what the hello must be like; all that is given must hold")),
      key("policy", &T::policy, "this one of tls.policies holds instead"),
      key("refuse", &T::refuse, "the handshake is refused"),
  };
  return keys;
}

const Keys<TlsPolicy>& keys_of(const TlsPolicy*) {
  using T = TlsPolicy;
  static const Keys<T> keys{
      custom<T, TlsProfile>("profile", "what the policy starts from; `sallyport policy NAME` shows it",
                            [](Reader& reader, const Node& node, T& to) {
                              // First of all keys: the others are laid over its values.
                              TlsProfile chosen{};
                              if (!Codec<TlsProfile>::read(reader, node, chosen, {})) return;
                              T values = profile(chosen).values;
                              values.name = to.name;
                              values.origin = to.origin;
                              to = std::move(values);
                            }),
      key("min_version", &T::min_version, "\"1.2\" or \"1.3\""),
      key("max_version", &T::max_version, "\"1.2\" or \"1.3\""),
      text_key("ciphers", &T::ciphers, "TLS 1.2, OpenSSL's names, in our order of preference",
               &parse_algorithm),
      text_key("cipher_suites", &T::cipher_suites, "TLS 1.3, in our order of preference", &parse_algorithm),
      key("groups", &T::groups,
          "key exchange; what this OpenSSL lacks is left out with a warning; nested lists are preference "
          "tuples"),
      text_key("alpn", &T::alpn, "h2, http/1.1, in our order of preference; no overlap is refused",
               &parse_alpn),
      key("client_auth", &T::client_auth, "client certificates"),
      key("rules", &T::rules,
          "other policies for some clients, by what they offer; the first that matches holds"),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, HelloMatch& match) {
  match.origin = reader.origin(node);
  if (node.kind == Node::Kind::map && node.entries.empty())
    reader.error(node, "an empty `when` matches everybody: say what the hello must be like");
}

void finish(Reader& reader, const Node& node, TlsRule& rule) {
  if (rule.policy.empty() != rule.refuse)
    reader.error(node, "a rule needs exactly one of policy: NAME and refuse: true");
}

void finish(Reader& reader, const Node& node, TlsPolicy& policy) {
  refuse_empty(reader, node, {"ciphers", "cipher_suites", "groups", "alpn"});
  if (policy.min_version > policy.max_version) {
    const Node* given = node.find("min_version");
    reader.error(given ? *given : *node.find("max_version"),
                 "min_version is above max_version: no client could connect");
  }
  for (const auto& tuple : policy.groups) {
    for (const std::string& group : tuple) {
      const auto parsed = parse_algorithm(group);
      if (const auto* wrong = std::get_if<Wrong>(&parsed)) reader.error(*node.find("groups"), wrong->text);
    }
  }
}

const Keys<Ocsp>& keys_of(const Ocsp*) {
  using T = Ocsp;
  static const Keys<T> keys{
      key("fetch", &T::fetch, "ask the responder that a certificate names, in the background"),
      key("timeout", &T::timeout, "of one answer", Range{100, 600'000}),
      key("retry", &T::retry, "after a failure; then twice as long each time, up to an hour",
          Range{1'000, 3'600'000}),
  };
  return keys;
}

const Keys<HandshakeSamples>& keys_of(const HandshakeSamples*) {
  using T = HandshakeSamples;
  static const Keys<T> keys{
      key("one_in", &T::one_in, "log one of so many; 0 = none, 1 = every one"),
      key("per_second", &T::per_second, "a worker, at most", kPositive),
  };
  return keys;
}

const Keys<HealthWeights>& keys_of(const HealthWeights*) {
  using T = HealthWeights;
  static constexpr Range kWeight{0, 1000};
  static const Keys<T> keys{
      key("version", &T::version, "TLS 1.3: all, 1.2: half", kWeight),
      key("forward_secrecy", &T::forward_secrecy,
          "keys made for this connection: all, for its TLS 1.2 session: half", kWeight),
      key("suite", &T::suite, "an authenticated cipher (AEAD)", kWeight),
      key("validity", &T::validity, "the certificate is within its dates", kWeight),
      key("expiry", &T::expiry, "and at least 30 days from their end; in proportion below", kWeight),
      key("chain", &T::chain, "complete to a trusted root; not counted where nobody can tell", kWeight),
      key("resumption", &T::resumption, "resumed, or the client may come back with a ticket", kWeight),
  };
  return keys;
}

const Keys<Health>& keys_of(const Health*) {
  static const Keys<Health> keys{
      key("weights", &Health::weights, "what each part of a handshake is worth"),
      key("header", &Health::header, "X-TLS-Health-Score on responses"),
  };
  return keys;
}

const Keys<Tls>& keys_of(const Tls*) {
  using T = Tls;
  static const Keys<T> keys{
      key("unknown_sni", &T::unknown_sni, "a name that no host has: reject, or the name of a host"),
      key("missing_sni", &T::missing_sni, "no name at all: reject, or the name of a host"),
      key("tickets", &T::tickets, "whether TLS sessions may be resumed"),
      key("ticket_rotation", &T::ticket_rotation, "a new ticket key; a ticket lives at most twice as long",
          Range{60'000}),
      key("intermediates", &T::intermediates,
          "PEM file of intermediate certificates: what a host's chain lacks is added from it"),
      key("roots", &T::roots,
          "PEM file of the roots that clients have, by which chains are judged; the system's when left out"),
      key("ocsp", &T::ocsp, "revocation state of our certificates, stapled to handshakes"),
      key("samples", &T::samples, "successful handshakes that are logged"),
      key("health", &T::health, "the score of a handshake, 0-100"),
      {"policies", "by name; a host picks one, default otherwise",
       [](Reader& reader, const Node& node, T& to) { read_named(reader, node, to.policies); },
       [] { return schema_of_named<TlsPolicy>(); }},
  };
  return keys;
}

}  // namespace sallyport::config
