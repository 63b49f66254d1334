// The codecs of single values and of the small forms that are no struct.
#include <algorithm>

#include "tables.hpp"

namespace sallyport::config {
namespace {

bool in_range(Reader& reader, const Node& node, std::uint64_t value, Range range, std::string_view unit) {
  if (value >= range.min && value <= range.max) return true;
  std::string text = in_quotes(node.text) + " is out of range: ";
  if (value < range.min) text += "at least " + std::to_string(range.min) + std::string(unit);
  if (value > range.max) text += "at most " + std::to_string(range.max) + std::string(unit);
  reader.error(node, std::move(text));
  return false;
}

template <class N>
bool read_count(Reader& reader, const Node& node, N& to, Range range) {
  if (!reader.is(node, Node::Kind::scalar, "a whole number")) return false;
  if (node.quoted) {
    reader.error(node, "expected a whole number, found text: write it without quotes");
    return false;
  }
  std::uint64_t value = 0;
  range.max = std::min<std::uint64_t>(range.max, std::numeric_limits<N>::max());
  if (!reader.take(node, parse_count(node.text), value) || !in_range(reader, node, value, range, ""))
    return false;
  to = static_cast<N>(value);
  return true;
}

Json count_schema(Range range, std::uint64_t max) {
  return Json()
      .with("type", "integer")
      .with("minimum", Json::literal(std::to_string(range.min)))
      .with("maximum", Json::literal(std::to_string(std::min(range.max, max))));
}

Json text_schema() {
  return Json().with("type", "string");
}

// "10s", or a bare 0 where none is allowed.
Json measure_schema(std::string_view pattern, Range range) {
  Json text = Json().with("type", "string").with("pattern", pattern);
  if (range.min > 0) return text;
  return Json().with("anyOf", Json::list({std::move(text), Json().with("const", Json::literal("0"))}));
}

}  // namespace

bool Codec<bool>::read(Reader& reader, const Node& node, bool& to, Range) {
  if (!reader.is(node, Node::Kind::scalar, "true or false")) return false;
  if (node.quoted || (node.text != "true" && node.text != "false")) {
    reader.error(node, "expected true or false, found " + in_quotes(node.text));
    return false;
  }
  to = node.text == "true";
  return true;
}
Json Codec<bool>::schema(Range) {
  return Json().with("type", "boolean");
}

bool Codec<std::uint16_t>::read(Reader& reader, const Node& node, std::uint16_t& to, Range range) {
  return read_count(reader, node, to, range);
}
Json Codec<std::uint16_t>::schema(Range range) {
  return count_schema(range, 65535);
}

bool Codec<std::uint32_t>::read(Reader& reader, const Node& node, std::uint32_t& to, Range range) {
  return read_count(reader, node, to, range);
}
Json Codec<std::uint32_t>::schema(Range range) {
  return count_schema(range, std::numeric_limits<std::uint32_t>::max());
}

bool Codec<std::size_t>::read(Reader& reader, const Node& node, std::size_t& to, Range range) {
  std::uint64_t value = 0;
  if (!reader.is(node, Node::Kind::scalar, "a size such as 64KiB") ||
      !reader.take(node, parse_size(node.text), value) || !in_range(reader, node, value, range, " bytes"))
    return false;
  to = value;
  return true;
}
Json Codec<std::size_t>::schema(Range range) {
  return measure_schema("^[0-9]+(B|KiB|MiB|GiB)$", range);
}

bool Codec<double>::read(Reader& reader, const Node& node, double& to, Range) {
  return reader.is(node, Node::Kind::scalar, "a number") && reader.take(node, parse_number(node.text), to);
}
Json Codec<double>::schema(Range) {
  return Json().with("type", "number");
}

bool Codec<std::string>::read(Reader& reader, const Node& node, std::string& to, Range) {
  if (!reader.is(node, Node::Kind::scalar, "text")) return false;
  to = node.text;
  return true;
}
Json Codec<std::string>::schema(Range) {
  return text_schema();
}

bool Codec<std::filesystem::path>::read(Reader& reader, const Node& node, std::filesystem::path& to, Range) {
  if (!reader.is(node, Node::Kind::scalar, "a file path")) return false;
  if (node.text.empty() || node.text.find('\0') != std::string::npos) {
    reader.error(node, "expected a file path, found " + in_quotes(node.text));
    return false;
  }
  to = reader.resolve(node.text);
  return true;
}
Json Codec<std::filesystem::path>::schema(Range) {
  return text_schema();
}

bool Codec<Milliseconds>::read(Reader& reader, const Node& node, Milliseconds& to, Range range) {
  Milliseconds value{};
  if (!reader.is(node, Node::Kind::scalar, "a duration such as 10s") ||
      !reader.take(node, parse_duration(node.text), value) ||
      !in_range(reader, node, static_cast<std::uint64_t>(value.count()), range, "ms"))
    return false;
  to = value;
  return true;
}
Json Codec<Milliseconds>::schema(Range range) {
  return measure_schema("^[0-9]+(ms|s|m|h|d)$", range);
}

bool Codec<Percent>::read(Reader& reader, const Node& node, Percent& to, Range) {
  return reader.is(node, Node::Kind::scalar, "a share such as 20%") &&
         reader.take(node, parse_percent(node.text), to);
}
Json Codec<Percent>::schema(Range) {
  return Json().with("type", "string").with("pattern", "^(100|[0-9]{1,2})%$");
}

bool Codec<HeaderList>::read(Reader& reader, const Node& node, HeaderList& to, Range) {
  if (!reader.is(node, Node::Kind::map, "a mapping from header names to values")) return false;
  to.clear();
  for (const auto& [name, value] : node.entries) {
    std::pair<std::string, std::string> field;
    if (!reader.is(*name, Node::Kind::scalar, "a header name") ||
        !reader.take(*name, parse_field_name(name->text), field.first) ||
        !reader.is(*value, Node::Kind::scalar, "a header value") ||
        !reader.take(*value, parse_field_value(value->text), field.second))
      continue;
    const bool twice =
        std::any_of(to.begin(), to.end(), [&](const auto& other) { return other.first == field.first; });
    if (twice) reader.error(*name, "duplicate header " + in_quotes(field.first) + " (names have no case)");
    to.push_back(std::move(field));
  }
  return true;
}
Json Codec<HeaderList>::schema(Range) {
  return Json()
      .with("type", "object")
      .with("additionalProperties",
            Json().with("type",
                        Json::list({Json::text("string"), Json::text("number"), Json::text("boolean")})));
}

bool Codec<ListenAddress>::read(Reader& reader, const Node& node, ListenAddress& to, Range) {
  return reader.is(node, Node::Kind::scalar, "an address such as \"[::]:443\"") &&
         reader.take(node, parse_listen_address(node.text), to);
}
Json Codec<ListenAddress>::schema(Range) {
  return text_schema();
}

bool Codec<LogTarget>::read(Reader& reader, const Node& node, LogTarget& to, Range) {
  static constexpr std::array<std::string_view, 3> kWords{"off", "stdout", "stderr"};
  if (!reader.is(node, Node::Kind::scalar, "stdout, stderr, off or a file path")) return false;
  for (std::size_t i = 0; i < kWords.size(); ++i) {
    if (node.text == kWords[i]) {
      to = {static_cast<LogTarget::Kind>(i), {}};
      return true;
    }
  }
  // A bare word that looks like one of ours would become a file of that name in silence.
  const std::string meant =
      node.text.find_first_of("./") == std::string::npos ? did_you_mean(node.text, kWords) : "";
  if (!meant.empty()) {
    reader.error(node, in_quotes(node.text) + " is none of stdout, stderr, off" + meant +
                           " A file in the config's folder is written ./" + node.text);
    return false;
  }
  std::filesystem::path file;
  if (!Codec<std::filesystem::path>::read(reader, node, file, {})) return false;
  to = {LogTarget::Kind::file, std::move(file)};
  return true;
}
Json Codec<LogTarget>::schema(Range) {
  return text_schema();
}

bool Codec<SniRule>::read(Reader& reader, const Node& node, SniRule& to, Range) {
  to.origin = reader.origin(node);
  if (!reader.is(node, Node::Kind::scalar, "reject or the name of a host")) return false;
  if (node.text == "reject") {
    to.host.clear();
    return true;
  }
  return reader.take(node, parse_host_name(node.text), to.host);
}
Json Codec<SniRule>::schema(Range) {
  return text_schema();
}

namespace {
const Keys<OfferMatch>& offer_keys() {
  static const Keys<OfferMatch> keys{
      key("any", &OfferMatch::any, "offers at least one of these"),
      key("all", &OfferMatch::all, "offers all of these"),
      key("none", &OfferMatch::none, "offers none of these"),
  };
  return keys;
}
}  // namespace

// [A, B] is short for { any: [A, B] }.
bool Codec<OfferMatch>::read(Reader& reader, const Node& node, OfferMatch& to, Range) {
  if (node.kind == Node::Kind::sequence)
    return Codec<std::vector<std::string>>::read(reader, node, to.any, {});
  return read_keys(reader, node, to, offer_keys());
}
Json Codec<OfferMatch>::schema(Range) {
  return Json().with("anyOf",
                     Json::list({Codec<std::vector<std::string>>::schema({}), schema_of(offer_keys())}));
}

namespace {
const Keys<UpstreamEndpoint>& endpoint_keys() {
  static const Keys<UpstreamEndpoint> keys{
      required(custom<UpstreamEndpoint, std::string>(
          "address", "host:port; a name is looked up again as upstreams.*.resolve says",
          [](Reader& reader, const Node& node, UpstreamEndpoint& to) {
            UpstreamEndpoint parsed;
            if (!reader.is(node, Node::Kind::scalar, "host:port") ||
                !reader.take(node, parse_endpoint(node.text), parsed))
              return;
            to.host = std::move(parsed.host);
            to.port = parsed.port;
          })),
      key("weight", &UpstreamEndpoint::weight, "its share of the traffic against the others'",
          Range{1, 1000}),
  };
  return keys;
}
}  // namespace

bool Codec<UpstreamEndpoint>::read(Reader& reader, const Node& node, UpstreamEndpoint& to, Range) {
  if (node.kind == Node::Kind::scalar) {
    if (!reader.visit(node) || !reader.take(node, parse_endpoint(node.text), to)) return false;
  } else if (!read_keys(reader, node, to, endpoint_keys())) {
    return false;
  }
  to.origin = reader.origin(node);
  return true;
}
Json Codec<UpstreamEndpoint>::schema(Range) {
  return Json().with("anyOf", Json::list({text_schema(), schema_of(endpoint_keys())}));
}

// [A, B] is one tuple; [[A, B], [C]] and [[A, B], C] are two.
bool Codec<std::vector<std::vector<std::string>>>::read(Reader& reader, const Node& node,
                                                        std::vector<std::vector<std::string>>& to, Range) {
  if (!reader.is(node, Node::Kind::sequence, "a list of group names")) return false;
  const bool flat = std::all_of(node.items.begin(), node.items.end(),
                                [](const Node* item) { return item->kind == Node::Kind::scalar; });
  to.clear();
  if (flat) return Codec<std::vector<std::string>>::read(reader, node, to.emplace_back(), {});
  for (const Node* item : node.items) {
    auto& tuple = to.emplace_back();
    if (item->kind == Node::Kind::scalar) {
      Codec<std::string>::read(reader, *item, tuple.emplace_back(), {});
    } else {
      Codec<std::vector<std::string>>::read(reader, *item, tuple, {});
      if (tuple.empty()) reader.error(*item, "an empty list of groups");
    }
  }
  return true;
}
Json Codec<std::vector<std::vector<std::string>>>::schema(Range) {
  Json tuple = Json().with("type", "array").with("items", text_schema());
  return Json()
      .with("type", "array")
      .with("items", Json().with("anyOf", Json::list({text_schema(), std::move(tuple)})));
}

void refuse_empty(Reader& reader, const Node& node, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const Node* given = node.find(name);
    if (given && given->kind == Node::Kind::sequence && given->items.empty())
      reader.error(*given, "an empty list: leave " + std::string(name) + " out for the default");
  }
}

bool note_unknown_word(Reader& reader, const Node& node, const std::vector<std::string_view>& known) {
  std::string text = "expected ";
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (i > 0) text += i + 1 == known.size() ? " or " : ", ";
    text += known[i];
  }
  reader.error(node, text + ", found " + in_quotes(node.text) + did_you_mean(node.text, known));
  return false;
}

Json schema_of_words(const std::vector<std::string_view>& known) {
  std::vector<Json> words;
  for (const std::string_view word : known) words.push_back(Json::text(word));
  return Json().with("enum", Json::list(std::move(words)));
}

}  // namespace sallyport::config
