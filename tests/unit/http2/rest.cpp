// A session that rests gives back pages, and goes on as if it had not.
#include <cstring>
#include <sys/mman.h>

#include "catch.hpp"
#include "harness.hpp"
#include "session_memory.hpp"

using namespace sallyport;
using namespace sallyport::http2;
using namespace sallyport::http2::testing;

namespace {

constexpr std::size_t kFrame = 16 * 1024 + 10;  // about what nghttp2 asks for

bool resident(void* page) {
  unsigned char there = 0;
  REQUIRE(mincore(page, 1, &there) == 0);
  return (there & 1) != 0;
}

struct Memory {
  SessionMemory memory;
  nghttp2_mem functions = memory.functions();

  char* allocate(std::size_t size) {
    return static_cast<char*>(functions.malloc(size, functions.mem_user_data));
  }
  char* allocate_zeros(std::size_t size) {
    return static_cast<char*>(functions.calloc(size / 16, 16, functions.mem_user_data));
  }
  void free(char* at) { functions.free(at, functions.mem_user_data); }
};

}  // namespace

TEST_CASE("the frame buffer's pages are given back, and no other block's") {
  Memory m;
  char* const small = m.allocate(100);
  char* const frame = m.allocate(kFrame);
  m.memory.opened();
  char* const later = m.allocate(2 * kFrame);
  for (char* block : {small, frame, later}) std::memset(block, 'x', 100);
  frame[kFrame - 1] = 'x';
  m.memory.rest();
  CHECK_FALSE(resident(frame));
  CHECK(small[99] == 'x');
  CHECK(later[99] == 'x');
  CHECK(frame[0] == 0);
  CHECK(frame[kFrame - 1] == 0);
  for (char* block : {small, frame, later}) m.free(block);
  m.memory.rest();  // there is nothing any more
}

TEST_CASE("a table is given back while it is empty, and only then") {
  Memory m;
  m.memory.opened();
  char* const table = m.allocate_zeros(4096);
  CHECK(resident(table));
  m.memory.rest();
  CHECK_FALSE(resident(table));
  table[4095] = 'x';
  m.memory.rest();
  CHECK(table[4095] == 'x');
  char* const larger = m.allocate_zeros(8192);
  m.free(table);
  larger[8191] = 'x';
  m.memory.rest();
  CHECK(larger[8191] == 'x');
  char* const grown = static_cast<char*>(m.functions.realloc(larger, 16384, m.functions.mem_user_data));
  CHECK(grown[8191] == 'x');
  m.memory.rest();
  m.free(grown);
}

TEST_CASE("who rests between all messages is understood, also with a body that waits for a window") {
  Pair pair;
  const auto run = [&pair] {
    pair.run();
    pair.server.codec.release();
    pair.client.codec.release();
  };
  pair.client.consume = false;
  const std::string body(100'000, 'b');
  for (const char* value : {"a value for HPACK's table", "another one", "a value for HPACK's table"}) {
    http::RequestHead head = post(5);
    head.fields.add("x-one", value);
    const StreamId id = pair.client.codec.open_request(head, false);
    run();
    pair.client.codec.send_data(id, bytes("hello"), true);
    run();
    CHECK(pair.server.streams[id].request.fields.find("x-one") == value);
    CHECK(pair.server.streams[id].body == "hello");

    pair.server.codec.send_response(id, response(200, body.size()), false);
    pair.server.codec.send_data(id, bytes(body), true);
    run();
    CHECK(pair.client.streams[id].body.size() < body.size());
    CHECK_FALSE(pair.client.streams[id].closed);
    pair.client.codec.consumed(id, pair.client.streams[id].body.size());
    run();
    pair.client.codec.consumed(id, body.size() - 65535);
    run();
    CHECK(pair.client.streams[id].body == body);
    REQUIRE(pair.client.streams[id].closed);
    CHECK_FALSE(*pair.client.streams[id].closed);
  }
}

TEST_CASE("a frame that has left in part is not lost by a rest") {
  Pair pair;
  const StreamId id = pair.client.codec.open_request(get(), true);
  pair.run();
  pair.server.codec.send_response(id, response(200, 40'000), false);
  pair.server.codec.send_data(id, bytes(std::string(40'000, 'b')), true);
  bool more = true;
  for (int turns = 0; more && turns < 1000; ++turns) {
    base::Buffer out;
    more = pair.server.codec.pump(out, 1);
    pair.server.codec.release();
    (void)pair.client.give(out.view());
  }
  CHECK(pair.client.streams[id].body == std::string(40'000, 'b'));
  CHECK(pair.client.streams[id].end);
}
