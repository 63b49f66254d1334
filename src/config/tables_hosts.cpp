// The hosts and their certificates.
#include "tables.hpp"

namespace sallyport::config {

const Keys<Certificate>& keys_of(const Certificate*) {
  using T = Certificate;
  static const Keys<T> keys{
      required(key("chain", &T::chain, "PEM file, the leaf first")),
      required(key("key", &T::key, "PEM file")),
      key("ocsp", &T::ocsp, "DER file of its responder's answer, stapled to handshakes"),
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
                  key("certificates", &T::certificates, "an ECDSA and an RSA one may stand side by side"),
                  key("resume_after_rotation", &T::resume_after_rotation,
                      "whether tickets made under another certificate still resume")}),
      section<T>("limits", "laid over the listener's",
                 {key("request_body", &T::request_body, "a request's body; 0 = no limit")}),
      key("origin_pull", &T::origin_pull,
          "Cloudflare's Authenticated Origin Pulls: off, report, require, or a mapping"),
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
