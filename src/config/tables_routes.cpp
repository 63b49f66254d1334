// Routes: what they match and what they do.
#include <algorithm>

#include "sallyport/config/pattern.hpp"

#include "tables.hpp"

namespace sallyport::config {
namespace {

constexpr std::size_t kMaxReplyBody = 64 * kKiB;  // a page in the config, held by every snapshot

Parsed<std::string> parse_path(std::string_view text) {
  if (!text.starts_with('/')) return Wrong{in_quotes(text) + ": a path begins with /"};
  if (text.find_first_of("?#") != std::string_view::npos)
    return Wrong{in_quotes(text) + ": a path has no ? or #; match the query by query:"};
  const bool visible = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!visible)
    return Wrong{in_quotes(text) + ": write blanks and non-ASCII letters %-encoded, as they arrive"};
  return std::string(text);
}

Parsed<std::string> parse_pattern(std::string_view text) {
  auto compiled = Pattern::compile(text);
  if (auto* why = std::get_if<std::string>(&compiled))
    return Wrong{"the regular expression " + in_quotes(text) + " is not usable: " + *why};
  return std::string(text);
}

Parsed<std::string> parse_method(std::string_view text) {
  const auto name = parse_field_name(text);  // a token likewise (RFC 9110 §9.1)
  if (std::holds_alternative<Wrong>(name)) return Wrong{in_quotes(text) + " is not a method"};
  const bool has_lower = std::any_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  if (has_lower) return Wrong{in_quotes(text) + ": methods have case and the usual ones are upper case"};
  if (text == "CONNECT") return Wrong{"CONNECT is never routed: the gateway is no forward proxy"};
  return std::string(text);
}

// Fields that belong to a connection and not to a message (RFC 9110 §7.6.1): the gateway reads
// them, drops them and writes its own. A copy from the config could contradict the framing
// (request smuggling).
bool of_connection(std::string_view name) {
  static constexpr std::array<std::string_view, 9> kNames{
      "connection", "content-length", "http2-settings", "keep-alive",       "proxy-connection",
      "te",         "trailer",        "upgrade",        "transfer-encoding"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

Parsed<std::string> parse_editable_name(std::string_view text) {
  auto name = parse_field_name(text);
  if (std::holds_alternative<Wrong>(name)) return name;
  const std::string& lowered = std::get<std::string>(name);
  if (lowered == "host") return Wrong{"\"host\" is not a header to edit: rewrite.host sets it"};
  if (of_connection(lowered))
    return Wrong{in_quotes(lowered) + " belongs to the connection and is written by the gateway"};
  return name;
}

Parsed<std::string> parse_matchable_name(std::string_view text) {
  auto name = parse_field_name(text);
  if (std::holds_alternative<Wrong>(name)) return name;
  const std::string& lowered = std::get<std::string>(name);
  if (lowered == "host") return Wrong{"\"host\" is not matched as a header: a host's names do that"};
  if (of_connection(lowered))
    return Wrong{in_quotes(lowered) + " belongs to the connection, so that no route sees it"};
  return name;
}

Parsed<std::string> parse_parameter_name(std::string_view text) {
  if (text.empty()) return Wrong{"a query parameter needs a name"};
  return std::string(text);
}

Parsed<std::string> parse_scheme(std::string_view text) {
  if (text != "http" && text != "https") return Wrong{"expected http or https, found " + in_quotes(text)};
  return std::string(text);
}

Parsed<std::string> parse_location(std::string_view text) {
  const bool visible = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (text.empty() || !visible)
    return Wrong{in_quotes(text) + " is not a URL (blanks and others are %-encoded)"};
  return std::string(text);
}

// { name: value } or { name: { regex: … } } or { name: { present: true } }
const Keys<ValueMatch>& value_match_keys() {
  static const Keys<ValueMatch> keys{
      custom<ValueMatch, std::string>("regex", "a regular expression for the whole value",
                                      [](Reader& reader, const Node& node, ValueMatch& to) {
                                        to.kind = ValueMatch::Kind::regex;
                                        read_text(reader, node, to.text, &parse_pattern);
                                      }),
      custom<ValueMatch, bool>("present", "true: it is there, whatever its value; false: it is not there",
                               [](Reader& reader, const Node& node, ValueMatch& to) {
                                 bool present = true;
                                 Codec<bool>::read(reader, node, present, {});
                                 to.kind = present ? ValueMatch::Kind::present : ValueMatch::Kind::absent;
                               }),
  };
  return keys;
}

void read_value_matches(Reader& reader, const Node& node, std::vector<ValueMatch>& to, TextParser name_of) {
  if (!reader.is(node, Node::Kind::map, "a mapping from names to values")) return;
  to.clear();
  for (const auto& [name, value] : node.entries) {
    ValueMatch match;
    match.origin = reader.origin(*name);
    if (!read_text(reader, *name, match.name, name_of)) continue;
    if (std::any_of(to.begin(), to.end(), [&](const ValueMatch& m) { return m.name == match.name; }))
      reader.error(*name, "duplicate name " + in_quotes(match.name));
    if (value->kind == Node::Kind::scalar) {
      if (!reader.visit(*value)) return;
      match.text = value->text;
    } else {
      if (!read_keys(reader, *value, match, value_match_keys())) continue;
      if (value->entries.size() != 1) reader.error(*value, "expected either regex or present");
    }
    to.push_back(std::move(match));
  }
}

}  // namespace

bool Codec<std::vector<ValueMatch>>::read(Reader& reader, const Node& node, std::vector<ValueMatch>& to,
                                          Range) {
  read_value_matches(reader, node, to, &parse_parameter_name);
  return true;
}
Json Codec<std::vector<ValueMatch>>::schema(Range) {
  Json plain =
      Json().with("type", Json::list({Json::text("string"), Json::text("number"), Json::text("boolean")}));
  return Json()
      .with("type", "object")
      .with("additionalProperties",
            Json().with("anyOf", Json::list({std::move(plain), schema_of(value_match_keys())})));
}

const Keys<RouteMatch>& keys_of(const RouteMatch*) {
  using T = RouteMatch;
  static const Keys<T> keys{
      text_key("path", &T::path, "the whole path, byte by byte", &parse_path),
      text_key("path_prefix", &T::path_prefix, "/api/ or /api; the latter matches /api and /api/x, not /apix",
               &parse_path),
      text_key("path_regex", &T::path_regex, "a regular expression for the whole path", &parse_pattern),
      text_key("methods", &T::methods, "one of these", &parse_method),
      custom<T, std::vector<ValueMatch>>("headers", "name: value, name: {regex: …} or name: {present: true}",
                                         [](Reader& reader, const Node& node, T& to) {
                                           read_value_matches(reader, node, to.headers,
                                                              &parse_matchable_name);
                                         }),
      key("query", &T::query, "parameters of the query, in the same forms"),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, RouteMatch& match) {
  if (int{match.path.has_value()} + int{match.path_prefix.has_value()} + int{match.path_regex.has_value()} >
      1)
    reader.error(node, "expected one of path, path_prefix and path_regex");
}

const Keys<HeaderEdit>& keys_of(const HeaderEdit*) {
  using T = HeaderEdit;
  static const Keys<T> keys{
      key("set", &T::set, "name: value; replaces what is there"),
      key("add", &T::add, "name: value; beside what is there"),
      text_key("remove", &T::remove, "names; removed before the others are set", &parse_editable_name),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, HeaderEdit&) {
  for (const char* list : {"set", "add"}) {
    const Node* given = node.find(list);
    if (!given) continue;
    for (const auto& [name, value] : given->entries) {
      std::string ignored;
      if (std::holds_alternative<std::string>(parse_field_name(name->text)))
        reader.take(*name, parse_editable_name(name->text), ignored);
    }
  }
}

void read_redirect_code(Reader& reader, const Node& node, std::uint16_t& to) {
  static constexpr std::array<std::uint16_t, 5> kCodes{301, 302, 303, 307, 308};
  std::uint16_t code = 0;
  if (!Codec<std::uint16_t>::read(reader, node, code, {})) return;
  if (std::find(kCodes.begin(), kCodes.end(), code) == kCodes.end()) {
    reader.error(node, "expected 301, 302, 303, 307 or 308, found " + in_quotes(node.text));
    return;
  }
  to = code;
}

const Keys<Redirect>& keys_of(const Redirect*) {
  using T = Redirect;
  static const Keys<T> keys{
      text_key("to", &T::to, "a URL or path, taken as it is", &parse_location),
      text_key("scheme", &T::scheme, "http or https; the rest of the URL stays", &parse_scheme),
      text_key("host", &T::host, "host or host:port; the rest of the URL stays", &parse_authority),
      text_key("path", &T::path, "the query and the rest of the URL stay", &parse_path),
      custom<T, std::uint16_t>(
          "code", "301, 302, 303, 307 or 308, which keeps method and body",
          [](Reader& reader, const Node& node, T& to) { read_redirect_code(reader, node, to.code); }),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, Redirect&) {
  const bool to = node.find("to") != nullptr;
  const bool parts = node.find("scheme") || node.find("host") || node.find("path");
  if (to && parts) reader.error(node, "expected either to, or some of scheme, host and path");
  if (!to && !parts) reader.error(node, "a redirect to the same URL: give to, scheme, host or path");
}

const Keys<Reply>& keys_of(const Reply*) {
  using T = Reply;
  static const Keys<T> keys{
      key("status", &T::status, "the status code", Range{200, 599}),
      custom<T, std::string>("body", "text, at most 64KiB",
                             [](Reader& reader, const Node& node, T& to) {
                               if (!Codec<std::string>::read(reader, node, to.body, {})) return;
                               if (to.body.size() > kMaxReplyBody)
                                 reader.error(node, "a body is at most 64KiB");
                             }),
      custom<T, HeaderList>("headers", "name: value; content-type is text/plain; charset=utf-8 unless given",
                            [](Reader& reader, const Node& node, T& to) {
                              Codec<HeaderList>::read(reader, node, to.headers, {});
                              for (const auto& [name, value] : node.entries) {
                                std::string ignored;
                                if (std::holds_alternative<std::string>(parse_field_name(name->text)))
                                  reader.take(*name, parse_editable_name(name->text), ignored);
                              }
                            }),
  };
  return keys;
}

const Keys<Rewrite>& keys_of(const Rewrite*) {
  using T = Rewrite;
  static const Keys<T> keys{
      text_key("prefix", &T::prefix, "stands instead of the path_prefix that matched", &parse_path),
      text_key("host", &T::host, "the host that the upstream sees; the client's when left out",
               &parse_authority),
  };
  return keys;
}

const Keys<RouteTimeouts>& keys_of(const RouteTimeouts*) {
  using T = RouteTimeouts;
  static const Keys<T> keys{
      key("connect", &T::connect, "to a new connection", kPositive),
      key("send", &T::send, "a request's body of which the upstream takes nothing; 0 = off"),
      key("first_byte", &T::first_byte, "from the request sent to the response's head", kPositive),
      key("idle", &T::idle, "a body without a byte in either direction", kPositive),
      key("tunnel", &T::tunnel, "a WebSocket without a byte in either direction", kPositive),
      key("total", &T::total, "the whole exchange; 0 = no limit"),
  };
  return keys;
}

const Keys<RateLimit>& keys_of(const RateLimit*) {
  using T = RateLimit;
  static constexpr Range kRequests{1, 1'000'000};
  static const Keys<T> keys{
      text_key("header", &T::header, "counts by the value of this header; left out: by client address",
               &parse_matchable_name),
      required(key("requests", &T::requests, "in the long run", kRequests)),
      key("per", &T::per, "within so long", Range{1, 3'600'000}),
      key("burst", &T::burst, "at once, after a while without; `requests` when left out", kRequests),
  };
  return keys;
}

const Keys<Route>& keys_of(const Route*) {
  using T = Route;
  static const Keys<T> keys{
      key("match", &T::match, "all that is given must match; left out: everything does"),
      custom<T, std::string>("upstream", "the upstream that serves it",
                             [](Reader& reader, const Node& node, T& to) {
                               ToUpstream action;
                               if (Codec<std::string>::read(reader, node, action.name, {}))
                                 to.action = action;
                             }),
      custom<T, Redirect>("redirect", "answer with a redirect",
                          [](Reader& reader, const Node& node, T& to) {
                            Redirect action;
                            Codec<Redirect>::read(reader, node, action, {});
                            to.action = std::move(action);
                          }),
      custom<T, Reply>("reply", "answer with a fixed reply",
                       [](Reader& reader, const Node& node, T& to) {
                         Reply action;
                         Codec<Reply>::read(reader, node, action, {});
                         to.action = std::move(action);
                       }),
      key("request_headers", &T::request_headers, "changed on the way to the upstream"),
      key("response_headers", &T::response_headers, "changed on the way to the client"),
      key("rewrite", &T::rewrite, "what the upstream sees of the URL"),
      key("timeouts", &T::timeouts, "laid over the upstream's"),
      section<T>("limits", "laid over the host's",
                 {key("request_body", &T::request_body, "a request's body; 0 = no limit")}),
      key("rate_limit", &T::rate_limit, "above it: 429; beside the host's"),
      key("websocket", &T::websocket, "whether the connection may become a WebSocket"),
  };
  return keys;
}

void finish(Reader& reader, const Node& node, Route& route) {
  int actions = 0;
  for (const char* name : {"upstream", "redirect", "reply"}) actions += node.find(name) ? 1 : 0;
  if (actions != 1) {
    reader.error(node, actions == 0
                           ? "a route does one of upstream, redirect and reply; this one does nothing"
                           : "a route does one of upstream, redirect and reply; this one does more");
  }
  if (actions == 1 && !node.find("upstream")) {
    for (const char* name : {"request_headers", "rewrite", "timeouts", "websocket"}) {
      if (const Node* given = node.find(name))
        reader.error(*given, std::string(name) + " means nothing for a route without an upstream");
    }
  }
  if (route.rewrite.prefix && !route.match.path_prefix)
    reader.error(*node.find("rewrite"), "rewrite.prefix needs match.path_prefix, which it stands instead of");
}

}  // namespace sallyport::config
