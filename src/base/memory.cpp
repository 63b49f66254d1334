#include "sallyport/base/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#ifdef SALLYPORT_MIMALLOC
#include <array>
#include <atomic>
#include <mimalloc.h>
#else
#include <malloc.h>
#endif

namespace sallyport::base {

void return_pages(void* at, std::size_t size) noexcept {
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<std::uintptr_t>(at);
  const std::uintptr_t begin = (from + page - 1) / page * page;
  const std::uintptr_t end = (from + size) / page * page;
  if (begin < end) madvise(static_cast<char*>(at) + (begin - from), end - begin, MADV_DONTNEED);
}

#ifdef SALLYPORT_MIMALLOC

namespace {

// From 3.2 on a heap is of all threads, and these calls are others.
#if MI_MALLOC_VERSION < 320

// By Pages; of this thread, made when first wanted, gone with it.
thread_local std::array<mi_heap_t*, 4> heaps{};

mi_heap_t* heap_of(Pages pages) noexcept {
  if (pages == Pages::common) return mi_heap_get_backing();
  mi_heap_t*& heap = heaps[static_cast<std::size_t>(pages)];
  if (heap == nullptr) heap = mi_heap_new();
  return heap;
}

void* use_heap(Pages pages) noexcept {
  mi_heap_t* heap = heap_of(pages);
  return heap == nullptr ? nullptr : mi_heap_set_default(heap);
}

void restore_heap(void* before) noexcept {
  if (before != nullptr) mi_heap_set_default(static_cast<mi_heap_t*>(before));
}

void collect_heaps() noexcept {
  for (mi_heap_t* heap : heaps) {
    if (heap != nullptr) mi_heap_collect(heap, true);
  }
  mi_heap_collect(mi_heap_get_backing(), true);
}

#else

void* use_heap(Pages /*pages*/) noexcept {
  return nullptr;
}

void restore_heap(void* /*before*/) noexcept {}

void collect_heaps() noexcept {
  mi_collect(true);
}

#endif

// 2.0 gives back a segment's free pages when the segment is next used after their time. What is left alone
// stays, mi_collect() or not; later versions look at all of them there.
#if MI_MALLOC_VERSION < 210

std::atomic<int> scopes{0};

long usual_delay() noexcept {
  static const long delay = mi_option_get(mi_option_decommit_delay);
  return delay;
}

// Of two that begin and end at the same moment one may go without; the last to end restores the delay.
void begin_return() noexcept {
  usual_delay();
  if (scopes.fetch_add(1) == 0) mi_option_set(mi_option_decommit_delay, 0);
}

void end_return() noexcept {
  if (scopes.fetch_sub(1) == 1) mi_option_set(mi_option_decommit_delay, usual_delay());
}

#else

void begin_return() noexcept {}
void end_return() noexcept {}

#endif

}  // namespace

void return_free_memory() noexcept {
  const ReturnAtOnce at_once;
  collect_heaps();
}

ReturnAtOnce::ReturnAtOnce() noexcept {
  begin_return();
}

ReturnAtOnce::~ReturnAtOnce() {
  end_return();
}

Apart::Apart(Pages pages) noexcept : before_(use_heap(pages)) {}

Apart::~Apart() {
  restore_heap(before_);
}

std::string allocator() {
  // 209 is 2.0.9, 30105 is 3.1.5.
  const int version = mi_version();
  const int minor = version >= 10000 ? 100 : 10;
  return "mimalloc " + std::to_string(version / (minor * minor)) + "." +
         std::to_string(version / minor % minor) + "." + std::to_string(version % minor);
}

#else

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

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

ReturnAtOnce::ReturnAtOnce() noexcept = default;
ReturnAtOnce::~ReturnAtOnce() = default;
Apart::Apart(Pages /*pages*/) noexcept {}
Apart::~Apart() = default;

#endif

}  // namespace sallyport::base
