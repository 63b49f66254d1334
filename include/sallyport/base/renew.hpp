// Makes a thing anew in its place, so that it holds no memory: a string that an empty one is moved to
// keeps its own. Pure.
#pragma once

#include <memory>

namespace sallyport::base {

template <class T>
void renew(T& thing) noexcept {
  std::destroy_at(&thing);
  std::construct_at(&thing);
}

}  // namespace sallyport::base
