// Code on the stack learns that the object it serves has died, however deep the call was.
#include "sallyport/base/lifetime.hpp"

#include <memory>

#include "catch.hpp"

using sallyport::base::Lifetime;

TEST_CASE("a watch tells of a death within its own time only, and watches nest") {
  auto object = std::make_unique<Lifetime>();
  {
    const Lifetime::Watch watch(*object);
    CHECK_FALSE(watch.gone());
  }
  const Lifetime::Watch outer(*object);
  {
    const Lifetime::Watch survivor(*object);
    CHECK_FALSE(survivor.gone());
  }
  const Lifetime::Watch inner(*object);
  object.reset();
  CHECK(inner.gone());
}

TEST_CASE("whoever watches further out learns of it when the inner watch ends") {
  auto object = std::make_unique<Lifetime>();
  const Lifetime::Watch outer(*object);
  {
    const Lifetime::Watch inner(*object);
    object.reset();
    CHECK(inner.gone());
  }
  CHECK(outer.gone());
}
