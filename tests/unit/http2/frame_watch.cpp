#include "../../../src/http2/frame_watch.hpp"

#include <vector>

#include "catch.hpp"
#include "harness.hpp"

using namespace sallyport::http2;
using namespace sallyport::http2::testing;

namespace {

std::string watched(std::string_view stream, std::size_t preface, std::size_t split) {
  FrameWatch watch(preface);
  std::string seen;
  const auto note = [&](const FrameFacts& f) {
    seen += std::to_string(f.type) + ':' + std::to_string(f.length) + (f.empty ? "e " : " ");
    return true;
  };
  CHECK(watch.scan(bytes(stream.substr(0, split)), note));
  CHECK(watch.scan(bytes(stream.substr(split)), note));
  return seen;
}

}  // namespace

TEST_CASE("frames are found at every split point, padding told from content") {
  const std::string stream = "preface" + frame(kSettings, kNone, 0) + frame(kData, kNone, 1, "abc") +
                             frame(kData, kPadded, 1, "\x02\0\0"s) + frame(kData, kPadded, 1, "\x01x\0"s) +
                             frame(kData, kPadded, 1) + frame(200, kNone, 0, std::string(300, 'u')) +
                             frame(kContinuation, kNone, 1) + frame(kPing, kNone, 0, "12345678");
  for (std::size_t i = 0; i <= stream.size(); ++i)
    REQUIRE(watched(stream, 7, i) == "4:0e 0:3 0:3e 0:3 0:0e 200:300 9:0e 6:8 ");
}

TEST_CASE("a watch stops where it is told to") {
  FrameWatch watch(0);
  int n = 0;
  const std::string stream = frame(kPing, kNone, 0, "12345678") + frame(kPing, kNone, 0, "12345678");
  CHECK_FALSE(watch.scan(bytes(stream), [&](const FrameFacts&) { return ++n < 1; }));
  CHECK(n == 1);
}
