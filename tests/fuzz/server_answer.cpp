// What a server answers to a probe: whatever the bytes and however they are cut, the reader stays within
// them, keeps no more than it says, and does not depend on the cuts. The same bytes go through the reader
// of an h2 server's greeting.
//
// The first byte is the length of the first piece; the rest goes through whole as well.
#include "sallyport/tls/server_answer.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "sallyport/http2/greeting.hpp"

using sallyport::http2::GreetingReader;
using sallyport::tls::AnswerReader;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

bool same(const AnswerReader& a, const AnswerReader& b) {
  const auto &x = a.answer(), &y = b.answer();
  return a.state() == b.state() && x.hello == y.hello && x.retry == y.retry && x.version == y.version &&
         x.suite == y.suite && x.group == y.group && x.signature == y.signature && x.alpn == y.alpn &&
         x.leaf == y.leaf && x.alert == y.alert && x.first_line == y.first_line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const char> bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::size_t split = data[0] < bytes.size() ? data[0] : bytes.size();
  AnswerReader whole;
  whole.feed(bytes);
  AnswerReader cut;
  cut.feed(bytes.first(split));
  cut.feed(bytes.subspan(split));
  require(same(whole, cut));
  require(whole.answer().first_line.size() <= AnswerReader::kFirstLine);
  require(whole.answer().leaf.size() <= AnswerReader::kMaxMessage);
  require(!whole.answer().alert || whole.state() == AnswerReader::State::alert);
  GreetingReader greeting;
  greeting.feed(bytes);
  GreetingReader pieces;
  pieces.feed(bytes.first(split));
  pieces.feed(bytes.subspan(split));
  require(greeting.state() == pieces.state());
  return 0;
}
