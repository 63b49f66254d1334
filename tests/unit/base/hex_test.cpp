// Ids of 64 bits are written as 16 digits that say exactly the number, whatever its bits.
#include "sallyport/base/hex.hpp"

#include <cinttypes>
#include <cstdio>
#include <string>

#include "catch.hpp"

using sallyport::base::hex16;

TEST_CASE("a number's digits are those of printf") {
  std::uint64_t value = 1;
  for (int i = 0; i < 4096; ++i) {
    char expected[17];
    std::snprintf(expected, sizeof expected, "%016" PRIx64, value);
    const auto digits = hex16(value);
    REQUIRE(std::string(digits.data(), digits.size()) == expected);
    value = value * 6364136223846793005ULL + 1442695040888963407ULL;
  }
}

TEST_CASE("each digit stands at each place") {
  for (unsigned digit = 0; digit < 16; ++digit) {
    for (unsigned place = 0; place < 16; ++place) {
      const auto digits = hex16(std::uint64_t{digit} << (4 * place));
      std::string expected(16, '0');
      expected[15 - place] = "0123456789abcdef"[digit];
      REQUIRE(std::string(digits.data(), digits.size()) == expected);
    }
  }
}
