// What every reader of a node needs: where problems go, where files are, how much was read.
// One for each load(); the tables and codecs of key.hpp work through it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/config/load.hpp"

#include "document.hpp"
#include "scalars.hpp"

namespace sallyport::config {

class Reader {
 public:
  // More than these help nobody; the rest is counted in one line.
  static constexpr std::size_t kMaxProblems = 1000;
  // Values read, each alias anew: what a list of aliases to lists of aliases may cost.
  static constexpr std::size_t kMaxVisits = 2'000'000;

  explicit Reader(const std::filesystem::path& file);

  void error(Place place, std::string text) { note(Problem::Severity::error, place, std::move(text)); }
  void error(const Node& node, std::string text) { error(node.place, std::move(text)); }
  void warning(const Node& node, std::string text) {
    note(Problem::Severity::warning, node.place, std::move(text));
  }

  // Whether the node is of that kind; a problem if not. `form` tells what to write.
  bool is(const Node& node, Node::Kind kind, std::string_view form);
  // Whether the node may be read at all: false once too much was read.
  bool visit(const Node& node);

  // Takes the parsed value, or notes what is wrong with it.
  template <class T, class U>
  bool take(const Node& node, Parsed<T> parsed, U& to) {
    if (auto* wrong = std::get_if<Wrong>(&parsed)) {
      error(node, std::move(wrong->text));
      return false;
    }
    to = static_cast<U>(std::move(std::get<T>(parsed)));
    return true;
  }

  [[nodiscard]] Origin origin(const Node& node) const;
  // Against the folder of the config file.
  [[nodiscard]] std::filesystem::path resolve(std::string_view path) const;
  // Everything noted, in the file's order.
  [[nodiscard]] std::vector<Problem> finish();

 private:
  void note(Problem::Severity severity, Place place, std::string text);

  std::shared_ptr<const std::string> file_;
  std::filesystem::path folder_;
  std::vector<Problem> problems_;
  std::size_t left_out_ = 0;
  std::size_t visits_ = 0;
};

}  // namespace sallyport::config
