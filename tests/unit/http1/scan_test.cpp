#include "../../../src/http1/scan.hpp"

#include <string>

#include "catch.hpp"

namespace sallyport::http1::scan {

// The vector loops against their definition: every byte value at every place of texts that end
// before, at and behind a vector's width.
TEST_CASE("each scan stops at the first byte that ends its run") {
  for (std::size_t size = 0; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int value = 0; value < 256; ++value) {
        std::string text(size, 'a');
        text[at] = static_cast<char>(value);
        for (const std::size_t from : {std::size_t{0}, at}) {
          const bool same = value_end(text, from) == plain(text, from, ends_value) &&
                            target_end(text, from) == plain(text, from, ends_target) &&
                            name_end(text, from) == plain(text, from, ends_name);
          if (!same) FAIL("size " << size << " at " << at << " byte " << value);
        }
      }
    }
  }
  SUCCEED();
}

TEST_CASE("lower changes the letters of a name and nothing behind it") {
  std::string all;
  for (int value = 0; value < 256; ++value) all.push_back(static_cast<char>(value));
  for (std::size_t n = 0; n <= all.size(); ++n) {
    std::string text = all;
    lower(text.data(), n, text.data() + text.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const char expected = i < n ? http::to_lower(all[i]) : all[i];
      if (text[i] != expected) FAIL("n " << n << " at " << i);
    }
  }
  SUCCEED();
}

}  // namespace sallyport::http1::scan
