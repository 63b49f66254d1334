// The vocabulary as tables: one Key a key of the file, by which it is read, described in the
// JSON schema and checked against the reference. A type that stands in the model has a Codec
// (how a value of it reads and what its schema is); a struct has a table, keys_of().
#pragma once

#include <array>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "json.hpp"
#include "reader.hpp"

namespace sallyport::config {

// What a number may be; of durations in milliseconds, of sizes in bytes.
struct Range {
  std::uint64_t min = 0;
  std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
};
inline constexpr Range kPositive{1};

template <class T>
struct Key {
  std::string_view name;
  std::string_view about;
  std::function<void(Reader&, const Node&, T&)> read;
  std::function<Json()> schema;
  bool required = false;
};
template <class T>
using Keys = std::vector<Key<T>>;

// read(): false when the value was not taken, which has been noted then.
template <class T>
struct Codec;

template <class T, class M>
Key<T> key(std::string_view name, M T::*member, std::string_view about, Range range = {}) {
  return {name, about,
          [member, range](Reader& reader, const Node& node, T& to) {
            Codec<M>::read(reader, node, to.*member, range);
          },
          [range] { return Codec<M>::schema(range); }};
}

// Text that must have a form of its own; for a string, an optional one or a list of them.
using TextParser = Parsed<std::string> (*)(std::string_view);
template <class T>
Key<T> text_key(std::string_view name, std::string T::*member, std::string_view about, TextParser parse);
template <class T>
Key<T> text_key(std::string_view name, std::optional<std::string> T::*member, std::string_view about,
                TextParser parse);
template <class T>
Key<T> text_key(std::string_view name, std::vector<std::string> T::*member, std::string_view about,
                TextParser parse);

template <class T>
Key<T> required(Key<T> k) {
  k.required = true;
  return k;
}

// A key whose value is read by hand; Form's codec gives the schema.
template <class T, class Form>
Key<T> custom(std::string_view name, std::string_view about,
              std::function<void(Reader&, const Node&, T&)> read) {
  return {name, about, std::move(read), [] { return Codec<Form>::schema({}); }};
}

template <class T>
Json schema_of(const Keys<T>& keys) {
  Json properties;
  std::vector<Json> needed;
  for (const Key<T>& k : keys) {
    Json schema = k.schema();
    schema.with("description", k.about);
    properties.with(k.name, std::move(schema));
    if (k.required) needed.push_back(Json::text(k.name));
  }
  Json json;
  json.with("type", "object").with("additionalProperties", false).with("properties", std::move(properties));
  if (!needed.empty()) json.with("required", Json::list(std::move(needed)));
  return json;
}

// Reads the keys in the table's order, so that a later one may build on an earlier one.
template <class T>
bool read_keys(Reader& reader, const Node& node, T& to, const Keys<T>& keys) {
  if (!reader.is(node, Node::Kind::map, "a mapping")) return false;
  std::vector<const Node*> values(keys.size());
  std::vector<Place> seen(keys.size());
  for (const auto& [name, value] : node.entries) {
    if (name->kind != Node::Kind::scalar) {
      reader.error(*name, "a key is a single word");
      continue;
    }
    std::size_t i = 0;
    while (i < keys.size() && keys[i].name != name->text) ++i;
    if (i == keys.size()) {
      std::vector<std::string_view> known;
      for (const Key<T>& k : keys) known.push_back(k.name);
      reader.error(*name, "unknown key " + in_quotes(name->text) + did_you_mean(name->text, known));
    } else if (values[i]) {
      reader.error(*name, "duplicate key " + in_quotes(name->text) + ": it stands in line " +
                              std::to_string(seen[i].line) + " already");
    } else {
      values[i] = value;
      seen[i] = name->place;
      if (value->kind == Node::Kind::null)
        reader.error(*name, "the key " + in_quotes(name->text) + " has no value");
    }
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (values[i]) {
      if (values[i]->kind != Node::Kind::null) keys[i].read(reader, *values[i], to);
    } else if (keys[i].required) {
      reader.error(node, "the key " + in_quotes(keys[i].name) + " is missing");
    }
  }
  return true;
}

// A mapping inside the file whose keys land in the same struct.
template <class T>
Key<T> section(std::string_view name, std::string_view about, Keys<T> keys) {
  return {name, about, [keys](Reader& reader, const Node& node, T& to) { read_keys(reader, node, to, keys); },
          [keys] { return schema_of(keys); }};
}

// The keys of a member, as keys of the struct that holds it.
template <class T, class M>
Keys<T> lift(M T::*member, const Keys<M>& keys) {
  Keys<T> lifted;
  for (const Key<M>& k : keys) {
    lifted.push_back(
        {k.name, k.about,
         [member, read = k.read](Reader& reader, const Node& node, T& to) { read(reader, node, to.*member); },
         k.schema, k.required});
  }
  return lifted;
}

template <class T>
Keys<T> operator+(Keys<T> a, Keys<T> b) {
  for (Key<T>& k : b) a.push_back(std::move(k));
  return a;
}

// ---- codecs ----------------------------------------------------------------------------

// A struct: `finish` looks at it once all its keys are read (tables.hpp declares them all).
template <class T>
struct Codec {
  static bool read(Reader& reader, const Node& node, T& to, Range) {
    if constexpr (requires { to.origin; }) to.origin = reader.origin(node);
    if (!read_keys(reader, node, to, keys_of(static_cast<const T*>(nullptr)))) return false;
    if constexpr (requires { finish(reader, node, to); }) finish(reader, node, to);
    return true;
  }
  static Json schema(Range) { return schema_of(keys_of(static_cast<const T*>(nullptr))); }
};

// NOLINTBEGIN(bugprone-macro-parentheses): a type.
#define SALLYPORT_CONFIG_CODEC(type)                                           \
  template <>                                                                  \
  struct Codec<type> {                                                         \
    static bool read(Reader& reader, const Node& node, type& to, Range range); \
    static Json schema(Range range);                                           \
  }
// NOLINTEND(bugprone-macro-parentheses)
SALLYPORT_CONFIG_CODEC(bool);
SALLYPORT_CONFIG_CODEC(std::uint16_t);  // a count
SALLYPORT_CONFIG_CODEC(std::uint32_t);  // a count
SALLYPORT_CONFIG_CODEC(std::size_t);    // a size in bytes
SALLYPORT_CONFIG_CODEC(double);
SALLYPORT_CONFIG_CODEC(std::string);
SALLYPORT_CONFIG_CODEC(std::filesystem::path);
SALLYPORT_CONFIG_CODEC(Milliseconds);
SALLYPORT_CONFIG_CODEC(Percent);
SALLYPORT_CONFIG_CODEC(HeaderList);
SALLYPORT_CONFIG_CODEC(ListenAddress);
SALLYPORT_CONFIG_CODEC(LogTarget);
SALLYPORT_CONFIG_CODEC(SniRule);
SALLYPORT_CONFIG_CODEC(OfferMatch);
SALLYPORT_CONFIG_CODEC(OriginPull);
SALLYPORT_CONFIG_CODEC(UpstreamEndpoint);
SALLYPORT_CONFIG_CODEC(std::vector<std::vector<std::string>>);  // tls groups
SALLYPORT_CONFIG_CODEC(std::vector<ValueMatch>);
#undef SALLYPORT_CONFIG_CODEC

template <class T>
struct Codec<std::optional<T>> {
  static bool read(Reader& reader, const Node& node, std::optional<T>& to, Range range) {
    T value{};
    if (!Codec<T>::read(reader, node, value, range)) return false;
    to = std::move(value);
    return true;
  }
  static Json schema(Range range) { return Codec<T>::schema(range); }
};

template <class T>
struct Codec<std::vector<T>> {
  static bool read(Reader& reader, const Node& node, std::vector<T>& to, Range range) {
    return read_onto(reader, node, to, range, T{});
  }
  // Every item starts from `base`. An item that is wrong is kept, as far as it could be read.
  static bool read_onto(Reader& reader, const Node& node, std::vector<T>& to, Range range, const T& base) {
    if (!reader.is(node, Node::Kind::sequence, "a list, as in [a, b]")) return false;
    to.clear();
    for (const Node* item : node.items) {
      T value = base;
      Codec<T>::read(reader, *item, value, range);
      to.push_back(std::move(value));
    }
    return true;
  }
  static Json schema(Range range) {
    return Json().with("type", "array").with("items", Codec<T>::schema(range));
  }
};

template <class T, class M, class Read>
Key<T> text_key_of(std::string_view name, M T::*member, std::string_view about, Read read) {
  return {name, about, [=](Reader& reader, const Node& node, T& to) { read(reader, node, to.*member); },
          [] { return Codec<M>::schema({}); }};
}

template <class S>
bool read_text(Reader& reader, const Node& node, S& to, TextParser parse) {
  return reader.is(node, Node::Kind::scalar, "text") && reader.take(node, parse(node.text), to);
}

template <class T>
Key<T> text_key(std::string_view name, std::string T::*member, std::string_view about, TextParser parse) {
  return text_key_of(name, member, about, [parse](Reader& reader, const Node& node, std::string& to) {
    read_text(reader, node, to, parse);
  });
}
template <class T>
Key<T> text_key(std::string_view name, std::optional<std::string> T::*member, std::string_view about,
                TextParser parse) {
  return text_key_of(name, member, about,
                     [parse](Reader& reader, const Node& node, std::optional<std::string>& to) {
                       read_text(reader, node, to, parse);
                     });
}
template <class T>
Key<T> text_key(std::string_view name, std::vector<std::string> T::*member, std::string_view about,
                TextParser parse) {
  return text_key_of(name, member, about,
                     [parse](Reader& reader, const Node& node, std::vector<std::string>& to) {
                       if (!reader.is(node, Node::Kind::sequence, "a list, as in [a, b]")) return;
                       to.clear();
                       for (const Node* item : node.items) {
                         std::string text;
                         if (read_text(reader, *item, text, parse)) to.push_back(std::move(text));
                       }
                     });
}

// A mapping from names to T, in the file's order; T has a `name`. Those that stand there
// already are read anew.
template <class T>
bool read_named(Reader& reader, const Node& node, std::vector<T>& to) {
  if (!reader.is(node, Node::Kind::map, "a mapping from names")) return false;
  std::unordered_map<std::string_view, Place> seen;
  for (const auto& [name, value] : node.entries) {
    if (name->kind != Node::Kind::scalar || name->text.empty()) {
      reader.error(*name, "a name is a single word");
      continue;
    }
    const auto [at, fresh] = seen.emplace(name->text, name->place);
    if (!fresh) {
      reader.error(*name, "duplicate name " + in_quotes(name->text) + ": it stands in line " +
                              std::to_string(at->second.line) + " already");
      continue;
    }
    if (!reader.visit(*name)) return false;
    T item;
    item.name = name->text;
    Codec<T>::read(reader, *value, item, {});
    if constexpr (requires { item.origin; }) item.origin = reader.origin(*name);
    to.push_back(std::move(item));
  }
  return true;
}
template <class T>
Json schema_of_named() {
  return Json().with("type", "object").with("additionalProperties", Codec<T>::schema({}));
}

// ---- words -----------------------------------------------------------------------------

template <class E>
using Words = std::vector<std::pair<std::string_view, E>>;

bool note_unknown_word(Reader& reader, const Node& node, const std::vector<std::string_view>& known);
Json schema_of_words(const std::vector<std::string_view>& known);

// An enumeration: words_of() lists what may be written.
template <class E>
requires std::is_enum_v<E>
struct Codec<E> {
  static bool read(Reader& reader, const Node& node, E& to, Range) {
    if (!reader.is(node, Node::Kind::scalar, "a word")) return false;
    const Words<E>& words = words_of(E{});
    for (const auto& [word, value] : words) {
      if (node.text != word) continue;
      to = value;
      return true;
    }
    return note_unknown_word(reader, node, known(words));
  }
  static Json schema(Range) { return schema_of_words(known(words_of(E{}))); }

 private:
  static std::vector<std::string_view> known(const Words<E>& words) {
    std::vector<std::string_view> names;
    for (const auto& [word, value] : words) names.push_back(word);
    return names;
  }
};

}  // namespace sallyport::config
