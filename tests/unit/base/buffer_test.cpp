#include "sallyport/base/buffer.hpp"

#include <string>

#include "catch.hpp"

namespace sallyport::base {

TEST_CASE("a buffer gives back what was put in, in order, however it grows and moves") {
  Buffer buffer;
  std::string model;
  std::size_t produced = 0;
  std::uint32_t state = 1;
  const auto random = [&](std::uint32_t n) {
    state = state * 1664525U + 1013904223U;
    return (state >> 16U) % n;
  };
  for (int round = 0; round < 5000; ++round) {
    std::string piece(random(300), ' ');
    for (char& c : piece) c = static_cast<char>(produced++ % 251);
    buffer.append(std::string_view(piece));
    model += piece;
    const std::size_t taken =
        random(static_cast<std::uint32_t>(std::min<std::size_t>(model.size(), 320)) + 1);
    buffer.consume(taken);
    model.erase(0, taken);
    if (buffer.view() != model) FAIL("round " << round);
  }
  CHECK(buffer.size() == model.size());
  CHECK(buffer.capacity() < 1024 * 1024);
}

TEST_CASE("a literal is appended without its NUL") {
  Buffer buffer;
  buffer.append("abc");
  buffer.push('d');
  buffer.append(std::string_view{});
  CHECK(buffer.view() == "abcd");
}

TEST_CASE("prepared bytes count once they are committed") {
  Buffer buffer;
  const std::span<char> room = buffer.prepare(10);
  REQUIRE(room.size() >= 10);
  CHECK(buffer.empty());
  room[0] = 'x';
  buffer.commit(1);
  CHECK(buffer.view() == "x");
}

TEST_CASE("an emptied buffer keeps its block until it is released") {
  Buffer buffer;
  const std::string block(1000, 'x');
  buffer.append(std::string_view(block));
  const std::size_t capacity = buffer.capacity();
  buffer.consume(1000);
  CHECK(buffer.empty());
  CHECK(buffer.capacity() == capacity);
  const std::string full(capacity - Buffer::kHeadroom, 'y');
  buffer.append(std::string_view(full));
  CHECK(buffer.capacity() == capacity);
  buffer.release();
  CHECK(buffer.capacity() == 0);
  CHECK(buffer.view().empty());
  buffer.append("again");
  CHECK(buffer.view() == "again");
}

TEST_CASE("moving a buffer takes its bytes along") {
  Buffer a;
  a.append("abc");
  Buffer b(std::move(a));
  CHECK(b.view() == "abc");
  CHECK(a.empty());  // NOLINT(bugprone-use-after-move)
  a = std::move(b);
  CHECK(a.view() == "abc");
}

TEST_CASE("a head goes before bytes that stand there, as often as it is consumed") {
  Buffer buffer;
  buffer.append(std::string_view(std::string(3000, 'x')));
  for (int frame = 0; frame < 3; ++frame) {
    buffer.prepend("0123456789abcdef");
    CHECK(buffer.view().substr(0, 17) == "0123456789abcdefx");
    buffer.consume(16 + 1000);
  }
  CHECK(buffer.empty());
  // Emptied, cleared and moved to the front, it has the room again.
  buffer.append("y");
  buffer.prepend("head ");
  CHECK(buffer.view() == "head y");
  buffer.clear();
  buffer.append(std::string_view(std::string(2000, 'z')));
  buffer.consume(1900);
  buffer.append(std::string_view(std::string(buffer.capacity() - 200, 'z')));
  buffer.prepend("0123456789abcdef");
  CHECK(buffer.view().substr(0, 18) == "0123456789abcdefzz");
}

}  // namespace sallyport::base
