// What is stapled to handshakes: a responder's word that one of our certificates is not revoked
// (RFC 6066 §8), and the slot that handshakes take it from.
//
// One slot a leaf, shared by every Certificate that shows it, in old and new snapshots, so that an
// answer survives reloads and a fresh one needs none. The control thread puts answers in; workers
// read without a lock and without counting: a pointer that they took is good until their handler
// returns. So what show() gives back is kept until every worker's loop has turned once.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "sallyport/base/clock.hpp"
#include "sallyport/tls/policy.hpp"

namespace sallyport::tls {

struct Staple {
  std::string der;  // an OCSPResponse, as the responder signed it
  base::WallTime this_update{}, next_update{};
};

class StapleSlot {
 public:
  // Any thread, until its handler returns; nullptr: nothing to show.
  [[nodiscard]] const Staple* shown() const noexcept { return shown_.load(std::memory_order_acquire); }

  // The rest is the control thread's.
  [[nodiscard]] const std::shared_ptr<const Staple>& current() const noexcept { return current_; }
  // Gives back what was shown before.
  [[nodiscard]] std::shared_ptr<const Staple> show(std::shared_ptr<const Staple> next) noexcept {
    std::swap(current_, next);
    shown_.store(current_.get(), std::memory_order_release);
    return next;
  }

 private:
  std::shared_ptr<const Staple> current_;
  std::atomic<const Staple*> shown_{nullptr};
};

// The slots by leaf, as long as some certificate holds them. Control thread.
class StapleShelf {
 public:
  [[nodiscard]] std::shared_ptr<StapleSlot> slot_of(const Digest& leaf);

 private:
  struct Hash {
    std::size_t operator()(const Digest& digest) const noexcept;
  };
  std::unordered_map<Digest, std::weak_ptr<StapleSlot>, Hash> slots_;
  std::size_t sweep_at_ = 64;  // entries at which those that nobody holds any more are removed
};

}  // namespace sallyport::tls
