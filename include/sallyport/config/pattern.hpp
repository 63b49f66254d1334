// A regular expression of the configuration, matched against the whole of a text in time
// linear in it, whatever the text: no backtracking, so no client can stall a worker with a
// path that is costly to refuse (ReDoS). Immutable and free of allocation once compiled.
//
// Syntax: literals, ".", [a-z], [^/], \d \w \s \D \W \S, escaped punctuation, groups (…) and
// (?:…), "|", "*", "+", "?", {n}, {n,}, {n,m}, a leading (?i), and "^" and "$" at the ends.
// Bytes, not code points. No back references, look-arounds, captures or \b: they are what
// makes matching costly. Glushkov's position automaton, one bit a position.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sallyport::config {

class Pattern {
 public:
  static constexpr std::size_t kMaxLength = 1024;    // bytes of the expression
  static constexpr std::size_t kMaxPositions = 512;  // letters and classes, repetitions written out

  // The pattern, or what is wrong with the text.
  [[nodiscard]] static std::variant<Pattern, std::string> compile(std::string_view text);

  [[nodiscard]] bool matches(std::string_view text) const noexcept;

  using Set = std::array<std::uint64_t, kMaxPositions / 64>;

  // One match, fed byte by byte, for text that does not lie in one piece. Borrows the pattern.
  class Run {
   public:
    explicit Run(const Pattern& pattern) noexcept : pattern_(pattern), may_come_(pattern.first_) {}
    // False: no text that begins so can match.
    bool feed(char c) noexcept;
    [[nodiscard]] bool matched() const noexcept;

   private:
    const Pattern& pattern_;
    Set may_come_;   // positions that the next byte may take
    Set reached_{};  // positions that the last byte took
    bool fed_ = false;
  };

 private:
  friend class PatternCompiler;
  Pattern() = default;

  bool nullable_ = false;
  std::size_t words_ = 0;                      // of each Set that are in use
  Set first_{};                                // positions that may begin a match
  Set last_{};                                 // positions that may end one
  std::vector<Set> follow_;                    // by position: which may come next
  std::array<std::uint16_t, 256> class_of_{};  // bytes that no position tells apart share a class
  std::vector<Set> accepts_;                   // by class: which positions take it
};

}  // namespace sallyport::config
