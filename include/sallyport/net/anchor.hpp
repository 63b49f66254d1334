// How an Asio handler points to the object it belongs to without keeping it alive: the object
// holds an Anchor, each operation in flight an Anchor::Ref, and a Ref whose object is gone
// yields nullptr. So an object may die with operations outstanding; their handlers find nobody.
//
// One small heap block per object, none per operation. Not thread-safe: object and handlers
// live on one loop.
#pragma once

#include <cstdint>
#include <utility>

namespace sallyport::net {

template <class T>
class Anchor {
  struct Block {
    T* owner;
    std::uint32_t holders;
  };
  static void drop(Block* block) noexcept {
    if (block != nullptr && --block->holders == 0) delete block;
  }

 public:
  class Ref {
   public:
    Ref(const Ref& other) noexcept : block_(other.block_) {
      if (block_ != nullptr) ++block_->holders;
    }
    Ref(Ref&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    Ref& operator=(Ref other) noexcept {
      std::swap(block_, other.block_);
      return *this;
    }
    ~Ref() { drop(block_); }
    [[nodiscard]] T* get() const noexcept { return block_ == nullptr ? nullptr : block_->owner; }

   private:
    friend class Anchor;
    explicit Ref(Block* block) noexcept : block_(block) {
      // The anchor holds it, which an analyser cannot know.
      if (block_->holders++ == 0) __builtin_unreachable();
    }
    Block* block_;
  };

  explicit Anchor(T& owner) : block_(new Block{&owner, 1}) {}
  Anchor(const Anchor&) = delete;
  Anchor& operator=(const Anchor&) = delete;
  ~Anchor() {
    block_->owner = nullptr;
    drop(block_);
  }
  [[nodiscard]] Ref ref() const noexcept { return Ref(block_); }

 private:
  Block* block_;
};

}  // namespace sallyport::net
