// Listeners, and what clients may take: time, bytes, frames.
#include "tables.hpp"

namespace sallyport::config {
namespace {

constexpr std::uint64_t kMaxWindow = 0x7fff'ffff;  // RFC 9113 §6.9.1
constexpr std::uint64_t kMinWindow = 65'535;  // the protocol's initial window; SETTINGS cannot shrink the
                                              // connection's
constexpr Range kRate{0, 1 * kMiB};
constexpr Range kWindow{kMinWindow, kMaxWindow};

}  // namespace

const Keys<ClientTimeouts>& keys_of(const ClientTimeouts*) {
  using T = ClientTimeouts;
  static const Keys<T> keys{
      key("handshake", &T::handshake, "from the accepted connection to a finished TLS handshake", kPositive),
      key("request_head", &T::request_head, "from the first byte of a request's head to its last", kPositive),
      key("request_body", &T::request_body, "without a byte of a request body that was announced", kPositive),
      key("idle", &T::idle, "a connection without a request", kPositive),
      key("send", &T::send, "bytes are waiting and the client takes none", kPositive),
  };
  return keys;
}

const Keys<Budget>& keys_of(const Budget*) {
  static const Keys<Budget> keys{
      key("burst", &Budget::burst, "at once", kPositive),
      key("per_second", &Budget::per_second, "in the long run"),
  };
  return keys;
}

const Keys<Abuse>& keys_of(const Abuse*) {
  static const Keys<Abuse> keys{
      key("offences", &Abuse::offences, "connections closed for an attack; 0 = never refused"),
      key("window", &Abuse::window, "within so long", kPositive),
      key("refused", &Abuse::refused, "then the address is refused for so long", kPositive),
  };
  return keys;
}

const Keys<MinRate>& keys_of(const MinRate*) {
  static const Keys<MinRate> keys{
      key("request_body", &MinRate::request_body,
          "bytes a second, over timeouts.request_body; 0 = any will do", kRate),
      key("response", &MinRate::response, "bytes a second, over timeouts.send; 0 = any will do", kRate),
  };
  return keys;
}

const Keys<H2Limits>& keys_of(const H2Limits*) {
  using T = H2Limits;
  static const Keys<T> keys{
      key("streams", &T::streams, "streams at once on one connection (SETTINGS_MAX_CONCURRENT_STREAMS)",
          Range{1, 10'000}),
      key("stream_window", &T::stream_window, "bytes of a body that a stream may send ahead at first",
          kWindow),
      key("connection_window", &T::connection_window, "bytes that all streams together may send ahead",
          kWindow),
      key("continuations", &T::continuations, "CONTINUATION frames a head", kPositive),
      key("resets", &T::resets, "RST_STREAM frames by the client (rapid reset)"),
      key("provoked_resets", &T::provoked_resets, "streams reset or refused for the client's fault"),
      key("pings", &T::pings, "PING frames by the client"),
      key("settings", &T::settings, "SETTINGS frames by the client"),
      key("priorities", &T::priorities, "PRIORITY and PRIORITY_UPDATE frames by the client"),
      key("empty_frames", &T::empty_frames, "frames without content by the client"),
      key("window_updates", &T::window_updates, "WINDOW_UPDATE frames beyond ten for each DATA frame sent"),
      key("unknown_frames", &T::unknown_frames, "frames that mean nothing to us"),
  };
  return keys;
}

const Keys<ClientLimits>& keys_of(const ClientLimits*) {
  using T = ClientLimits;
  static const Keys<T> keys{
      key("header_bytes", &T::header_bytes, "a request's head in all; 32 bytes a field are added to its text",
          Range{1024, 16 * kMiB}),
      key("header_field_bytes", &T::header_field_bytes, "one field, name and value", Range{256, 65'535}),
      key("header_count", &T::header_count, "fields of a head", Range{8, 10'000}),
      key("url", &T::url, "the request target", Range{64, 1 * kMiB}),
      key("request_body", &T::request_body,
          "a request's body; 0 = no limit; a host or route may set its own"),
      key("stream_buffer", &T::stream_buffer, "bytes of a body that are held, a stream and direction",
          Range{16 * kKiB, 16 * kMiB}),
      key("requests_per_connection", &T::requests_per_connection,
          "then the connection is closed; 0 = no limit"),
      key("connection_age", &T::connection_age, "then the connection is closed gently; 0 = no limit"),
      key("connections_per_address", &T::connections_per_address,
          "of one client over all listeners; 0 = no limit"),
      key("handshakes_per_address", &T::handshakes_per_address,
          "TLS handshakes in progress of one client; 0 = no limit"),
      key("abuse", &T::abuse, "an address whose connections are closed for attacks is refused for a while"),
      key("min_rate", &T::min_rate, "what a client must keep up while we wait for it"),
      key("h2", &T::h2, "HTTP/2 alone"),
  };
  return keys;
}

const Words<DotSegments>& words_of(DotSegments) {
  static const Words<DotSegments> words{
      {"resolve", DotSegments::resolve}, {"reject", DotSegments::reject}, {"keep", DotSegments::keep}};
  return words;
}
const Words<EscapedSlashes>& words_of(EscapedSlashes) {
  static const Words<EscapedSlashes> words{
      {"keep", EscapedSlashes::keep}, {"decode", EscapedSlashes::decode}, {"reject", EscapedSlashes::reject}};
  return words;
}
const Words<RepeatedSlashes>& words_of(RepeatedSlashes) {
  static const Words<RepeatedSlashes> words{{"keep", RepeatedSlashes::keep},
                                            {"merge", RepeatedSlashes::merge},
                                            {"reject", RepeatedSlashes::reject}};
  return words;
}
const Words<Escapes>& words_of(Escapes) {
  static const Words<Escapes> words{{"normalize", Escapes::normalize}, {"keep", Escapes::keep}};
  return words;
}
const Words<Underscores>& words_of(Underscores) {
  static const Words<Underscores> words{
      {"drop", Underscores::drop}, {"reject", Underscores::reject}, {"keep", Underscores::keep}};
  return words;
}

const Keys<Paths>& keys_of(const Paths*) {
  using T = Paths;
  static const Keys<T> keys{
      key("dot_segments", &T::dot_segments,
          "/a/../b, also with %2E: resolve (to /b), reject with 400, or keep; unless kept, one that is "
          "hidden behind %2F, double encoding or a ; is refused"),
      key("escaped_slashes", &T::escaped_slashes, "%2F, %5C and the backslash: keep, decode to /, or reject"),
      key("repeated_slashes", &T::repeated_slashes, "/a//b: keep, merge to /a/b, or reject"),
      key("escapes", &T::escapes, "normalize (%61 to a, %c3 to %C3) or keep"),
  };
  return keys;
}

const Keys<TrustedClients>& keys_of(const TrustedClients*) {
  using T = TrustedClients;
  static const Keys<T> keys{
      key("timeouts", &T::timeouts, "as the ones of all others"),
      key("limits", &T::limits, "as the ones of all others"),
  };
  return keys;
}

const Keys<TcpKeepalive>& keys_of(const TcpKeepalive*) {
  using T = TcpKeepalive;
  static const Keys<T> keys{
      key("idle", &T::idle, "silence before the first probe", Range{1000}),
      key("interval", &T::interval, "between probes", Range{1000}),
      key("count", &T::count, "unanswered probes after which the peer is gone", Range{1, 127}),
  };
  return keys;
}

const Keys<ProxyProtocol>& keys_of(const ProxyProtocol*) {
  static const Keys<ProxyProtocol> keys{
      required(text_key("from", &ProxyProtocol::from,
                        "address ranges that must send a PROXY header (v1 or v2); from others it is not read",
                        &parse_cidr)),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, ProxyProtocol& proxy_protocol) {
  const Node* from = node.find("from");
  if (proxy_protocol.from.empty() && from && from->kind == Node::Kind::sequence && from->items.empty())
    reader.error(*from, "an empty list: name who sends the PROXY header, or leave proxy_protocol out");
}

const Words<ListenerProtocol>& words_of(ListenerProtocol) {
  static const Words<ListenerProtocol> words{{"https", ListenerProtocol::https},
                                             {"http", ListenerProtocol::http}};
  return words;
}

const Keys<Listener>& keys_of(const Listener*) {
  using T = Listener;
  static const Keys<T> keys{
      required(key("name", &T::name, "stands in metrics and logs; hosts refer to it")),
      key("protocol", &T::protocol, "https, or http for plain text"),
      required(
          key("address", &T::address, "\"[::]:443\" takes both families; port 0 lets the system pick one")),
      custom<T, ListenerProtocol>(
          "redirect", "https: answer with a redirect to the same URL over https (http listeners only)",
          [](Reader& reader, const Node& node, T& to) {
            if (!reader.is(node, Node::Kind::scalar, "https")) return;
            to.redirect = node.text == "https";
            if (!to.redirect) note_unknown_word(reader, node, {"https"});
          }),
      custom<T, std::uint16_t>("redirect_code", "301, 302, 303, 307 or 308, which keeps method and body",
                               [](Reader& reader, const Node& node, T& to) {
                                 read_redirect_code(reader, node, to.redirect_code);
                               }),
      key("redirect_port", &T::redirect_port, "the port that the redirect names; 443 is left out of the URL",
          kPositive),
      key("routes", &T::routes, "for every host, tried before the redirect and before the hosts' routes"),
      key("backlog", &T::backlog,
          "connections that wait to be accepted, a worker; the kernel has a cap of its own", kPositive),
      key("max_connections", &T::max_connections, "of this listener; 0 = limits.connections alone"),
      key("tcp_keepalive", &T::tcp_keepalive, "finds clients that are gone without a word"),
      key("proxy_protocol", &T::proxy_protocol, "a load balancer in front tells the client's address"),
      text_key("allow", &T::allow,
               "address ranges and sets; others are closed at once; everybody when left out",
               &parse_block_or_set),
      text_key("trust", &T::trust,
               "address ranges and sets that are believed about their clients, and have `trusted` for limits",
               &parse_block_or_set),
      key("client_address", &T::client_address,
          "where they tell it: cf_connecting_ip, true_client_ip, x_forwarded_for or peer (nowhere)"),
      key("trusted", &T::trusted, "towards whom it trusts; laid over the global ones"),
      key("timeouts", &T::timeouts, "laid over the global ones"),
      key("limits", &T::limits, "laid over the global ones"),
      key("paths", &T::paths, "laid over the global ones"),
      key("underscores", &T::underscores, "instead of the global one"),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, Listener& listener) {
  if (listener.name.empty() && node.find("name")) reader.error(*node.find("name"), "a name is needed");
  for (const char* name : {"redirect", "redirect_code", "redirect_port"}) {
    const Node* given = node.find(name);
    if (!given) continue;
    if (listener.protocol != ListenerProtocol::http) {
      reader.error(*given, std::string(name) + " is for listeners with protocol: http");
    } else if (!listener.redirect && !node.find("redirect")) {
      reader.error(*given, std::string(name) + " means nothing without redirect: https");
    }
  }
}

}  // namespace sallyport::config
