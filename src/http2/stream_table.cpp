#include "stream_table.hpp"

#include <utility>

namespace sallyport::http2 {

StreamTable::~StreamTable() {
  for (StreamState* chain : buckets_) free_chain(chain);
  free_chain(spares_);
}

void StreamTable::free_chain(StreamState* s) noexcept {
  while (s != nullptr) delete std::exchange(s, s->next_);
}

StreamState* StreamTable::find(StreamId id) const noexcept {
  StreamState* s = buckets_[slot(id)];
  while (s != nullptr && s->id != id) s = s->next_;
  return s;
}

StreamState& StreamTable::insert(StreamId id) {
  if (size_ == buckets_.size()) grow();
  StreamState* s = spares_;
  if (s != nullptr) {
    spares_ = s->next_;
    --spare_count_;
  } else {
    s = new StreamState;
  }
  s->id = id;
  s->next_ = buckets_[slot(id)];
  buckets_[slot(id)] = s;
  ++size_;
  return *s;
}

void StreamTable::remove(StreamState& s) noexcept {
  StreamState** link = &buckets_[slot(s.id)];
  while (*link != &s) link = &(*link)->next_;
  *link = s.next_;
  s.next_ = nullptr;
  --size_;
}

void StreamTable::recycle(StreamState& s) noexcept {
  if (spare_count_ == kSpares) {
    delete &s;
    return;
  }
  StreamState fresh;
  if (s.out.capacity() <= kKeptBuffer) {
    s.out.clear();
    fresh.out = std::move(s.out);
  }
  s = std::move(fresh);
  s.next_ = spares_;
  spares_ = &s;
  ++spare_count_;
}

void StreamTable::release() noexcept {
  free_chain(std::exchange(spares_, nullptr));
  spare_count_ = 0;
}

void StreamTable::grow() {
  std::vector<StreamState*> old(buckets_.size() * 2, nullptr);
  old.swap(buckets_);
  for (StreamState* s : old) {
    while (s != nullptr) {
      StreamState* next = s->next_;
      s->next_ = buckets_[slot(s->id)];
      buckets_[slot(s->id)] = s;
      s = next;
    }
  }
}

}  // namespace sallyport::http2
