// `sallyport explain` of handshake_failed lines: by reason, with cause and remedy, and with a
// configuration whether it would still fail such clients, as far as a line tells.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>

#include <boost/json.hpp>

#include "sallyport/tls/compose.hpp"

#include "explain.hpp"

namespace sallyport::cli {

namespace {

namespace json = boost::json;
using Fields = std::map<std::string, std::string, std::less<>>;

constexpr std::string_view kEvent = "handshake_failed";
constexpr std::size_t kDistinct = 10'000;  // hosts, clients, hints of a reason that are told apart
constexpr std::size_t kShown = 5;
constexpr std::size_t kTrials = 500;  // offers that are tried

std::string text_of(const json::string& text) {
  return {text.data(), text.size()};
}

// ---- one line --------------------------------------------------------------------------------

std::optional<Fields> fields_of_json(std::string_view line) {
  boost::system::error_code error;
  const json::value value = json::parse(json::string_view(line.data(), line.size()), error);
  if (error || !value.is_object()) return std::nullopt;
  Fields fields;
  for (const auto& one : value.get_object()) {
    const std::string name(one.key().data(), one.key().size());
    fields[name] = one.value().is_string() ? text_of(one.value().get_string()) : json::serialize(one.value());
  }
  return fields;
}

// TIME LEVEL EVENT name="JSON string" name=1 …
std::optional<Fields> fields_of_text(std::string_view line) {
  const auto word = [&line] {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view taken = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return std::string(taken);
  };
  Fields fields;
  fields["time"] = word();
  fields["level"] = word();
  fields["event"] = word();
  while (!line.empty()) {
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string name(line.substr(0, equals));
    line.remove_prefix(equals + 1);
    if (!line.starts_with('"')) {
      fields[name] = word();
      continue;
    }
    std::size_t end = 1;
    while (end < line.size() && line[end] != '"') end += line[end] == '\\' ? 2 : 1;
    if (end >= line.size()) return std::nullopt;
    boost::system::error_code error;
    const json::value value = json::parse(json::string_view(line.data(), end + 1), error);
    if (error || !value.is_string()) return std::nullopt;
    fields[name] = text_of(value.get_string());
    line.remove_prefix(std::min(end + 2, line.size()));
  }
  return fields;
}

std::string_view field(const Fields& fields, std::string_view name) {
  const auto found = fields.find(name);
  return found == fields.end() ? std::string_view() : std::string_view(found->second);
}

// A line may stand behind a collector's own words ("pod-1 {…}", a date of syslog's).
std::optional<Fields> failure_of(std::string_view line) {
  if (line.find(kEvent) == std::string_view::npos) return std::nullopt;
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  std::optional<Fields> fields;
  if (const std::size_t brace = line.find('{'); brace != std::string_view::npos && line.ends_with('}'))
    fields = fields_of_json(line.substr(brace));
  if (!fields) fields = fields_of_text(line);
  if (!fields || field(*fields, "event") != kEvent || field(*fields, "reason").empty()) return std::nullopt;
  return fields;
}

// ---- trying it again -------------------------------------------------------------------------

// "a, b and 3 more" → a, b; whether that is all.
bool split(std::string_view text, std::vector<std::string>& to) {
  bool whole = true;
  if (const std::size_t more = text.rfind(" and ");
      more != std::string_view::npos && text.ends_with(" more")) {
    text = text.substr(0, more);
    whole = false;
  }
  if (text == "none") return whole;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(", "), text.size());
    to.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 2, text.size()));
  }
  return whole;
}

// What of a reason the hello and the configuration alone decide.
bool decidable(tls::HandshakeReason reason) {
  using Reason = tls::HandshakeReason;
  switch (reason) {
    case Reason::no_shared_cipher:
    case Reason::no_shared_group:
    case Reason::no_shared_sigalg:
    case Reason::unsupported_version:
    case Reason::no_alpn_overlap:
    case Reason::unknown_sni:
    case Reason::missing_sni:
    case Reason::refused_by_rule:
      return true;
    default:
      return false;
  }
}

class Again {
 public:
  Again(const Trial& trial, const ExplainArguments& arguments) : trial_(trial), arguments_(arguments) {}

  // What would happen now, in a line; nothing if the line does not tell enough.
  std::optional<std::string> outcome(const Fields& line) {
    const std::string name(arguments_.listener.empty() ? field(line, "listener") : arguments_.listener);
    const std::string sni(arguments_.sni ? *arguments_.sni : std::string(field(line, "sni")));
    std::string client(arguments_.client);
    if (client.empty()) {
      const auto peer = net::Endpoint::parse(field(line, "client"));
      client = peer ? peer->address.to_string() : "0.0.0.0";
    }
    tls::HelloOutline outline;
    outline.sni = sni;
    bool whole = split(field(line, "versions_offered"), outline.versions);
    whole = split(field(line, "ciphers_offered"), outline.ciphers) && whole;
    whole = split(field(line, "groups_offered"), outline.groups) && whole;
    whole = split(field(line, "sigalgs_offered"), outline.sigalgs) && whole;
    whole = split(field(line, "alpn_offered"), outline.alpn) && whole;
    if (outline.versions.empty() || outline.ciphers.empty()) return std::nullopt;
    std::string key = name + '\n' + sni + '\n' + client;
    for (const char* part :
         {"versions_offered", "ciphers_offered", "groups_offered", "sigalgs_offered", "alpn_offered"})
      key.append("\n").append(field(line, part));
    const auto known = known_.find(key);
    if (known != known_.end()) return known->second;
    if (known_.size() >= kTrials) return std::nullopt;
    return known_[key] = tried(outline, name, client, whole);
  }

 private:
  std::optional<std::string> tried(const tls::HelloOutline& outline, const std::string& name,
                                   const std::string& client, bool whole) const {
    auto listener = trial_.listener(name, 0);
    if (!listener) listener = trial_.listener({}, 0);
    const tls::ComposedHello hello = tls::compose_hello(outline);
    const auto address = net::IpAddress::parse(client);
    const auto r =
        tls::rehearse(trial_.store, hello.records, *listener, {address.value_or(net::IpAddress{}), 0});
    if (!r) return std::nullopt;
    std::string text = r->refused ? "still " + std::string(to_string(r->verdict.reason)) + ": " + r->told.hint
                                  : "no longer refused: host " + r->host->name + ", policy " +
                                        r->policy->name + ", " + std::string(to_string(r->version));
    if (!whole || !hello.unknown.empty()) text += " (the line does not tell all that it offered)";
    if (r->host != nullptr && reads_fingerprint(r->host->own.policy().rules))
      text += " (rules on JA4 were not tried)";
    return text;
  }
  static bool reads_fingerprint(const tls::Rules& rules) {
    return std::any_of(rules.begin(), rules.end(),
                       [](const tls::Rule& rule) { return !rule.when.ja4.empty(); });
  }

  const Trial& trial_;
  const ExplainArguments& arguments_;
  std::map<std::string, std::optional<std::string>> known_;
};

// ---- all of a reason -------------------------------------------------------------------------

class Tally {
 public:
  void add(std::string_view word) {
    if (word.empty()) return;
    const auto at = counts_.find(word);
    if (at != counts_.end()) {
      ++at->second;
    } else if (counts_.size() < kDistinct) {
      counts_.emplace(word, 1);
    }
  }
  [[nodiscard]] std::vector<std::pair<std::string, std::size_t>> top() const {
    std::vector<std::pair<std::string, std::size_t>> list(counts_.begin(), counts_.end());
    std::stable_sort(list.begin(), list.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    if (list.size() > kShown) list.resize(kShown);
    return list;
  }
  [[nodiscard]] std::size_t size() const { return counts_.size(); }

 private:
  std::map<std::string, std::size_t, std::less<>> counts_;
};

struct Group {
  std::optional<tls::HandshakeReason> reason;  // nothing: one of another version
  std::size_t lines = 0;
  std::uint64_t held_back = 0;
  std::string first, last;
  Tally hosts, clients, hints, now;
  std::size_t untold = 0;  // lines that do not tell enough to try them again
};

std::optional<tls::HandshakeReason> reason_of(std::string_view word) {
  for (const tls::ReasonText& row : tls::reason_table()) {
    if (to_string(row.reason) == word) return row.reason;
  }
  return std::nullopt;
}

void add(Group& group, const Fields& line, Again* again) {
  ++group.lines;
  group.held_back += std::strtoull(std::string(field(line, "held_back")).c_str(), nullptr, 10);
  if (group.first.empty()) group.first = field(line, "time");
  group.last = field(line, "time");
  group.hosts.add(field(line, "host").empty() ? field(line, "sni") : field(line, "host"));
  if (const auto client = net::Endpoint::parse(field(line, "client")))
    group.clients.add(client->address.to_string());
  group.hints.add(field(line, "hint"));
  if (again == nullptr || !group.reason || !decidable(*group.reason)) return;
  if (const auto outcome = again->outcome(line)) {
    group.now.add(*outcome);
  } else {
    ++group.untold;
  }
}

std::string plain(std::string_view text) {
  std::string words(text);
  std::erase(words, '`');
  return words;
}

void print(const std::string& name, const Group& group, const Trial* trial) {
  const auto line = [](const char* what, const std::string& text) {
    std::printf("  %-8s %s\n", what, text.c_str());
  };
  const auto some = [&](const char* what, const Tally& tally) {
    std::string text;
    for (const auto& [word, count] : tally.top())
      text += (text.empty() ? "" : ", ") + word + " (" + std::to_string(count) + ")";
    if (tally.size() > kShown) text += " and " + std::to_string(tally.size() - kShown) + " more";
    if (!text.empty()) line(what, text);
  };
  const auto each = [&](const char* what, const Tally& tally) {
    for (const auto& [word, count] : tally.top()) {
      line(what, std::to_string(count) + "x " + word);
      what = "";
    }
  };
  std::printf("\n%s: %zu line%s", name.c_str(), group.lines, group.lines == 1 ? "" : "s");
  if (group.held_back != 0)
    std::printf(", and %llu held back", static_cast<unsigned long long>(group.held_back));
  std::printf("\n");
  if (group.reason) {
    line("cause", plain(about(*group.reason).cause));
    line("remedy", plain(about(*group.reason).remedy));
  }
  line("when", group.first == group.last ? group.first : group.first + " to " + group.last);
  some("hosts", group.hosts);
  some("clients", group.clients);
  each("hints", group.hints);
  if (trial == nullptr) return;
  if (!group.reason || !decidable(*group.reason)) {
    line("now", "what comes behind the hello cannot be tried again from a line");
    return;
  }
  each("now", group.now);
  if (group.untold != 0) line("", std::to_string(group.untold) + "x the line does not tell enough");
}

json::array json_of(const Tally& tally, const char* name) {
  json::array list;
  for (const auto& [word, count] : tally.top()) list.push_back(json::object{{name, word}, {"lines", count}});
  return list;
}

json::object json_of(const std::string& name, const Group& group, const Trial* trial) {
  json::object to{{"reason", name}, {"lines", group.lines}, {"held_back", group.held_back}};
  if (group.reason) {
    to["cause"] = plain(about(*group.reason).cause);
    to["remedy"] = plain(about(*group.reason).remedy);
  }
  to["first"] = group.first;
  to["last"] = group.last;
  to["hosts"] = json_of(group.hosts, "host");
  to["clients"] = json_of(group.clients, "client");
  to["hints"] = json_of(group.hints, "hint");
  if (trial != nullptr) to["now"] = json_of(group.now, "outcome");
  return to;
}

}  // namespace

bool looks_like_log(std::string_view text) {
  const bool binary = !text.empty() && (static_cast<unsigned char>(text[0]) < 0x09 || text.find('\0') < 4096);
  return !binary && text.find(kEvent) != std::string_view::npos;
}

int explain_log(std::string_view text, const ExplainArguments& arguments, const Trial* trial) {
  std::optional<Again> again;
  if (trial != nullptr) again.emplace(*trial, arguments);
  std::map<std::string, Group> groups;
  std::size_t lines = 0;
  std::size_t unread = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto fields = failure_of(line);
    if (!fields) {
      if (line.find(kEvent) != std::string_view::npos) ++unread;
      continue;
    }
    ++lines;
    if (groups.size() >= tls::kHandshakeReasons && !reason_of(field(*fields, "reason"))) continue;
    Group& group = groups[std::string(field(*fields, "reason"))];
    group.reason = reason_of(field(*fields, "reason"));
    add(group, *fields, again ? &*again : nullptr);
  }
  if (lines == 0) {
    std::fprintf(stderr, "%s: no handshake_failed line can be read in it\n", arguments.file.c_str());
    return kFailed;
  }
  std::vector<const std::pair<const std::string, Group>*> order;
  order.reserve(groups.size());
  for (const auto& entry : groups) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return a->second.lines + a->second.held_back > b->second.lines + b->second.held_back;
  });
  if (arguments.as_json) {
    json::array all;
    for (const auto* entry : order) all.push_back(json_of(entry->first, entry->second, trial));
    std::printf(
        "%s\n",
        json::serialize(json::object{{"lines", lines}, {"unread", unread}, {"reasons", all}}).c_str());
    return kOk;
  }
  std::printf("%zu failed handshake%s in the log, of %zu reason%s\n", lines, lines == 1 ? "" : "s",
              order.size(), order.size() == 1 ? "" : "s");
  if (unread != 0) std::printf("%zu lines could not be read\n", unread);
  for (const auto* entry : order) print(entry->first, entry->second, trial);
  return kOk;
}

}  // namespace sallyport::cli
