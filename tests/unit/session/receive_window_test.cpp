// The window of an HTTP/2 stream: what it grows by, what it never exceeds, and what gives it back.
#include "receive_window.hpp"

#include "catch.hpp"

using sallyport::session::ReceiveWindow;

namespace {
constexpr std::uint32_t kKiB = 1024;
constexpr std::uint32_t kInitial = 64 * kKiB;
}  // namespace

TEST_CASE("a body that is taken as fast as it comes gets a larger window, up to a bound") {
  ReceiveWindow::Reserve reserve = 16 * 1024 * kKiB;
  ReceiveWindow window(kInitial);
  CHECK_FALSE(window.taken(kInitial - 1, 0, kInitial, reserve));
  CHECK(window.taken(1, 0, kInitial, reserve));
  CHECK(window.size() == 256 * kKiB);
  // Earned anew by each.
  CHECK_FALSE(window.taken(256 * kKiB - 1, 0, kInitial, reserve));
  CHECK(window.taken(1, 0, kInitial, reserve));
  CHECK(window.size() == 1024 * kKiB);
  CHECK_FALSE(window.taken(8 * 1024 * kKiB, 0, kInitial, reserve));
  CHECK(window.size() == 1024 * kKiB);
}

TEST_CASE("a receiver that falls behind keeps the window it began with") {
  ReceiveWindow::Reserve reserve = 1024 * kKiB;
  ReceiveWindow window(kInitial);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(window.taken(16 * kKiB, kInitial / 2, kInitial, reserve));
  CHECK(window.size() == kInitial);
  CHECK(reserve == 1024 * kKiB);
}

TEST_CASE("the streams of a connection grow out of one reserve, and give back what they had of it") {
  ReceiveWindow::Reserve reserve = 200 * kKiB;
  ReceiveWindow first(kInitial), second(kInitial);
  CHECK(first.taken(kInitial, 0, kInitial, reserve));
  CHECK(first.size() == 256 * kKiB);
  CHECK(second.taken(kInitial, 0, kInitial, reserve));
  CHECK(second.size() == kInitial + 8 * kKiB);
  CHECK(reserve == 0);
  CHECK_FALSE(second.taken(kInitial + 8 * kKiB, 0, kInitial, reserve));
  first.restart(reserve);
  CHECK(first.size() == kInitial);
  CHECK(reserve == 192 * kKiB);
}

TEST_CASE("while memory is short it shrinks, and afterwards begins again") {
  ReceiveWindow::Reserve reserve = 1024 * kKiB;
  ReceiveWindow window(kInitial);
  CHECK(window.taken(kInitial, 0, kInitial, reserve));
  CHECK(window.taken(1, 0, 16 * kKiB, reserve));
  CHECK(window.size() == 16 * kKiB);
  CHECK(reserve == 1024 * kKiB);
  CHECK_FALSE(window.taken(64 * kKiB, 0, 16 * kKiB, reserve));
  CHECK(window.taken(1, 0, kInitial, reserve));
  CHECK(window.size() == kInitial);
}
