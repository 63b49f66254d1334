#include "sallyport/config/pattern.hpp"

#include <algorithm>
#include <bit>
#include <bitset>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace sallyport::config {
namespace {

using ByteSet = std::bitset<256>;

constexpr int kMaxDepth = 50;  // nested groups: bounds the recursion
constexpr std::uint32_t kUnbounded = ~0U;
constexpr std::uint32_t kMaxRepeat = 255;

struct Tree {
  enum class Kind : std::uint8_t { empty, bytes, sequence, choice, repeat };
  Kind kind = Kind::empty;
  ByteSet bytes;
  std::vector<Tree> parts;
  std::uint32_t min = 0, max = 0;
};

struct Refused {
  std::string text;
};

ByteSet range(unsigned from, unsigned to) {
  ByteSet set;
  for (unsigned c = from; c <= to; ++c) set.set(c);
  return set;
}

std::optional<ByteSet> class_escape(char c) {
  const ByteSet digit = range('0', '9');
  const ByteSet word = digit | range('a', 'z') | range('A', 'Z') | range('_', '_');
  const ByteSet space = range('\t', '\r') | range(' ', ' ');
  switch (c) {
    case 'd':
      return digit;
    case 'D':
      return ~digit;
    case 'w':
      return word;
    case 'W':
      return ~word;
    case 's':
      return space;
    case 'S':
      return ~space;
    default:
      return std::nullopt;
  }
}

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Recursive descent: choice → sequence → repeat → atom.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {
    if (text_.starts_with("(?i)")) {
      fold_ = true;
      at_ = 4;
    }
  }

  Tree all() {
    Tree tree = choice(0);
    if (!done()) throw Refused{"\")\" without \"(\""};
    return tree;
  }

 private:
  [[nodiscard]] bool done() const { return at_ == text_.size(); }
  [[nodiscard]] char peek() const { return text_[at_]; }
  bool take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  Tree choice(int depth) {
    if (depth > kMaxDepth) throw Refused{"groups are nested too deeply"};
    Tree tree{Tree::Kind::choice, {}, {}, 0, 0};
    do tree.parts.push_back(sequence(depth));
    while (take("|"));
    return tree.parts.size() == 1 ? Tree(std::move(tree.parts.front())) : tree;
  }

  Tree sequence(int depth) {
    Tree tree{Tree::Kind::sequence, {}, {}, 0, 0};
    // The whole text must match anyway, so at the ends the anchors say nothing new.
    if (depth == 0) take("^");
    while (!done() && peek() != '|' && peek() != ')') {
      if (peek() == '$' && depth == 0 && (at_ + 1 == text_.size() || text_[at_ + 1] == '|')) {
        ++at_;
        break;
      }
      tree.parts.push_back(repeat(atom(depth)));
    }
    return tree;
  }

  Tree repeat(Tree tree) {
    while (!done()) {
      std::uint32_t min = 0, max = kUnbounded;
      if (take("*")) {
      } else if (take("+")) {
        min = 1;
      } else if (take("?")) {
        max = 1;
      } else if (take("{")) {
        min = number();
        max = min;
        if (take(",")) max = !done() && peek() == '}' ? kUnbounded : number();
        if (!take("}")) throw Refused{"a repetition is written {n}, {n,} or {n,m}"};
        if (max < min) throw Refused{"a repetition {n,m} needs n <= m"};
      } else {
        break;
      }
      if (!done() && (peek() == '?' || peek() == '+'))
        throw Refused{"lazy and possessive repetitions mean nothing where the whole text must match"};
      Tree outer{Tree::Kind::repeat, {}, {}, min, max};
      outer.parts.push_back(std::move(tree));
      tree = std::move(outer);
    }
    return tree;
  }

  std::uint32_t number() {
    std::uint32_t value = 0;
    const std::size_t start = at_;
    for (; !done() && peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + static_cast<std::uint32_t>(peek() - '0');
      if (value > kMaxRepeat) throw Refused{"a repetition is at most " + std::to_string(kMaxRepeat)};
    }
    if (at_ == start) throw Refused{"a repetition is written {n}, {n,} or {n,m}; a literal brace \\{"};
    return value;
  }

  Tree atom(int depth) {
    const char c = peek();
    ++at_;
    switch (c) {
      case '(':
        return group(depth);
      case '[':
        return leaf(bracket());
      case '.':
        return leaf(~ByteSet{});
      case '\\':
        return leaf(escape());
      case '*':
      case '+':
      case '?':
      case '{':
        throw Refused{std::string("\"") + c + "\" has nothing to repeat"};
      case '^':
      case '$':
        throw Refused{std::string("\"") + c + "\" may stand at an end only; a literal one is \\" + c};
      default:
        return leaf(folded(range(byte(c), byte(c))));
    }
  }

  Tree group(int depth) {
    if (!take("?:") && !done() && peek() == '?')
      throw Refused{
          "look-arounds, named groups and inline flags other than a leading (?i) are not supported"};
    Tree tree = choice(depth + 1);
    if (!take(")")) throw Refused{"\"(\" without \")\""};
    return tree;
  }

  ByteSet escape() {
    if (done()) throw Refused{"a backslash at the end"};
    const char c = text_[at_++];
    if (auto set = class_escape(c)) return *set;
    if (is_alnum(c)) throw Refused{std::string("\\") + c + " is not supported"};
    return range(byte(c), byte(c));
  }

  ByteSet bracket() {
    const bool negated = take("^");
    ByteSet set;
    for (bool first = true;; first = false) {
      if (done()) throw Refused{"\"[\" without \"]\""};
      if (!first && take("]")) break;
      const ByteSet low = member();
      if (low.count() == 1 && at_ + 1 < text_.size() && peek() == '-' && text_[at_ + 1] != ']') {
        ++at_;
        const ByteSet high = member();
        if (high.count() != 1 || index(high) < index(low)) throw Refused{"a range in [] runs backwards"};
        set |= range(index(low), index(high));
      } else {
        set |= low;
      }
    }
    set = folded(set);
    return negated ? ~set : set;
  }

  ByteSet member() {
    const char c = text_[at_++];
    if (c == '\\') return escape();
    if (c == '[' && !done() && (peek() == ':' || peek() == '.' || peek() == '='))
      throw Refused{"[:classes:] are not supported, write the range or \\d \\w \\s"};
    return range(byte(c), byte(c));
  }

  ByteSet folded(ByteSet set) const {
    if (!fold_) return set;
    for (unsigned c = 'a'; c <= 'z'; ++c) {
      const bool either = set[c] || set[c - 32];
      set[c] = either;
      set[c - 32] = either;
    }
    return set;
  }

  static unsigned index(const ByteSet& set) {
    unsigned c = 0;
    while (!set[c]) ++c;
    return c;
  }
  static unsigned byte(char c) { return static_cast<unsigned char>(c); }
  static Tree leaf(ByteSet set) { return Tree{Tree::Kind::bytes, set, {}, 0, 0}; }

  std::string_view text_;
  std::size_t at_ = 0;
  bool fold_ = false;
};

void unite(Pattern::Set& to, const Pattern::Set& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] |= from[i];
}

template <class F>
void for_each_position(const Pattern::Set& set, std::size_t words, F&& f) {
  for (std::size_t w = 0; w < words; ++w) {
    for (std::uint64_t bits = set[w]; bits != 0; bits &= bits - 1)
      f(w * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
  }
}

}  // namespace

// Glushkov's construction: every letter of the expression is a position; what matters of a
// part is whether it may be empty, which positions begin it and which end it.
class PatternCompiler {
 public:
  Pattern build(const Tree& tree) {
    const Part all = part(tree);
    pattern_.nullable_ = all.nullable;
    pattern_.first_ = all.first;
    pattern_.last_ = all.last;
    pattern_.words_ = (bytes_.size() + 63) / 64;
    classify();
    return std::move(pattern_);
  }

 private:
  struct Part {
    bool nullable = true;
    Pattern::Set first{};
    Pattern::Set last{};
  };

  Part part(const Tree& tree) {
    switch (tree.kind) {
      case Tree::Kind::empty:
        return {};
      case Tree::Kind::bytes:
        return position(tree.bytes);
      case Tree::Kind::sequence: {
        Part all;
        for (const Tree& t : tree.parts) all = joined(all, part(t));
        return all;
      }
      case Tree::Kind::choice: {
        Part all{false, {}, {}};
        for (const Tree& t : tree.parts) {
          const Part one = part(t);
          all.nullable |= one.nullable;
          unite(all.first, one.first);
          unite(all.last, one.last);
        }
        return all;
      }
      case Tree::Kind::repeat:
        return repeated(tree);
    }
    return {};
  }

  // {n,m} is written out: n times the part, then m - n times an optional one; without m the
  // last copy loops.
  Part repeated(const Tree& tree) {
    Part all;
    const Tree& inner = tree.parts.front();
    const std::uint32_t copies = tree.max == kUnbounded ? std::max(tree.min, 1U) : tree.max;
    for (std::uint32_t i = 0; i < copies; ++i) {
      // Copies of a part without letters add no position, so count them as well.
      if (++work_ > Pattern::kMaxPositions * 4) throw Refused{"the expression is too large"};
      Part one = part(inner);
      if (tree.max == kUnbounded && i + 1 == copies) link(one.last, one.first);
      if (i >= tree.min) one.nullable = true;
      all = joined(all, one);
    }
    return all;
  }

  Part joined(const Part& a, const Part& b) {
    link(a.last, b.first);
    Part all{a.nullable && b.nullable, a.first, b.last};
    if (a.nullable) unite(all.first, b.first);
    if (b.nullable) unite(all.last, a.last);
    return all;
  }

  void link(const Pattern::Set& from, const Pattern::Set& to) {
    for_each_position(from, from.size(), [&](std::size_t p) { unite(pattern_.follow_[p], to); });
  }

  Part position(const ByteSet& bytes) {
    const std::size_t p = bytes_.size();
    if (p == Pattern::kMaxPositions)
      throw Refused{"the expression is too large (over " + std::to_string(p) +
                    " letters, repetitions written out)"};
    bytes_.push_back(bytes);
    pattern_.follow_.emplace_back();
    Part one{false, {}, {}};
    one.first[p / 64] = one.last[p / 64] = std::uint64_t{1} << (p % 64);
    return one;
  }

  void classify() {
    std::map<Pattern::Set, std::uint16_t> classes;
    for (std::size_t c = 0; c < 256; ++c) {
      Pattern::Set takers{};
      for (std::size_t p = 0; p < bytes_.size(); ++p) {
        if (bytes_[p][c]) takers[p / 64] |= std::uint64_t{1} << (p % 64);
      }
      const auto [at, fresh] = classes.emplace(takers, static_cast<std::uint16_t>(pattern_.accepts_.size()));
      if (fresh) pattern_.accepts_.push_back(takers);
      pattern_.class_of_[c] = at->second;
    }
  }

  Pattern pattern_;
  std::vector<ByteSet> bytes_;
  std::size_t work_ = 0;
};

std::variant<Pattern, std::string> Pattern::compile(std::string_view text) {
  if (text.size() > kMaxLength)
    return "the expression is longer than " + std::to_string(kMaxLength) + " bytes";
  try {
    return PatternCompiler().build(Parser(text).all());
  } catch (const Refused& refused) {
    return refused.text;
  }
}

bool Pattern::Run::feed(char c) noexcept {
  const std::size_t words = pattern_.words_;
  const Set& takers = pattern_.accepts_[pattern_.class_of_[static_cast<unsigned char>(c)]];
  std::uint64_t any = 0;
  for (std::size_t w = 0; w < words; ++w) any |= reached_[w] = may_come_[w] & takers[w];
  may_come_ = {};
  for_each_position(reached_, words, [&](std::size_t p) {
    for (std::size_t w = 0; w < words; ++w) may_come_[w] |= pattern_.follow_[p][w];
  });
  fed_ = true;
  return any != 0;
}

bool Pattern::Run::matched() const noexcept {
  if (!fed_) return pattern_.nullable_;
  for (std::size_t w = 0; w < pattern_.words_; ++w) {
    if ((reached_[w] & pattern_.last_[w]) != 0) return true;
  }
  return false;
}

bool Pattern::matches(std::string_view text) const noexcept {
  Run run(*this);
  return std::all_of(text.begin(), text.end(), [&](char c) { return run.feed(c); }) && run.matched();
}

}  // namespace sallyport::config
