// The tables of the vocabulary, by the part of the file that they describe. All are declared
// here and nowhere else, so that every file that reads a struct finds the same ones.
#pragma once

#include "key.hpp"

namespace sallyport::config {

#define SALLYPORT_CONFIG_TABLE(type) const Keys<type>& keys_of(const type*)
// tables_clients.cpp
SALLYPORT_CONFIG_TABLE(ClientTimeouts);
SALLYPORT_CONFIG_TABLE(Budget);
SALLYPORT_CONFIG_TABLE(Abuse);
SALLYPORT_CONFIG_TABLE(MinRate);
SALLYPORT_CONFIG_TABLE(H2Limits);
SALLYPORT_CONFIG_TABLE(ClientLimits);
SALLYPORT_CONFIG_TABLE(Paths);
SALLYPORT_CONFIG_TABLE(TrustedClients);
SALLYPORT_CONFIG_TABLE(TcpKeepalive);
SALLYPORT_CONFIG_TABLE(ProxyProtocol);
SALLYPORT_CONFIG_TABLE(Listener);
// tables_routes.cpp
SALLYPORT_CONFIG_TABLE(RouteMatch);
SALLYPORT_CONFIG_TABLE(HeaderEdit);
SALLYPORT_CONFIG_TABLE(Redirect);
SALLYPORT_CONFIG_TABLE(Reply);
SALLYPORT_CONFIG_TABLE(Rewrite);
SALLYPORT_CONFIG_TABLE(RouteTimeouts);
SALLYPORT_CONFIG_TABLE(RateLimit);
SALLYPORT_CONFIG_TABLE(Route);
// tables_tls.cpp
SALLYPORT_CONFIG_TABLE(ClientAuth);
SALLYPORT_CONFIG_TABLE(HelloMatch);
SALLYPORT_CONFIG_TABLE(TlsRule);
SALLYPORT_CONFIG_TABLE(TlsPolicy);
SALLYPORT_CONFIG_TABLE(Ocsp);
SALLYPORT_CONFIG_TABLE(HandshakeSamples);
SALLYPORT_CONFIG_TABLE(HealthWeights);
SALLYPORT_CONFIG_TABLE(Health);
SALLYPORT_CONFIG_TABLE(Tls);
// tables_hosts.cpp
SALLYPORT_CONFIG_TABLE(Certificate);
SALLYPORT_CONFIG_TABLE(Host);
// tables_trust.cpp
SALLYPORT_CONFIG_TABLE(AddressSet);
SALLYPORT_CONFIG_TABLE(CdnLoop);
// tables_upstreams.cpp
SALLYPORT_CONFIG_TABLE(UpstreamTls);
SALLYPORT_CONFIG_TABLE(UpstreamTimeouts);
SALLYPORT_CONFIG_TABLE(Pool);
SALLYPORT_CONFIG_TABLE(Retries);
SALLYPORT_CONFIG_TABLE(Ejection);
SALLYPORT_CONFIG_TABLE(Resolve);
SALLYPORT_CONFIG_TABLE(Upstream);
// tables_model.cpp
SALLYPORT_CONFIG_TABLE(Admin);
SALLYPORT_CONFIG_TABLE(AccessLog);
SALLYPORT_CONFIG_TABLE(Log);
SALLYPORT_CONFIG_TABLE(Watch);
SALLYPORT_CONFIG_TABLE(Buckets);
SALLYPORT_CONFIG_TABLE(Metrics);
SALLYPORT_CONFIG_TABLE(Model);
#undef SALLYPORT_CONFIG_TABLE

// What the keys of one struct mean together.
void finish(Reader& reader, const Node& node, ProxyProtocol& proxy_protocol);
void finish(Reader& reader, const Node& node, Listener& listener);
void finish(Reader& reader, const Node& node, RouteMatch& match);
void finish(Reader& reader, const Node& node, Redirect& redirect);
void finish(Reader& reader, const Node& node, HeaderEdit& edit);
void finish(Reader& reader, const Node& node, Route& route);
void finish(Reader& reader, const Node& node, ClientAuth& auth);
void finish(Reader& reader, const Node& node, HelloMatch& match);
void finish(Reader& reader, const Node& node, TlsRule& rule);
void finish(Reader& reader, const Node& node, TlsPolicy& policy);
void finish(Reader& reader, const Node& node, Certificate& certificate);
void finish(Reader& reader, const Node& node, Host& host);
void finish(Reader& reader, const Node& node, Ejection& ejection);
void finish(Reader& reader, const Node& node, Upstream& upstream);
void finish(Reader& reader, const Node& node, Model& model);

// A CIDR, or the name of an address set, which validate() looks up.
[[nodiscard]] Parsed<std::string> parse_block_or_set(std::string_view text);

// For lists whose default is taken by leaving them out.
void refuse_empty(Reader& reader, const Node& node, std::initializer_list<const char*> names);

// 301, 302, 303, 307 or 308.
void read_redirect_code(Reader& reader, const Node& node, std::uint16_t& to);

const Words<DotSegments>& words_of(DotSegments);
const Words<EscapedSlashes>& words_of(EscapedSlashes);
const Words<RepeatedSlashes>& words_of(RepeatedSlashes);
const Words<Escapes>& words_of(Escapes);
const Words<Underscores>& words_of(Underscores);
const Words<ListenerProtocol>& words_of(ListenerProtocol);
const Words<ClientAddress>& words_of(ClientAddress);
const Words<OriginPullMode>& words_of(OriginPullMode);
const Words<TlsVersion>& words_of(TlsVersion);
const Words<ClientAuthMode>& words_of(ClientAuthMode);
const Words<ClientCertFields>& words_of(ClientCertFields);
const Words<TlsProfile>& words_of(TlsProfile);
const Words<UpstreamProtocol>& words_of(UpstreamProtocol);
const Words<Balance>& words_of(Balance);
const Words<AccessLogFormat>& words_of(AccessLogFormat);
const Words<LogLevel>& words_of(LogLevel);
const Words<LogFormat>& words_of(LogFormat);

}  // namespace sallyport::config
