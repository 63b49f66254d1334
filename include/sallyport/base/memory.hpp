// The allocator under new, malloc and the libraries: mimalloc, or the C library's own where the build
// says so (sanitizers do), which does none of what is asked of it here but return_free_memory().
//
// Any thread. Each thread frees into a heap of its own, which keeps what was freed for the next use. Only
// a page of the allocator's (64 KiB) that is free as a whole can go back to the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sallyport::base {

// Gives back to the kernel what the calling thread's heap holds and nobody uses. Walks the heap: for
// moments when memory is short or much of it was freed, not for the way of a request.
void return_free_memory() noexcept;

// Gives back the kernel's pages that lie wholly within. They keep their place, and are full of zeros when
// they are next touched.
void return_pages(void* at, std::size_t size) noexcept;

// While one lives, pages that become free go back to the kernel at once, in all threads. Otherwise they wait
// for a while, since most are wanted again, and for ever where their neighbours are left alone. For what
// takes and frees much memory once; not for the way of a request.
class ReturnAtOnce {
 public:
  ReturnAtOnce() noexcept;
  ~ReturnAtOnce();
  ReturnAtOnce(const ReturnAtOnce&) = delete;
  ReturnAtOnce& operator=(const ReturnAtOnce&) = delete;
};

// Pages of their own for what dies together, so that they are free as a whole then.
enum class Pages : std::uint8_t {
  common,   // of everything else
  passing,  // of what is much and soon gone
  even,     // of a configuration's generation, which stands beside the one before and the one after
  odd,
};

[[nodiscard]] constexpr Pages pages_of(std::uint64_t generation) noexcept {
  return generation % 2 == 0 ? Pages::even : Pages::odd;
}

// While one lives, what the calling thread allocates comes from those pages; innermost wins. Any thread may
// free it, at any time.
class Apart {
 public:
  explicit Apart(Pages pages) noexcept;
  ~Apart();
  Apart(const Apart&) = delete;
  Apart& operator=(const Apart&) = delete;

 private:
  void* before_ = nullptr;  // the heap of then
};

// "mimalloc 2.0.9", "malloc of the C library": for `sallyport version`.
[[nodiscard]] std::string allocator();

}  // namespace sallyport::base
