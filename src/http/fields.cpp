#include "sallyport/http/fields.hpp"

#include <array>
#include <cstring>
#include <functional>

namespace sallyport::http {

namespace {

// In the order of FieldId.
constexpr std::array<std::string_view, kFieldIds> kNames = {
    "",
    "accept-encoding",
    "age",
    "alt-svc",
    "authorization",
    "cache-control",
    "cdn-loop",
    "cf-connecting-ip",
    "cf-ipcountry",
    "cf-ray",
    "cf-visitor",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "grpc-status",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "retry-after",
    "sec-websocket-accept",
    "sec-websocket-key",
    "sec-websocket-version",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
};

// A perfect hash of the names: length, first letter, last letter and one at three quarters. The
// static_assert below fails when a new name needs other factors.
constexpr std::size_t kSlots = 256;
constexpr std::size_t kLongestName = 21;

constexpr std::size_t slot_of(std::string_view n) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(n[i])); };
  const auto length = static_cast<std::uint32_t>(n.size());
  return (length * 14 + at(0) * 63 + at(n.size() - 1) * 28 + at(n.size() * 3 / 4) * 47) % kSlots;
}

struct Table {
  std::array<std::uint8_t, kSlots> slots{};
  bool fits = true;
};

constexpr Table make_table() {
  Table t;
  for (std::size_t id = 1; id < kFieldIds; ++id) {
    std::uint8_t& slot = t.slots[slot_of(kNames[id])];
    t.fits = t.fits && slot == 0 && kNames[id].size() <= kLongestName;
    slot = static_cast<std::uint8_t>(id);
  }
  return t;
}

constexpr Table kTable = make_table();
static_assert(kTable.fits);

template <class Word>
bool same_word(const char* a, const char* b) noexcept {
  Word x, y;
  std::memcpy(&x, a, sizeof x);
  std::memcpy(&y, b, sizeof y);
  return x == y;
}

// Equal texts of n <= kLongestName bytes, in words that overlap: a call to memcmp costs more.
bool same_name(const char* a, const char* b, std::size_t n) noexcept {
  using Eight = std::uint64_t;
  using Four = std::uint32_t;
  if (n > 16)
    return same_word<Eight>(a, b) && same_word<Eight>(a + 8, b + 8) && same_word<Eight>(a + n - 8, b + n - 8);
  if (n >= 8) return same_word<Eight>(a, b) && same_word<Eight>(a + n - 8, b + n - 8);
  if (n >= 4) return same_word<Four>(a, b) && same_word<Four>(a + n - 4, b + n - 4);
  return std::memcmp(a, b, n) == 0;
}
static_assert(kLongestName <= 24);

}  // namespace

FieldId field_id(std::string_view name) noexcept {
  if (name.empty() || name.size() > kLongestName) return FieldId::other;
  const std::uint8_t id = kTable.slots[slot_of(name)];
  const std::string_view known = kNames[id];  // empty for id 0
  if (known.size() != name.size() || !same_name(known.data(), name.data(), name.size()))
    return FieldId::other;
  return static_cast<FieldId>(id);
}

std::string_view field_name(FieldId id) noexcept {
  return kNames[static_cast<std::size_t>(id)];
}

std::size_t Fields::bytes() const noexcept {
  std::size_t sum = 0;
  for (const Entry& e : entries_) {
    if (!e.removed) sum += e.name_length + e.value_length + 32U;
  }
  return sum;
}

void Fields::clear() noexcept {
  text_.clear();
  entries_.clear();
  present_ = repeated_ = 0;
  live_ = 0;
}

bool Fields::in_arena(std::string_view text) const noexcept {
  const std::less<const char*> before;
  return !before(text.data(), text_.data()) && before(text.data(), text_.data() + text_.size());
}

Fields::Slice Fields::store(std::string_view text) {
  const auto offset = static_cast<std::uint32_t>(text_.size());
  // A view into this very arena would dangle while it grows.
  if (in_arena(text)) {
    const auto from = static_cast<std::size_t>(text.data() - text_.data());
    const std::size_t n = text.size();
    text_.resize(offset + n);
    std::memcpy(text_.data() + offset, text_.data() + from, n);
  } else {
    text_.append(text);
  }
  return {offset, static_cast<std::uint32_t>(text.size())};
}

char* Fields::adopt(std::span<const char> block, std::uint32_t& offset) {
  offset = static_cast<std::uint32_t>(text_.size());
  text_.append(block.data(), block.size());
  return text_.data() + offset;
}

void Fields::add(std::string_view name, std::string_view value, FieldId id) {
  if (!in_arena(name) && !in_arena(value)) {
    const auto at = static_cast<std::uint32_t>(text_.size());
    const auto name_length = static_cast<std::uint32_t>(name.size());
    text_.append(name);
    text_.append(value);
    add_slices({at, name_length}, {at + name_length, static_cast<std::uint32_t>(value.size())}, id);
    return;
  }
  // The value may be a view into this arena, which the name's copy may move.
  const bool inside = in_arena(value);
  const std::size_t from = inside ? static_cast<std::size_t>(value.data() - text_.data()) : 0;
  const Slice n = store(name);
  const Slice v = store(inside ? std::string_view(text_).substr(from, value.size()) : value);
  add_slices(n, v, id);
}

void Fields::drop(Entry& e) noexcept {
  e.removed = true;
  --live_;
}

void Fields::recount(FieldId id) noexcept {
  for (const Entry& e : entries_) {
    if (!e.removed && e.id == id) return;
  }
  present_ &= ~bit(id);
  repeated_ &= ~bit(id);
}

std::size_t Fields::remove(FieldId id) noexcept {
  if (!has(id)) return 0;
  std::size_t n = 0;
  for (Entry& e : entries_) {
    if (!e.removed && e.id == id) {
      drop(e);
      ++n;
      if (single(id)) break;
    }
  }
  present_ &= ~bit(id);
  repeated_ &= ~bit(id);
  return n;
}

std::size_t Fields::remove(std::string_view name) noexcept {
  const FieldId id = field_id(name);
  if (id != FieldId::other) return remove(id);
  std::size_t n = 0;
  for (Entry& e : entries_) {
    if (!e.removed && e.id == id && view({e.name, e.name_length}) == name) {
      drop(e);
      ++n;
    }
  }
  if (n != 0) recount(id);
  return n;
}

void Fields::set(std::string_view name, std::string_view value) {
  remove(name);
  add(name, value);
}

void Fields::set(FieldId id, std::string_view value) {
  remove(id);
  add(id, value);
}

std::optional<std::string_view> Fields::find(FieldId id) const noexcept {
  if (!has(id)) return std::nullopt;
  for (const Entry& e : entries_) {
    if (!e.removed && e.id == id) return view({e.value, e.value_length});
  }
  return std::nullopt;
}

std::optional<std::string_view> Fields::find(std::string_view name) const noexcept {
  const FieldId id = field_id(name);
  if (id != FieldId::other) return find(id);
  for (const Entry& e : entries_) {
    if (!e.removed && e.id == id && view({e.name, e.name_length}) == name)
      return view({e.value, e.value_length});
  }
  return std::nullopt;
}

std::size_t Fields::count(FieldId id) const noexcept {
  if (!has(id)) return 0;
  if (single(id)) return 1;
  std::size_t n = 0;
  for (const Entry& e : entries_) n += (!e.removed && e.id == id) ? 1U : 0U;
  return n;
}

}  // namespace sallyport::http
