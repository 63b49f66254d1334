// The reference, the demo's file and the schema say what the loader does: same keys, same
// defaults. Whoever adds a key to the loader finds these tests failing until all three know it.
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <yaml-cpp/yaml.h>

#include "sallyport/config/load.hpp"

#include "catch.hpp"

using namespace sallyport::config;

namespace {

const std::string kFolder = SALLYPORT_SOURCE_DIR "/config/";

std::string text_of(const std::string& name) {
  std::ifstream stream(kFolder + name);
  REQUIRE(stream);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

// With the examples that stand behind "#: ".
std::string with_examples(std::string text) {
  for (std::size_t at = text.find("#: "); at != std::string::npos; at = text.find("#: ", at))
    text.erase(at, 3);
  return text;
}

std::string told(const std::vector<Problem>& problems) {
  std::string lines;
  for (const Problem& problem : problems) lines += to_string(problem) + "\n";
  return lines;
}

// Every path of keys that the schema knows; "*" stands for a name, "[]" for an item.
void paths_of_schema(const YAML::Node& schema, const std::string& at, std::set<std::string>& paths) {
  if (const YAML::Node properties = schema["properties"]) {
    CHECK(schema["additionalProperties"].as<std::string>() == "false");
    for (const auto& property : properties) {
      const std::string path = at + "." + property.first.as<std::string>();
      CHECK(property.second["description"]);
      paths.insert(path);
      paths_of_schema(property.second, path, paths);
    }
  } else if (const YAML::Node named = schema["additionalProperties"]) {
    paths_of_schema(named, at + ".*", paths);
  }
  if (const YAML::Node items = schema["items"]) paths_of_schema(items, at + "[]", paths);
  if (const YAML::Node forms = schema["anyOf"]) {
    for (const auto& form : forms) paths_of_schema(form, at, paths);
  }
}

void paths_of_file(const YAML::Node& node, const std::string& at, std::set<std::string>& paths) {
  if (node.IsMap()) {
    for (const auto& entry : node) {
      for (const std::string& path : {at + "." + entry.first.as<std::string>(), at + ".*"}) {
        paths.insert(path);
        paths_of_file(entry.second, path, paths);
      }
    }
  } else if (node.IsSequence()) {
    for (const auto& item : node) paths_of_file(item, at + "[]", paths);
  }
}

// Calls f for every mapping below `node`.
template <class F>
void for_each_map(YAML::Node node, const F& f) {
  if (node.IsMap()) {
    for (auto entry : node) for_each_map(entry.second, f);
    f(node);
  } else if (node.IsSequence()) {
    for (auto item : node) for_each_map(item, f);
  }
}

}  // namespace

TEST_CASE("the reference loads and validates without a word") {
  for (const bool examples : {false, true}) {
    const Loaded loaded =
        load_text(examples ? with_examples(text_of("reference.yaml")) : text_of("reference.yaml"), "r");
    INFO(told(loaded.problems));
    CHECK(loaded.problems.empty());
    const auto problems = validate(loaded.model);
    INFO(told(problems));
    CHECK(problems.empty());
  }
}

TEST_CASE("the reference names every key that the loader knows") {
  std::set<std::string> known, documented;
  paths_of_schema(YAML::Load(json_schema()), "", known);
  paths_of_file(YAML::Load(with_examples(text_of("reference.yaml"))), "", documented);
  CHECK(known.size() > 150);
  for (const std::string& path : known) {
    INFO(path);
    CHECK(documented.count(path) == 1);
  }
}

TEST_CASE("what the reference calls a default is the default") {
  const Loaded loaded = load_text(text_of("reference.yaml"), "r");
  const Model& model = loaded.model;
  const Model fresh;
  CHECK(model.workers == fresh.workers);
  CHECK(model.timeouts == fresh.timeouts);
  CHECK(model.drain == fresh.drain);
  CHECK(model.process_limits == fresh.process_limits);
  CHECK(model.limits == fresh.limits);
  CHECK(model.admin == fresh.admin);
  CHECK(model.access_log == fresh.access_log);
  CHECK(model.log == fresh.log);
  CHECK(model.metrics == fresh.metrics);
  CHECK(model.tls.unknown_sni == fresh.tls.unknown_sni);
  CHECK(model.tls.missing_sni == fresh.tls.missing_sni);
  CHECK(model.tls.tickets == fresh.tls.tickets);
  CHECK(model.tls.ticket_rotation == fresh.tls.ticket_rotation);
  TlsPolicy policy;
  policy.name = "default";
  CHECK(model.tls.policies == std::vector<TlsPolicy>{policy});

  Listener listener;
  listener.name = "https";
  listener.address = {"::", 443, true};
  CHECK(model.listeners.at(0) == listener);
  CHECK(model.listeners.at(1).redirect_code == Listener{}.redirect_code);
  CHECK(model.listeners.at(1).redirect_port == Listener{}.redirect_port);

  const Host& host = model.hosts.at(0);
  CHECK(host.policy == Host{}.policy);
  CHECK(host.routes.at(0).websocket == Route{}.websocket);
  CHECK(std::get<Redirect>(host.routes.at(1).action).code == Redirect{}.code);
  CHECK(std::get<Reply>(host.routes.at(2).action) == Reply{});

  Upstream upstream;
  upstream.name = "web";
  upstream.endpoints = {{"127.0.0.1", 8080, 1, {}}};
  CHECK(model.upstreams.at(0) == upstream);
  CHECK(model.upstreams.at(1).tls == UpstreamTls{});
  CHECK(model.upstreams.at(1).endpoints.at(1).weight == UpstreamEndpoint{}.weight);

  const Model examples = load_text(with_examples(text_of("reference.yaml")), "r").model;
  CHECK(examples.listeners.at(0).timeouts == ClientTimeouts{});
  CHECK(examples.listeners.at(0).limits == ClientLimits{});
  CHECK(examples.listeners.at(0).trusted == TrustedClients{});
}

TEST_CASE("an unknown key is refused in every mapping of the reference") {
  const std::string text = with_examples(text_of("reference.yaml"));
  std::size_t maps = 0;
  for_each_map(YAML::Load(text), [&](const YAML::Node&) { ++maps; });
  std::size_t refused = 0, taken = 0;
  for (std::size_t n = 0; n < maps; ++n) {
    YAML::Node root = YAML::Load(text);
    std::size_t at = 0;
    for_each_map(root, [&](YAML::Node map) {
      if (at++ == n) map["zzz_no_such_key"] = "1";
    });
    YAML::Emitter out;
    out << root;
    const Loaded loaded = load_text(out.c_str(), "r");
    std::size_t unknown = 0;
    for (const Problem& p : loaded.problems) unknown += p.text.find("unknown key \"zzz_no_such_key\"") == 0;
    CHECK(unknown <= 1);
    (unknown == 1 ? refused : taken) += 1;
  }
  // Mappings from names of the user's choice (headers, query, set, add, policies, upstreams,
  // address_sets),
  // counted so that no other one opens unseen.
  CHECK(taken == 17);
  CHECK(refused == maps - taken);
}

TEST_CASE("the committed schema is what this build writes") {
  // SALLYPORT_WRITE_SCHEMA=1 unit_config writes it anew after a change of the tables.
  if (std::getenv("SALLYPORT_WRITE_SCHEMA")) std::ofstream(kFolder + "schema.json") << json_schema();
  const bool same = text_of("schema.json") == json_schema();
  CHECK(same);
}

TEST_CASE("the file for Cloudflare is right") {
  const Loaded loaded = load_and_validate(kFolder + "cloudflare.yaml");
  INFO(told(loaded.problems));
  CHECK(loaded.problems.empty());
}

TEST_CASE("the demo's file is right and points into build/demo") {
  const Loaded loaded = load_and_validate(kFolder + "demo.yaml");
  INFO(told(loaded.problems));
  CHECK(loaded.problems.empty());
  CHECK(loaded.model.hosts.at(0).certificates.at(0).chain == SALLYPORT_SOURCE_DIR "/build/demo/ecdsa.pem");
  CHECK(loaded.model.listeners.at(1).redirect_port == 8443);
}
