// Whom we believe: address sets, loops, Authenticated Origin Pulls.
#include <algorithm>

#include "tables.hpp"

namespace sallyport::config {

Parsed<std::string> parse_block_or_set(std::string_view text) {
  const bool name = !text.empty() && text.front() >= 'a' && text.front() <= 'z' &&
                    std::all_of(text.begin(), text.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
                    });
  return name ? Parsed<std::string>(std::string(text)) : parse_cidr(text);
}

const Words<ClientAddress>& words_of(ClientAddress) {
  static const Words<ClientAddress> words{{"cf_connecting_ip", ClientAddress::cf_connecting_ip},
                                          {"true_client_ip", ClientAddress::true_client_ip},
                                          {"x_forwarded_for", ClientAddress::x_forwarded_for},
                                          {"peer", ClientAddress::peer}};
  return words;
}
const Words<OriginPullMode>& words_of(OriginPullMode) {
  static const Words<OriginPullMode> words{
      {"off", OriginPullMode::off}, {"report", OriginPullMode::report}, {"require", OriginPullMode::require}};
  return words;
}

const Keys<AddressSet>& keys_of(const AddressSet*) {
  using T = AddressSet;
  static const Keys<T> keys{
      text_key("ranges", &T::ranges, "address ranges", &parse_cidr),
      key("files", &T::files, "an address range a line, or the JSON of Cloudflare's API (/client/v4/ips)"),
      key("refresh", &T::refresh, "the files are read again; 0 = by reloads alone", Range{0, 604'800'000}),
  };
  return keys;
}

const Keys<CdnLoop>& keys_of(const CdnLoop*) {
  using T = CdnLoop;
  static const Keys<T> keys{
      text_key("id", &T::id, "appended to CDN-Loop; the same on every instance of one service",
               [](std::string_view text) -> Parsed<std::string> {
                 if (auto name = parse_field_name(text); std::holds_alternative<Wrong>(name))
                   return Wrong{in_quotes(text) + " is no token, as RFC 8586 wants it"};
                 return std::string(text);
               }),
      key("limit", &T::limit, "so many of ours in a request already: 508", kPositive),
  };
  return keys;
}

namespace {
const Keys<OriginPull>& origin_pull_keys() {
  using T = OriginPull;
  static const Keys<T> keys{
      required(key("mode", &T::mode, "off, report or require")),
      key("ca", &T::ca, "PEM file, of a zone or a host name; Cloudflare's own of all zones when left out"),
      key("spki_pins", &T::spki_pins, "one of these must be its key: base64 of a SHA-256"),
      key("except", &T::except, "paths that are answered without it, such as health checks"),
  };
  return keys;
}
}  // namespace

// A word is short for { mode: word }.
bool Codec<OriginPull>::read(Reader& reader, const Node& node, OriginPull& to, Range) {
  to.origin = reader.origin(node);
  if (node.kind == Node::Kind::scalar) return Codec<OriginPullMode>::read(reader, node, to.mode, {});
  return read_keys(reader, node, to, origin_pull_keys());
}
Json Codec<OriginPull>::schema(Range) {
  return Json().with("anyOf", Json::list({Codec<OriginPullMode>::schema({}), schema_of(origin_pull_keys())}));
}

}  // namespace sallyport::config
