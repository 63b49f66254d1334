// Fuzzes paths' normal form, and the look-up of routes with authorities and targets as the codecs let them
// pass: the host is read in one way whatever its case, port and final dot, and what is found exists. The
// first line is the authority, the second the target.
#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sallyport/config/load.hpp"
#include "sallyport/http/path.hpp"
#include "sallyport/http/semantics.hpp"
#include "sallyport/route/table.hpp"

using namespace sallyport;

namespace {

constexpr std::string_view kConfig = R"(
version: 1
listeners: [{ name: http, protocol: http, address: "127.0.0.1:0" }]
hosts:
  - names: [a.test, "*.a.test"]
    routes:
      - { match: { path: /exact }, upstream: web }
      - { match: { path_prefix: /p/ }, upstream: web }
      - { match: { path_regex: "/r/[0-9]+(/.*)?", query: { q: { present: true } } }, upstream: web }
  - names: ["192.0.2.1", "2001:db8::1"]
    routes: [{ upstream: web }]
  - names: ["*"]
    routes: [{ match: { headers: { host: { present: false } } }, upstream: web }]
upstreams: { web: { endpoints: ["127.0.0.1:1"] } }
)";

const route::Table& table() {
  static const route::Table made(config::load_text(kConfig, "fuzz.yaml").model);
  return made;
}

void require(bool holds) {
  if (!holds) std::abort();
}

bool same(const route::Match& a, const route::Match& b) {
  return a.outcome == b.outcome && a.host == b.host && a.route == b.route;
}

// Under each of some sets of rules: the normal form of a normal form is itself, and no dot
// segment is left where they are resolved.
void normal_forms(std::string_view path) {
  using http::PathRules;
  if (!path.starts_with('/')) return;
  PathRules slashes;
  slashes.escaped_slashes = PathRules::Slashes::decode;
  slashes.repeated_slashes = PathRules::Repeated::merge;
  PathRules kept;
  kept.dot_segments = PathRules::Dots::keep;
  kept.escapes = PathRules::Escapes::keep;
  for (const PathRules& rules : {PathRules{}, slashes, kept}) {
    std::string once;
    std::string twice;
    const http::PathVerdict verdict = http::normalize_path(path, rules, once);
    if (verdict == http::PathVerdict::refused) continue;
    if (verdict == http::PathVerdict::as_is) once = path;
    require(once.starts_with('/') && once.size() <= 3 * path.size());
    require(http::normalize_path(once, rules, twice) == http::PathVerdict::as_is);
    const std::string closed = once + "/";
    if (rules.dot_segments == PathRules::Dots::resolve)
      require(closed.find("/../") == std::string::npos && closed.find("/./") == std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  const std::string_view authority = input.substr(0, line);
  const std::string_view target = input.substr(line + 1);
  if (!http::is_authority(authority) || !http::is_target(http::Method::get, target)) return 0;

  normal_forms(target.substr(0, target.find('?')));
  http::RequestHead head;
  head.set_method("GET");
  head.set_target(target);
  head.set_authority(authority);
  const std::string_view host = route::host_part(authority);
  require(host.empty() || (host.data() >= authority.data() &&
                           host.data() + host.size() <= authority.data() + authority.size()));
  require(host.find_first_of("[]/@") == std::string_view::npos);
  const route::Match found = table().find(host, 0, head);
  require((found.outcome == route::Match::Outcome::route) == (found.route != route::Match::kNone));
  if (found.route != route::Match::kNone) require(found.route < table().routes());
  std::string loud(host);
  std::transform(loud.begin(), loud.end(), loud.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  require(same(found, table().find(loud, 0, head)));
  return 0;
}
