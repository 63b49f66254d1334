// A byte queue over one contiguous block: append at the end, consume from the front.
//
// Owned by one connection or stream, used by one thread. The block grows by doubling and is
// given back by release(); whoever appends holds to the bound that the owner states. Views
// that data() returns are good until the next non-const call. A few bytes stay free in front of
// the queue, for a frame's head to be put before bytes that stand here already.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace sallyport::base {

class Buffer {
 public:
  Buffer() noexcept = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::span<const char> data() const noexcept { return {block_.get() + begin_, size()}; }
  [[nodiscard]] std::string_view view() const noexcept { return {block_.get() + begin_, size()}; }

  void append(std::span<const char> bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()).data(), bytes.data(), bytes.size());
    commit(bytes.size());
  }
  void append(std::string_view text) { append(std::span<const char>(text.data(), text.size())); }
  void append(const char* text) { append(std::string_view(text)); }  // a literal, without its NUL
  void push(char byte) { append(std::span<const char>(&byte, 1)); }

  // At least n writable bytes behind the end; commit() makes them part of the queue.
  [[nodiscard]] std::span<char> prepare(std::size_t n);
  void commit(std::size_t n) noexcept { end_ += n; }

  void consume(std::size_t n) noexcept {
    begin_ += n;
    if (begin_ == end_) clear();
  }
  // Puts at most kHeadroom bytes before the first of a queue that is not empty; consume() them
  // before the next is put there.
  static constexpr std::size_t kHeadroom = 16;
  void prepend(std::string_view bytes) noexcept {
    begin_ -= bytes.size();
    std::memcpy(block_.get() + begin_, bytes.data(), bytes.size());
  }
  void clear() noexcept { begin_ = end_ = block_ ? kHeadroom : 0; }
  // Empties the queue and gives the block back.
  void release() noexcept {
    block_.reset();
    begin_ = end_ = capacity_ = 0;
  }
  void swap(Buffer& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  std::unique_ptr<char[]> block_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace sallyport::base
