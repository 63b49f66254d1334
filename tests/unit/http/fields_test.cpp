#include "sallyport/http/fields.hpp"

#include <string>

#include "catch.hpp"

namespace sallyport::http {
namespace {

std::string text_of(const Fields& fields) {
  std::string out;
  fields.for_each(
      [&](const Fields::Field& f) { out.append(f.name).append("=").append(f.value).append(";"); });
  return out;
}

}  // namespace

TEST_CASE("every known name has its id, and no other name has") {
  for (std::size_t i = 1; i < kFieldIds; ++i) {
    const auto id = static_cast<FieldId>(i);
    const std::string name(field_name(id));
    CHECK(field_id(name) == id);
    CHECK(field_id(name + "x") == FieldId::other);
    CHECK(field_id(name.substr(1)) != id);
    for (std::size_t at = 0; at < name.size(); ++at) {
      std::string near = name;
      near[at] = near[at] == 'q' ? 'z' : 'q';
      CHECK(field_id(near) == FieldId::other);
    }
  }
  CHECK(field_id("") == FieldId::other);
  CHECK(field_id(std::string(1000, 'a')) == FieldId::other);
  CHECK(field_name(FieldId::other).empty());
}

TEST_CASE("fields keep order and repetitions") {
  Fields fields;
  fields.add("a", "1");
  fields.add(FieldId::cookie, "2");
  fields.add("a", "3");
  fields.add("cookie", "4");
  CHECK(text_of(fields) == "a=1;cookie=2;a=3;cookie=4;");
  CHECK(fields.size() == 4);
  CHECK(fields.bytes() == 2 * (1 + 1 + 32) + 2 * (6 + 1 + 32));
  CHECK(fields.count(FieldId::cookie) == 2);
  CHECK(*fields.find(FieldId::cookie) == "2");
  CHECK(*fields.find("a") == "1");
  CHECK_FALSE(fields.find("b"));
  CHECK_FALSE(fields.find(FieldId::host));
  CHECK_FALSE(fields.all_of([](const Fields::Field& f) { return f.value != "3"; }));
}

TEST_CASE("removed fields are gone in every view") {
  Fields fields;
  fields.add("host", "1");
  fields.add("x", "2");
  fields.add("host", "3");
  fields.add("y", "4");
  CHECK(fields.remove(FieldId::host) == 2);
  CHECK(fields.remove(FieldId::host) == 0);
  CHECK_FALSE(fields.has(FieldId::host));
  CHECK(fields.count(FieldId::host) == 0);
  CHECK(text_of(fields) == "x=2;y=4;");
  CHECK(fields.remove("x") == 1);
  CHECK(fields.has(FieldId::other));
  CHECK(fields.remove("y") == 1);
  CHECK_FALSE(fields.has(FieldId::other));
  CHECK(fields.empty());
  fields.add("host", "5");
  CHECK(fields.count(FieldId::host) == 1);
  CHECK(*fields.find("host") == "5");
}

TEST_CASE("set replaces all of a name by one") {
  Fields fields;
  fields.add("via", "1");
  fields.add("x", "2");
  fields.add("via", "3");
  fields.set(FieldId::via, "4");
  fields.set("x", "5");
  fields.set("new", "6");
  CHECK(text_of(fields) == "via=4;x=5;new=6;");
}

TEST_CASE("text of the table itself can be added to it while its memory moves") {
  Fields fields;
  fields.add("first", "value");
  for (int i = 0; i < 100; ++i) {
    std::string_view name, value;
    fields.for_each([&](const Fields::Field& f) {
      name = f.name;
      value = f.value;
    });
    fields.add(name, value);
  }
  CHECK(fields.size() == 101);
  CHECK(fields.all_of([](const Fields::Field& f) { return f.name == "first" && f.value == "value"; }));
}

TEST_CASE("a table that was moved from is empty and can be used again") {
  Fields fields;
  fields.add("host", "1");
  Fields other(std::move(fields));
  CHECK(fields.empty());  // NOLINT(bugprone-use-after-move)
  CHECK_FALSE(fields.has(FieldId::host));
  fields.add("x", "2");
  CHECK(text_of(fields) == "x=2;");
  fields = std::move(other);
  CHECK(text_of(fields) == "host=1;");
  CHECK(other.empty());  // NOLINT(bugprone-use-after-move)
  const Fields copy = fields;
  fields.clear();
  CHECK(text_of(copy) == "host=1;");
  CHECK(fields.empty());
}

TEST_CASE("an adopted block is copied once and read by slices") {
  Fields fields;
  const std::string block = "name: value";
  std::uint32_t offset = 99;
  char* const copy = fields.adopt(block, offset);
  CHECK(offset == 0);
  copy[0] = 'N';
  fields.add_slices({offset, 4}, {offset + 6, 5}, FieldId::other);
  CHECK(text_of(fields) == "Name=value;");
  const Fields::Slice kept = fields.store("kept");
  fields.add("more", std::string(500, 'x'));
  CHECK(fields.view(kept) == "kept");
  CHECK(fields.view({}).empty());
}

}  // namespace sallyport::http
