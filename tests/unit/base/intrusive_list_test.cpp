#include "sallyport/base/intrusive_list.hpp"

#include <string>

#include "catch.hpp"

namespace sallyport::base {
namespace {

struct One;
struct Two;
struct Item : ListHook<One>, ListHook<Two> {
  explicit Item(char n) : name(n) {}
  char name;
};
using Ones = IntrusiveList<Item, One>;
using Twos = IntrusiveList<Item, Two>;

template <class List>
std::string names(const List& list) {
  std::string out;
  for (Item* i = list.front(); i != nullptr; i = list.next(i)) out.push_back(i->name);
  return out;
}

}  // namespace

TEST_CASE("elements stand in the order in which they were put") {
  Item a('a'), b('b'), c('c');
  Ones list;
  CHECK(list.empty());
  CHECK(list.front() == nullptr);
  CHECK(list.pop_front() == nullptr);
  list.push_back(&b);
  list.push_back(&c);
  list.push_front(&a);
  CHECK(names(list) == "abc");
  CHECK(list.back() == &c);
  list.push_back(&a);
  CHECK(names(list) == "bca");
  CHECK(list.pop_front() == &b);
  CHECK_FALSE(b.ListHook<One>::linked());
  CHECK(names(list) == "ca");
}

TEST_CASE("an element can be on two lists and leaves each by itself") {
  Item a('a'), b('b');
  Ones ones;
  Twos twos;
  for (Item* i : {&a, &b}) {
    ones.push_back(i);
    twos.push_back(i);
  }
  a.ListHook<One>::unlink();
  CHECK(names(ones) == "b");
  CHECK(names(twos) == "ab");
}

TEST_CASE("an element that dies leaves its list; a list that dies lets its elements go") {
  Item a('a');
  {
    Ones list;
    list.push_back(&a);
    {
      Item b('b');
      list.push_back(&b);
      CHECK(names(list) == "ab");
    }
    CHECK(names(list) == "a");
  }
  CHECK_FALSE(a.ListHook<One>::linked());
}

TEST_CASE("splicing moves all elements to the other list's end") {
  Item a('a'), b('b'), c('c');
  Ones from, to;
  to.splice_back(from);
  CHECK(to.empty());
  to.push_back(&a);
  from.push_back(&b);
  from.push_back(&c);
  to.splice_back(from);
  CHECK(names(to) == "abc");
  CHECK(from.empty());
  from.splice_back(to);
  CHECK(names(from) == "abc");
}

}  // namespace sallyport::base
