#include "sallyport/base/memory.hpp"

#ifdef SALLYPORT_MIMALLOC
#include <mimalloc.h>
#else
#include <malloc.h>
#endif

namespace sallyport::base {

#ifdef SALLYPORT_MIMALLOC

void return_free_memory() noexcept {
  mi_collect(true);
}

std::string allocator() {
  // 209 is 2.0.9, 30105 is 3.1.5.
  const int version = mi_version();
  const int minor = version >= 10000 ? 100 : 10;
  return "mimalloc " + std::to_string(version / (minor * minor)) + "." +
         std::to_string(version / minor % minor) + "." + std::to_string(version % minor);
}

#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

// The C library's heap is there and was never set up, which malloc_trim() does not survive.
void return_free_memory() noexcept {}

std::string allocator() {
  return "malloc of a sanitizer";
}

#else

void return_free_memory() noexcept {
  malloc_trim(0);
}

std::string allocator() {
  return "malloc of the C library";
}

#endif

}  // namespace sallyport::base
