#include "sallyport/base/buffer.hpp"

#include <algorithm>

namespace sallyport::base {

namespace {
constexpr std::size_t kFirstBlock = 512;
}

std::span<char> Buffer::prepare(std::size_t n) {
  if (capacity_ - end_ < n) {
    const std::size_t kept = size();
    // Moving to the front is enough when it frees at least as much as it moves.
    if (capacity_ - kept >= n + kHeadroom && begin_ >= kept + kHeadroom) {
      std::memcpy(block_.get() + kHeadroom, block_.get() + begin_, kept);
    } else {
      const std::size_t wanted = std::max({kHeadroom + kept + n, capacity_ * 2, kFirstBlock});
      auto bigger = std::make_unique_for_overwrite<char[]>(wanted);
      if (kept != 0) std::memcpy(bigger.get() + kHeadroom, block_.get() + begin_, kept);
      block_ = std::move(bigger);
      capacity_ = wanted;
    }
    begin_ = kHeadroom;
    end_ = kHeadroom + kept;
  }
  return {block_.get() + end_, capacity_ - end_};
}

}  // namespace sallyport::base
