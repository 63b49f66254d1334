// The allocator under new, malloc and the libraries: mimalloc, or the C library's own where the build
// says so (sanitizers do).
//
// Any thread. Each thread frees into a heap of its own, which keeps what was freed for the next use.
#pragma once

#include <string>

namespace sallyport::base {

// Gives back to the kernel what the calling thread's heap holds and nobody uses. Walks the heap: for
// moments when memory is short or much of it was freed, not for the way of a request.
void return_free_memory() noexcept;

// "mimalloc 2.0.9", "malloc of the C library": for `sallyport version`.
[[nodiscard]] std::string allocator();

}  // namespace sallyport::base
