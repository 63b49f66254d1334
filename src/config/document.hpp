// A YAML text as a plain tree with the place of every node, bounded while it is read.
//
// yaml-cpp scans, we keep: its own node graph merges what we want to tell apart (duplicate
// keys, quoted text) and follows aliases without end. Aliases share a node here, a cycle is
// refused. Owned by one load(), gone after it.
#pragma once

#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport::config {

struct Place {
  std::uint32_t line = 0;  // from 1
  std::uint32_t column = 0;
};

struct Node {
  enum class Kind : std::uint8_t { null, scalar, sequence, map };
  Kind kind = Kind::null;
  bool quoted = false;  // a scalar in quotes, which is text whatever it looks like
  Place place;
  std::string text;                                          // scalar
  std::vector<const Node*> items;                            // sequence
  std::vector<std::pair<const Node*, const Node*>> entries;  // map, duplicates and all

  // The first value under a key, or nullptr.
  [[nodiscard]] const Node* find(std::string_view key) const noexcept;
};

class DocumentError : public std::runtime_error {
 public:
  DocumentError(Place place, const std::string& text) : std::runtime_error(text), place_(place) {}
  [[nodiscard]] Place place() const noexcept { return place_; }

 private:
  Place place_;
};

class Document {
 public:
  static constexpr std::size_t kMaxNodes = 1'000'000;  // ten thousand hosts need about half of it
  static constexpr std::size_t kMaxDepth = 64;         // the vocabulary needs 10

  // Throws DocumentError.
  explicit Document(std::string_view text);
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  [[nodiscard]] const Node& root() const noexcept { return *root_; }

 private:
  std::deque<Node> nodes_;
  const Node* root_ = nullptr;
};

}  // namespace sallyport::config
