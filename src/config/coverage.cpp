#include "coverage.hpp"

#include <algorithm>

namespace sallyport::config {
namespace {

bool path_covers(const RouteMatch& a, const RouteMatch& b) {
  if (a.path) return b.path == a.path;
  if (a.path_regex) return b.path_regex == a.path_regex;
  if (!a.path_prefix) return true;
  if (b.path) return has_prefix(*b.path, *a.path_prefix);
  if (b.path_prefix) return has_prefix(*b.path_prefix, *a.path_prefix);
  // Every path begins with "/"; what else an expression may match is not worked out.
  return *a.path_prefix == "/";
}

template <class T>
bool subset(const std::vector<T>& a, const std::vector<T>& of) {
  return std::all_of(a.begin(), a.end(),
                     [&](const T& item) { return std::find(of.begin(), of.end(), item) != of.end(); });
}

// Fewer conditions match more; more methods match more.
bool covers(const RouteMatch& a, const RouteMatch& b) {
  const bool methods = a.methods.empty() || (!b.methods.empty() && subset(b.methods, a.methods));
  return methods && path_covers(a, b) && subset(a.headers, b.headers) && subset(a.query, b.query);
}

}  // namespace

std::size_t covering_route(const std::vector<Route>& routes, std::size_t index) {
  for (std::size_t i = index > kMaxLookBack ? index - kMaxLookBack : 0; i < index; ++i) {
    if (covers(routes[i].match, routes[index].match)) return i;
  }
  return index;
}

bool has_prefix(std::string_view path, std::string_view prefix) noexcept {
  if (!path.starts_with(prefix)) return false;
  return prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/';
}

}  // namespace sallyport::config
