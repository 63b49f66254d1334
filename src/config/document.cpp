#include "document.hpp"

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace sallyport::config {
namespace {

Place place_of(const YAML::Mark& mark) {
  if (mark.is_null()) return {1, 1};
  return {static_cast<std::uint32_t>(mark.line) + 1, static_cast<std::uint32_t>(mark.column) + 1};
}

class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(std::deque<Node>& nodes) : nodes_(nodes) {}

  [[nodiscard]] const Node* root() const { return root_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root_) throw DocumentError(place_of(mark), "a second document: the file holds one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    put(make(Node::Kind::null, mark, "?", anchor));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto at = anchors_.find(anchor);
    if (at == anchors_.end()) throw DocumentError(place_of(mark), "an alias to nothing");
    if (std::find(open_.begin(), open_.end(), at->second) != open_.end())
      throw DocumentError(place_of(mark), "an alias to what it stands in");
    put(at->second);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node* node = make(Node::Kind::scalar, mark, tag, anchor);
    node->text = value;
    node->quoted = !tag.empty() && tag != "?";
    put(node);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(Node::Kind::sequence, mark, tag, anchor));
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(Node::Kind::map, mark, tag, anchor));
  }
  void OnMapEnd() override { close(); }

 private:
  Node* make(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    const Place place = place_of(mark);
    if (nodes_.size() == Document::kMaxNodes) throw DocumentError(place, "the file holds too many values");
    if (!tag.empty() && tag != "?" && tag != "!" && tag != "tag:yaml.org,2002:str")
      throw DocumentError(place, "tags are not supported (" + tag.substr(0, 60) + ")");
    Node& node = nodes_.emplace_back();
    node.kind = kind;
    node.place = place;
    if (anchor != YAML::NullAnchor) anchors_[anchor] = &node;
    return &node;
  }

  void open(Node* node) {
    put(node);
    if (open_.size() == Document::kMaxDepth) throw DocumentError(node->place, "nested too deeply");
    open_.push_back(node);
    keys_.push_back(nullptr);
  }

  void close() {
    open_.pop_back();
    keys_.pop_back();
  }

  void put(const Node* node) {
    if (open_.empty()) {
      root_ = node;
    } else if (open_.back()->kind == Node::Kind::sequence) {
      open_.back()->items.push_back(node);
    } else if (keys_.back() == nullptr) {
      keys_.back() = node;
    } else {
      open_.back()->entries.emplace_back(keys_.back(), node);
      keys_.back() = nullptr;
    }
    // An alias costs no node, yet ten bytes of it must not make an endless list either.
    if (++puts_ > Document::kMaxNodes) throw DocumentError(node->place, "the file holds too many values");
  }

  std::deque<Node>& nodes_;
  std::unordered_map<YAML::anchor_t, const Node*> anchors_;
  std::vector<Node*> open_;
  std::vector<const Node*> keys_;  // of each open map: the key that waits for its value
  const Node* root_ = nullptr;
  std::size_t puts_ = 0;
};

}  // namespace

const Node* Node::find(std::string_view key) const noexcept {
  for (const auto& [name, value] : entries) {
    if (name->kind == Kind::scalar && name->text == key) return value;
  }
  return nullptr;
}

Document::Document(std::string_view text) {
  Builder builder(nodes_);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& e) {
    throw DocumentError(place_of(e.mark), "not YAML: " + e.msg);
  }
  root_ = builder.root();
  if (!root_ || root_->kind == Node::Kind::null) throw DocumentError({1, 1}, "the file is empty");
}

}  // namespace sallyport::config
