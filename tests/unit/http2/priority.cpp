// The Priority field (RFC 9218): what is read of it, and that downloads come in that order.
#include "../../../src/http2/priority.hpp"

#include <algorithm>

#include "catch.hpp"
#include "harness.hpp"

using namespace sallyport::http2;
using namespace sallyport::http2::testing;

namespace {

// What one line makes of the default; -1 when it cannot be read. Incremental adds ten.
int wish_of(std::string_view line) {
  const auto priority = read_priority(line, Priority{});
  return priority ? static_cast<int>(priority->urgency) + (priority->incremental ? 10 : 0) : -1;
}

// The order in which two downloads with these Priority fields end.
std::vector<StreamId> in_order_of_end(const FieldLines& of_1, const FieldLines& of_3) {
  Endpoint server(Side::client);
  server.on_head_hook = [&](StreamId id) {
    server.codec.send_response(id, response(200), false);
    server.codec.send_data(id, bytes(std::string(30 * 1024, 'd')), true);
  };
  REQUIRE(server.give(client_start() + headers(1, request_lines(of_1)) + headers(3, request_lines(of_3)))
              .has_value());
  std::vector<StreamId> order;
  for (const Frame& f : frames(server.pull())) {
    if (f.type == kData && (f.flags & kEndStream) != 0) order.push_back(f.id);
  }
  return order;
}
// How many DATA frames of stream 1 come before the first of stream 3.
std::size_t head_start(const FieldLines& lines) {
  Endpoint server(Side::client);
  server.on_head_hook = [&](StreamId id) {
    server.codec.send_response(id, response(200), false);
    server.codec.send_data(id, bytes(std::string(30 * 1024, 'd')), true);
  };
  REQUIRE(server.give(client_start() + headers(1, request_lines(lines)) + headers(3, request_lines(lines)))
              .has_value());
  std::size_t n = 0;
  for (const Frame& f : frames(server.pull())) {
    if (f.type == kData && f.id == 3) break;
    n += f.type == kData ? 1U : 0U;
  }
  return n;
}

}  // namespace

TEST_CASE("urgency and incremental are read, the rest is stepped over") {
  CHECK(wish_of("") == 3);
  CHECK(wish_of("u=0") == 0);
  CHECK(wish_of("u=7, i") == 17);
  CHECK(wish_of("i") == 13);
  CHECK(wish_of("i=?1,u=5") == 15);
  CHECK(wish_of("i=?0") == 3);
  CHECK(wish_of("u=1 ,\t i;a=b") == 11);
  CHECK(wish_of("u=2;x, foo, bar=\"a,u=6\", u=4") == 4);
  CHECK(read_priority("i", Priority{1, false}) == Priority{1, true});
}

TEST_CASE("a priority that makes no sense is none") {
  for (const std::string_view line :
       {"u=8", "u=-1", "u", "u=", "u=10", "u=a", "i=1", "i=", "u=1,", ",u=1", "u=1,,i"})
    CHECK(wish_of(line) == -1);
}

TEST_CASE("downloads come by urgency") {
  CHECK(in_order_of_end({{"priority", "u=6"}}, {{"priority", "u=1"}}) == std::vector<StreamId>{3, 1});
  CHECK(in_order_of_end({{"priority", "u=1"}}, {{"priority", "u=6"}}) == std::vector<StreamId>{1, 3});
  CHECK(in_order_of_end({}, {{"priority", "u=2, i"}}) == std::vector<StreamId>{3, 1});
  CHECK(in_order_of_end({{"priority", "u=6"}}, {{"priority", "u=6"}, {"priority", "u=1"}}) ==
        std::vector<StreamId>{3, 1});
}

TEST_CASE("one line that makes no sense spoils the others") {
  CHECK(in_order_of_end({{"priority", "u=4"}}, {{"priority", "u="}, {"priority", "u=0"}}) ==
        std::vector<StreamId>{3, 1});
  CHECK(in_order_of_end({{"priority", "u=2"}}, {{"priority", "u="}, {"priority", "u=0"}}) ==
        std::vector<StreamId>{1, 3});
}

TEST_CASE("downloads of one urgency take turns if they are incremental, or if nothing was said") {
  CHECK(head_start({}) == 1);
  CHECK(head_start({{"priority", "i"}}) == 1);
  CHECK(head_start({{"priority", "u=3"}}) == 2);
  CHECK(head_start({{"priority", "nonsense="}}) == 2);
}
