// TLS towards clients, and the hosts.
#include <algorithm>

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

void refuse_empty(Reader& reader, const Node& node, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const Node* given = node.find(name);
    if (given && given->kind == Node::Kind::sequence && given->items.empty())
      reader.error(*given, "an empty list: leave " + std::string(name) + " out for the default");
  }
}

}  // namespace

const Words<TlsVersion>& words_of(TlsVersion) {
  static const Words<TlsVersion> words{{"1.2", TlsVersion::tls12}, {"1.3", TlsVersion::tls13}};
  return words;
}
const Words<ClientAuthMode>& words_of(ClientAuthMode) {
  static const Words<ClientAuthMode> words{{"off", ClientAuthMode::off},
                                           {"request", ClientAuthMode::request},
                                           {"require", ClientAuthMode::require}};
  return words;
}

const Keys<ClientAuth>& keys_of(const ClientAuth*) {
  using T = ClientAuth;
  static const Keys<T> keys{
      key("mode", &T::mode, "off, request (verified and reported, never refused) or require"),
      key("ca", &T::ca, "PEM file of the CAs that client certificates come from"),
      key("depth", &T::depth, "intermediate certificates at most", Range{0, 32}),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, ClientAuth& auth) {
  if (auth.mode != ClientAuthMode::off && !node.find("ca"))
    reader.error(node, "client certificates are checked against a CA: give ca");
}

const Keys<TlsPolicy>& keys_of(const TlsPolicy*) {
  using T = TlsPolicy;
  static const Keys<T> keys{
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
  };
  return keys;
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
      {"policies", "by name; a host picks one, default otherwise",
       [](Reader& reader, const Node& node, T& to) { read_named(reader, node, to.policies); },
       [] { return schema_of_named<TlsPolicy>(); }},
  };
  return keys;
}

const Keys<Certificate>& keys_of(const Certificate*) {
  using T = Certificate;
  static const Keys<T> keys{
      required(key("chain", &T::chain, "PEM file, the leaf first")),
      required(key("key", &T::key, "PEM file")),
      key("label", &T::label, "says in logs and metrics where it came from"),
  };
  return keys;
}

void finish(Reader&, const Node&, Certificate& certificate) {
  if (certificate.label.empty()) certificate.label = certificate.chain.string();
}

const Keys<Host>& keys_of(const Host*) {
  using T = Host;
  static const Keys<T> keys{
      text_key(
          "names", &T::names,
          "example.com, \"*.example.com\" (one label), \"*\" (what no other host has); left out: the names "
          "that its certificates hold",
          &parse_host_name),
      key("listeners", &T::listeners, "names of listeners; all when left out"),
      section<T>("tls", "TLS towards clients",
                 {key("policy", &T::policy, "one of tls.policies"),
                  key("certificates", &T::certificates, "an ECDSA and an RSA one may stand side by side")}),
      section<T>("limits", "laid over the listener's",
                 {key("request_body", &T::request_body, "a request's body; 0 = no limit")}),
      key("rate_limit", &T::rate_limit, "of all its routes together; above it: 429"),
      key("routes", &T::routes, "the first that matches wins"),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, Host& host) {
  refuse_empty(reader, node, {"names", "listeners"});
  if (!node.find("names") && host.certificates.empty())
    reader.error(node, "a host needs names, or certificates to take them from");
  if (host.routes.empty() && (!node.find("routes") || node.find("routes")->items.empty()))
    reader.warning(node, "a host without routes answers 404 to everything");
  for (Route& route : host.routes) {
    if (!route.request_body) route.request_body = host.request_body;
  }
}

}  // namespace sallyport::config
