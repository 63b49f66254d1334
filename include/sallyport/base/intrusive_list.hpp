// A doubly linked list whose links live in the elements: O(1) push, unlink and splice, no
// allocation. The list owns nothing; an element unlinks itself when it dies. One thread.
#pragma once

#include <cstddef>

namespace sallyport::base {

// Derive once per list an element can be on: struct X : ListHook<IdleTag>, ListHook<DirtyTag>.
template <class Tag>
class ListHook {
 public:
  ListHook() noexcept = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { unlink(); }

  [[nodiscard]] bool linked() const noexcept { return next_ != this; }
  void unlink() noexcept {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = this;
  }

 private:
  template <class, class>
  friend class IntrusiveList;
  ListHook* next_ = this;
  ListHook* previous_ = this;
};

template <class T, class Tag>
class IntrusiveList {
 public:
  using Hook = ListHook<Tag>;
  IntrusiveList() noexcept = default;
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    while (!empty()) pop_front();
  }

  [[nodiscard]] bool empty() const noexcept { return !head_.linked(); }
  [[nodiscard]] T* front() const noexcept { return empty() ? nullptr : element(head_.next_); }
  [[nodiscard]] T* back() const noexcept { return empty() ? nullptr : element(head_.previous_); }
  [[nodiscard]] T* next(T* e) const noexcept {
    Hook* n = static_cast<Hook*>(e)->next_;
    return n == &head_ ? nullptr : element(n);
  }
  // Moves an element that is already on a list.
  void push_back(T* e) noexcept { insert_before(&head_, static_cast<Hook*>(e)); }
  void push_front(T* e) noexcept { insert_before(head_.next_, static_cast<Hook*>(e)); }
  T* pop_front() noexcept {
    T* e = front();
    if (e != nullptr) static_cast<Hook*>(e)->unlink();
    return e;
  }
  // Takes all of the other list's elements, in order, to this one's end.
  void splice_back(IntrusiveList& other) noexcept {
    if (other.empty()) return;
    Hook* first = other.head_.next_;
    Hook* last = other.head_.previous_;
    other.head_.next_ = other.head_.previous_ = &other.head_;
    first->previous_ = head_.previous_;
    head_.previous_->next_ = first;
    last->next_ = &head_;
    head_.previous_ = last;
  }

 private:
  static T* element(Hook* h) noexcept { return static_cast<T*>(h); }
  static void insert_before(Hook* at, Hook* h) noexcept {
    h->unlink();
    h->previous_ = at->previous_;
    h->next_ = at;
    at->previous_->next_ = h;
    at->previous_ = h;
  }
  mutable Hook head_;
};

}  // namespace sallyport::base
