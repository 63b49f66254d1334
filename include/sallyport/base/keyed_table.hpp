// A table from digests to small values, of fixed size, for many threads: what the whole process
// remembers of clients.
//
// Owned by whoever all workers outlive. Sharded by the key, a mutex a shard, held for the few
// instructions of a look-up. Memory is bounded by the capacity given at construction (36
// bytes an entry beside its value); pages of it that were never needed are never touched. A full shard
// forgets the entry that was looked up the longest ago, but never one whose value says pinned(): when only
// pinned ones are left there is no room, and the caller decides.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "sallyport/base/siphash.hpp"

namespace sallyport::base {

template <class Value>
class KeyedTable {
 public:
  using Slot = std::uint32_t;
  static constexpr Slot kNone = 0xffff'ffff;

  // `shards` is a power of two, and so is capacity / shards, up to 2^20.
  explicit KeyedTable(std::size_t capacity, std::size_t shards = 64)
      : shards_(std::make_unique<Shard[]>(shards)),
        shard_mask_(shards - 1),
        shard_capacity_(std::bit_ceil(capacity / shards)) {
    for (std::size_t i = 0; i < shards; ++i) {
      shards_[i].entries.reserve(shard_capacity_);
      shards_[i].heads.assign(shard_capacity_, kNone);
    }
  }

  // f(Value&) on the key's entry, which is made if there is room: kNone and no call if there is not.
  // The slot stays the key's for as long as the value is pinned.
  template <class F>
  Slot with(const Digest& key, F&& f) {
    const std::size_t number = key.high & shard_mask_;
    Shard& shard = shards_[number];
    const std::lock_guard lock(shard.mutex);
    Slot at = find(shard, key);
    if (at == kNone) at = make(shard, key);
    if (at == kNone) return kNone;
    use(shard, at, f);
    return static_cast<Slot>(number << kIndexBits) | at;
  }

  // The same on a slot that is known to be pinned.
  template <class F>
  void at(Slot slot, F&& f) {
    Shard& shard = shards_[slot >> kIndexBits];
    const std::lock_guard lock(shard.mutex);
    use(shard, slot & kIndexMask, f);
  }

  // Entries that are remembered, pinned or not.
  [[nodiscard]] std::size_t size() const {
    std::size_t n = 0;
    for (std::size_t i = 0; i <= shard_mask_; ++i) {
      const std::lock_guard lock(shards_[i].mutex);
      n += shards_[i].entries.size();
    }
    return n;
  }

 private:
  static constexpr unsigned kIndexBits = 20;
  static constexpr Slot kIndexMask = (Slot{1} << kIndexBits) - 1;

  struct Entry {
    Digest key;
    Slot chain = kNone;                 // the next one under the same head
    Slot older = kNone, newer = kNone;  // among those that may be forgotten
    bool listed = false;
    Value value{};
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::vector<Entry> entries;
    std::vector<Slot> heads;  // of chains, by the digest's low bits
    Slot oldest = kNone, newest = kNone;
  };

  [[nodiscard]] Slot& head(Shard& shard, const Digest& key) const noexcept {
    return shard.heads[key.low & (shard_capacity_ - 1)];
  }
  [[nodiscard]] Slot find(Shard& shard, const Digest& key) const noexcept {
    Slot at = head(shard, key);
    while (at != kNone && shard.entries[at].key != key) at = shard.entries[at].chain;
    return at;
  }

  [[nodiscard]] Slot make(Shard& shard, const Digest& key) {
    Slot at = shard.oldest;
    if (shard.entries.size() < shard_capacity_) {
      at = static_cast<Slot>(shard.entries.size());
      shard.entries.emplace_back();
    } else if (at == kNone) {
      return kNone;
    } else {
      forget(shard, at);
    }
    Entry& entry = shard.entries[at];
    entry.key = key;
    entry.chain = std::exchange(head(shard, key), at);
    return at;
  }

  void forget(Shard& shard, Slot at) noexcept {
    unlist(shard, at);
    Slot* link = &head(shard, shard.entries[at].key);
    while (*link != at) link = &shard.entries[*link].chain;
    *link = shard.entries[at].chain;
    shard.entries[at] = Entry{};
  }

  template <class F>
  void use(Shard& shard, Slot at, F& f) {
    Entry& entry = shard.entries[at];
    f(entry.value);
    if (entry.listed) unlist(shard, at);
    if (!entry.value.pinned()) list(shard, at);
  }

  void list(Shard& shard, Slot at) noexcept {
    Entry& entry = shard.entries[at];
    entry.listed = true;
    entry.newer = kNone;
    entry.older = std::exchange(shard.newest, at);
    if (entry.older == kNone) {
      shard.oldest = at;
    } else {
      shard.entries[entry.older].newer = at;
    }
  }
  void unlist(Shard& shard, Slot at) noexcept {
    Entry& entry = shard.entries[at];
    entry.listed = false;
    (entry.older == kNone ? shard.oldest : shard.entries[entry.older].newer) = entry.newer;
    (entry.newer == kNone ? shard.newest : shard.entries[entry.newer].older) = entry.older;
  }

  std::unique_ptr<Shard[]> shards_;
  std::size_t shard_mask_;
  std::size_t shard_capacity_;
};

}  // namespace sallyport::base
