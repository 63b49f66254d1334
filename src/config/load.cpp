#include "sallyport/config/load.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <memory>
#include <system_error>

#include "sallyport/base/memory.hpp"

#include "tables.hpp"

namespace sallyport::config {
namespace {

// The file's bytes, at most one more than is allowed, or what keeps us from them. Read in pieces:
// a pipe has no size to ask for.
Parsed<std::string> read_file(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) return Wrong{"is a directory"};
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return Wrong{"cannot be opened: " + std::generic_category().message(errno)};
  std::string text;
  std::array<char, 16 * kKiB> piece;
  while (stream && text.size() <= kMaxFileBytes) {
    stream.read(piece.data(), std::min<std::streamsize>(piece.size(), kMaxFileBytes + 1 - text.size()));
    text.append(piece.data(), static_cast<std::size_t>(stream.gcount()));
  }
  if (stream.bad()) return Wrong{"cannot be read: " + std::generic_category().message(errno)};
  return text;
}

Loaded failed(const std::filesystem::path& file, Place place, std::string text) {
  Loaded loaded;
  loaded.model.file = file;
  Origin origin{std::make_shared<const std::string>(file.string()), place.line, place.column};
  loaded.problems.push_back({Problem::Severity::error, std::move(origin), std::move(text)});
  return loaded;
}

// The tree is larger than what is made of it.
std::unique_ptr<const Document> parse(std::string_view text) {
  const base::Apart apart(base::Pages::passing);
  return std::make_unique<const Document>(text);
}

}  // namespace

std::string to_string(const Origin& origin) {
  std::string text = origin.file ? *origin.file : std::string("config");
  if (origin.line > 0) text += ":" + std::to_string(origin.line) + ":" + std::to_string(origin.column);
  return text;
}

std::string to_string(const ListenAddress& address) {
  return (address.v6 ? "[" + address.ip + "]" : address.ip) + ":" + std::to_string(address.port);
}

std::string to_string(const Problem& problem) {
  const char* severity = problem.severity == Problem::Severity::error ? "error" : "warning";
  return to_string(problem.origin) + ": " + severity + ": " + problem.text;
}

bool has_errors(const std::vector<Problem>& problems) noexcept {
  return std::any_of(problems.begin(), problems.end(),
                     [](const Problem& p) { return p.severity == Problem::Severity::error; });
}

Loaded load(const std::filesystem::path& file) {
  auto text = read_file(file);
  if (auto* wrong = std::get_if<Wrong>(&text)) return failed(file, {}, std::move(wrong->text));
  return load_text(std::get<std::string>(text), file);
}

Loaded load_text(std::string_view text, const std::filesystem::path& file) {
  if (text.size() > kMaxFileBytes)
    return failed(file, {}, "is larger than " + std::to_string(kMaxFileBytes / kMiB) + "MiB");
  const base::ReturnAtOnce at_once;
  try {
    const auto document = parse(text);
    Reader reader(file);
    Loaded loaded;
    loaded.model.file = file;
    Codec<Model>::read(reader, document->root(), loaded.model, {});
    loaded.problems = reader.finish();
    return loaded;
  } catch (const DocumentError& e) {
    return failed(file, e.place(), e.what());
  }
}

Loaded load_and_validate(const std::filesystem::path& file) {
  Loaded loaded = load(file);
  if (has_errors(loaded.problems)) return loaded;
  for (Problem& problem : validate(loaded.model)) loaded.problems.push_back(std::move(problem));
  return loaded;
}

std::string json_schema() {
  Json schema = Json()
                    .with("$schema", "https://json-schema.org/draft/2020-12/schema")
                    .with("title", "Sallyport configuration");
  // The members of the object's own schema follow the title.
  return schema.with_all(Codec<Model>::schema({})).to_string() + "\n";
}

}  // namespace sallyport::config
