#include "reader.hpp"

#include <algorithm>
#include <tuple>

namespace sallyport::config {
namespace {

std::string_view to_string(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::null:
      return "nothing";
    case Node::Kind::scalar:
      return "a single value";
    case Node::Kind::sequence:
      return "a list";
    case Node::Kind::map:
      return "a mapping";
  }
  return "";
}

}  // namespace

Reader::Reader(const std::filesystem::path& file)
    : file_(std::make_shared<const std::string>(file.string())), folder_(file.parent_path()) {}

bool Reader::is(const Node& node, Node::Kind kind, std::string_view form) {
  if (!visit(node)) return false;
  if (node.kind == kind) return true;
  error(node, "expected " + std::string(form) + ", found " + std::string(to_string(node.kind)));
  return false;
}

bool Reader::visit(const Node& node) {
  if (visits_ > kMaxVisits) return false;
  if (++visits_ <= kMaxVisits) return true;
  error(node, "the file, with its aliases written out, holds too many values");
  return false;
}

Origin Reader::origin(const Node& node) const {
  return {file_, node.place.line, node.place.column};
}

std::filesystem::path Reader::resolve(std::string_view path) const {
  // operator/ takes an absolute path as it is.
  return (folder_ / std::filesystem::path(path)).lexically_normal();
}

void Reader::note(Problem::Severity severity, Place place, std::string text) {
  if (problems_.size() < kMaxProblems) {
    problems_.push_back({severity, Origin{file_, place.line, place.column}, std::move(text)});
  } else {
    ++left_out_;
  }
}

std::vector<Problem> Reader::finish() {
  std::stable_sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.origin.line, a.origin.column) < std::tie(b.origin.line, b.origin.column);
  });
  if (left_out_ > 0) {
    Origin last = problems_.back().origin;
    problems_.push_back({Problem::Severity::error, std::move(last),
                         "and " + std::to_string(left_out_) + " problems more, not shown"});
  }
  return std::move(problems_);
}

}  // namespace sallyport::config
