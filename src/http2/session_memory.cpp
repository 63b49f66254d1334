#include "session_memory.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "sallyport/base/memory.hpp"

namespace sallyport::http2 {

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kFrame = std::size_t{16} * 1024;  // RFC 9113 §6.5.2: no peer may be told less

constexpr std::size_t whole_pages(std::size_t size) noexcept {
  return (size + kPage - 1) / kPage * kPage;
}

// mimalloc's blocks of whole pages begin with one as a rule; asked for alignment it takes a larger block.
void* on_pages(std::size_t size) noexcept {
  void* const at = std::malloc(whole_pages(size));
  if (reinterpret_cast<std::uintptr_t>(at) % kPage == 0) return at;
  std::free(at);
  return std::aligned_alloc(kPage, whole_pages(size));
}

bool all_zero(const void* at, std::size_t size) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(at);
  return bytes[0] == 0 && std::memcmp(bytes, bytes + 1, size - 1) == 0;
}

}  // namespace

nghttp2_mem SessionMemory::functions() noexcept {
  return {this, &SessionMemory::allocate, &SessionMemory::free, &SessionMemory::allocate_zeros,
          &SessionMemory::resize};
}

void SessionMemory::rest() noexcept {
  if (frame_.at != nullptr) base::return_pages(frame_.at, whole_pages(frame_.size));
  // What is full of zeros is so again.
  if (table_.at != nullptr && all_zero(table_.at, table_.size))
    base::return_pages(table_.at, whole_pages(table_.size));
}

void* SessionMemory::allocate(std::size_t size, void* user) {
  SessionMemory& self = of(user);
  if (!self.opening_ || size < kFrame || self.frame_.at != nullptr) return std::malloc(size);
  self.frame_ = {on_pages(size), size};
  return self.frame_.at;
}

void* SessionMemory::allocate_zeros(std::size_t count, std::size_t size, void* user) {
  if (count * size < kPage) return std::calloc(count, size);
  void* const at = on_pages(count * size);
  if (at == nullptr) return nullptr;
  std::memset(at, 0, whole_pages(count * size));
  of(user).table_ = {at, count * size};
  return at;
}

void* SessionMemory::resize(void* at, std::size_t size, void* user) {
  if (at == nullptr) return allocate(size, user);
  of(user).forget(at);
  return std::realloc(at, size);
}

void SessionMemory::free(void* at, void* user) {
  if (at != nullptr) of(user).forget(at);
  std::free(at);
}

void SessionMemory::forget(const void* at) noexcept {
  if (at == frame_.at) frame_ = {};
  if (at == table_.at) table_ = {};
}

}  // namespace sallyport::http2
