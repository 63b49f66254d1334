// Text for people, bounded: what a client sent may be long. Private to tls.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sallyport::tls {

// At most `most` bytes of it, "..." behind what was cut.
[[nodiscard]] inline std::string cut(std::string_view text, std::size_t most) {
  return text.size() <= most ? std::string(text) : std::string(text.substr(0, most)) + "...";
}

// "a, b, c"; "none"; "a, b and 12 more".
class WordList {
 public:
  static constexpr std::size_t kMost = 40;  // a browser offers 16 suites, an old OpenSSL some 30

  void add(std::string_view word) {
    if (++count_ > kMost) return;
    if (count_ > 1) text_ += ", ";
    text_ += word;
  }
  [[nodiscard]] std::string str() const {
    if (count_ == 0) return "none";
    return count_ <= kMost ? text_ : text_ + " and " + std::to_string(count_ - kMost) + " more";
  }

 private:
  std::string text_;
  std::size_t count_ = 0;
};

}  // namespace sallyport::tls
