// What building TLS tables found wrong or worth saying, all of it and not the first: for `check`,
// the log and the refusal of a reload. Control plane only; plain values.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport::tls {

struct Note {
  enum class Severity : unsigned char { warning, error };
  Severity severity = Severity::error;
  std::string where;  // the item below the spec that was given, e.g. "ciphers[2]"; empty: all of it
  std::string text;   // what is wrong and what to do, one line
};

class Notes {
 public:
  void error(std::string where, std::string text) {
    items_.push_back({Note::Severity::error, std::move(where), std::move(text)});
    ++errors_;
  }
  void warning(std::string where, std::string text) {
    items_.push_back({Note::Severity::warning, std::move(where), std::move(text)});
  }
  [[nodiscard]] const std::vector<Note>& items() const noexcept { return items_; }
  [[nodiscard]] bool ok() const noexcept { return errors_ == 0; }
  [[nodiscard]] std::size_t errors() const noexcept { return errors_; }

 private:
  std::vector<Note> items_;
  std::size_t errors_ = 0;
};

}  // namespace sallyport::tls
