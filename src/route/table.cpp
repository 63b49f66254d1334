#include "sallyport/route/table.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "matcher.hpp"

namespace sallyport::route {
namespace {

constexpr std::size_t kMaxName = 255;  // RFC 1035 §2.3.4; nothing longer is in any table

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};
using NameMap = std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>>;

std::optional<std::uint32_t> look_up(const NameMap& map, std::string_view name) noexcept {
  const auto at = map.find(name);
  return at == map.end() ? std::nullopt : std::optional(at->second);
}

bool is_address(std::string_view host) noexcept {
  return host.find(':') != std::string_view::npos ||
         std::all_of(host.begin(), host.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

// The hosts of one listener.
struct Names {
  NameMap exact;
  NameMap wildcard;                        // "example.com" for "*.example.com"
  std::optional<std::uint32_t> any;        // "*"
  std::optional<std::uint32_t> unnamed;    // for an address or an empty name
  std::optional<std::uint32_t> otherwise;  // for a name that nobody has

  void add(const std::string& name, std::uint32_t host) {
    if (name == "*") {
      any = host;
    } else if (name.starts_with("*.")) {
      wildcard.emplace(name.substr(2), host);
    } else {
      exact.emplace(name, host);
    }
  }

  // A name as it stands in the config, where a wildcard is no pattern.
  [[nodiscard]] std::optional<std::uint32_t> entry(std::string_view name) const noexcept {
    if (name == "*") return any;
    return name.starts_with("*.") ? look_up(wildcard, name.substr(2)) : look_up(exact, name);
  }

  [[nodiscard]] std::optional<std::uint32_t> find(std::string_view lower_name) const noexcept {
    if (const auto host = look_up(exact, lower_name)) return host;
    const std::size_t dot = lower_name.find('.');
    if (dot != std::string_view::npos && dot > 0 && !wildcard.empty()) {
      if (const auto host = look_up(wildcard, lower_name.substr(dot + 1))) return host;
    }
    if (any) return any;
    return is_address(lower_name) ? unnamed : otherwise;
  }
};

struct Range {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

struct ListenerEntry {
  Names names;
  Range routes;
  bool redirect = false;
};

bool serves(const config::Host& host, const config::Listener& listener) {
  return host.listeners.empty() ||
         std::find(host.listeners.begin(), host.listeners.end(), listener.name) != host.listeners.end();
}

}  // namespace

struct Table::State {
  std::vector<Matcher> matchers;  // by dense index
  std::vector<Place> places;      // by dense index
  std::vector<ListenerEntry> listeners;
  std::vector<Range> hosts;

  Range add(const std::vector<config::Route>& routes, bool of_listener, std::uint32_t owner) {
    const Range range{static_cast<std::uint32_t>(matchers.size()), static_cast<std::uint32_t>(routes.size())};
    for (std::uint32_t i = 0; i < range.count; ++i) {
      matchers.emplace_back(routes[i].match);
      places.push_back({of_listener, owner, i});
    }
    return range;
  }

  [[nodiscard]] std::uint32_t first_match(Range range, const http::RequestHead& head, std::string_view path,
                                          std::string_view query) const noexcept {
    for (std::uint32_t i = range.first; i < range.first + range.count; ++i) {
      if (matchers[i].matches(head, path, query)) return i;
    }
    return Match::kNone;
  }
};

std::string_view host_part(std::string_view authority) noexcept {
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    return end == std::string_view::npos ? std::string_view() : authority.substr(1, end - 1);
  }
  std::string_view host = authority.substr(0, authority.rfind(':'));
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

Table::Table(const config::Model& model) {
  auto state = std::make_unique<State>();
  for (std::uint32_t i = 0; i < model.listeners.size(); ++i) {
    const config::Listener& listener = model.listeners[i];
    ListenerEntry& entry = state->listeners.emplace_back();
    entry.routes = state->add(listener.routes, true, i);
    entry.redirect = listener.redirect;
    for (std::uint32_t h = 0; h < model.hosts.size(); ++h) {
      if (!serves(model.hosts[h], listener)) continue;
      for (const std::string& name : model.hosts[h].names) entry.names.add(name, h);
    }
    if (!model.tls.unknown_sni.reject())
      entry.names.otherwise = entry.names.entry(model.tls.unknown_sni.host);
    if (!model.tls.missing_sni.reject()) entry.names.unnamed = entry.names.entry(model.tls.missing_sni.host);
  }
  for (std::uint32_t h = 0; h < model.hosts.size(); ++h)
    state->hosts.push_back(state->add(model.hosts[h].routes, false, h));
  state_ = std::move(state);
}

Table::~Table() = default;
Table::Table(Table&&) noexcept = default;
Table& Table::operator=(Table&&) noexcept = default;

Match Table::find(std::string_view host, std::uint32_t listener,
                  const http::RequestHead& head) const noexcept {
  const ListenerEntry& entry = state_->listeners[listener];
  const std::string_view path = head.path();
  const std::string_view query = head.query();
  Match match;
  match.route = state_->first_match(entry.routes, head, path, query);
  if (match.route != Match::kNone) {
    match.outcome = Match::Outcome::route;
    return match;
  }
  if (entry.redirect) {
    match.outcome = Match::Outcome::redirect;
    return match;
  }
  const auto found = host_of(host, listener);
  if (!found) return match;
  match.host = *found;
  match.route = state_->first_match(state_->hosts[*found], head, path, query);
  match.outcome = match.route == Match::kNone ? Match::Outcome::no_route : Match::Outcome::route;
  return match;
}

std::optional<std::uint32_t> Table::host_of(std::string_view host, std::uint32_t listener) const noexcept {
  const Names& names = state_->listeners[listener].names;
  if (host.size() > kMaxName) return names.any ? names.any : names.otherwise;
  std::array<char, kMaxName> lower;
  std::transform(host.begin(), host.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::string_view name(lower.data(), host.size());
  if (name.ends_with('.')) name.remove_suffix(1);
  return names.find(name);
}

std::uint32_t Table::routes() const noexcept {
  return static_cast<std::uint32_t>(state_->places.size());
}
Table::Place Table::place(std::uint32_t route) const noexcept {
  return state_->places[route];
}

const config::Route& Table::route(const config::Model& model, std::uint32_t index) const noexcept {
  const Place at = state_->places[index];
  return at.of_listener ? model.listeners[at.owner].routes[at.index] : model.hosts[at.owner].routes[at.index];
}

}  // namespace sallyport::route
