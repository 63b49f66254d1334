// A header or trailer section: an ordered flat table of {name, value, known id}.
//
// Names are lower case always (RFC 9110 §5.1: case-insensitive; RFC 9113 §8.2: lower case on
// the wire), so that one comparison serves both protocols. All text lives in one arena that is
// kept by clear(), so a recycled table allocates nothing. Owned by one message, one thread.
// Views are good until the next non-const call. Values are not validated here: parsers do.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport::http {

// The fields that some code of ours looks at by id. `other` = none of them.
enum class FieldId : std::uint8_t {
  other,
  accept_encoding,
  age,
  alt_svc,
  authorization,
  cache_control,
  cdn_loop,
  cf_connecting_ip,
  cf_ipcountry,
  cf_ray,
  cf_visitor,
  connection,
  content_encoding,
  content_length,
  content_type,
  cookie,
  date,
  expect,
  forwarded,
  grpc_status,
  host,
  http2_settings,
  keep_alive,
  location,
  max_forwards,
  origin,
  proxy_authenticate,
  proxy_authorization,
  proxy_connection,
  referer,
  retry_after,
  sec_websocket_accept,
  sec_websocket_key,
  sec_websocket_version,
  server,
  set_cookie,
  te,
  trailer,
  transfer_encoding,
  true_client_ip,
  upgrade,
  user_agent,
  via,
  x_forwarded_for,
  x_forwarded_host,
  x_forwarded_port,
  x_forwarded_proto,
  x_real_ip,
  x_request_id,
};
inline constexpr std::size_t kFieldIds = static_cast<std::size_t>(FieldId::x_request_id) + 1;
static_assert(kFieldIds <= 64, "Fields keeps the ids that are present in one 64-bit word");

// The id of a lower-case name; a length switch and one comparison.
[[nodiscard]] FieldId field_id(std::string_view lower_name) noexcept;
// The lower-case name of an id; empty for `other`.
[[nodiscard]] std::string_view field_name(FieldId id) noexcept;

class Fields {
 public:
  // A piece of the arena. {0, 0} is the empty text.
  struct Slice {
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
  };
  struct Field {
    std::string_view name;
    std::string_view value;
    FieldId id;
  };

  Fields() = default;
  // What is moved from is empty, and may be used again.
  Fields(Fields&& other) noexcept
      : text_(std::move(other.text_)),
        entries_(std::move(other.entries_)),
        present_(std::exchange(other.present_, 0)),
        repeated_(std::exchange(other.repeated_, 0)),
        live_(std::exchange(other.live_, 0)) {
    other.text_.clear();
  }
  Fields& operator=(Fields&& other) noexcept {
    if (this == &other) return *this;
    text_ = std::move(other.text_);
    entries_ = std::move(other.entries_);
    present_ = std::exchange(other.present_, 0);
    repeated_ = std::exchange(other.repeated_, 0);
    live_ = std::exchange(other.live_, 0);
    other.clear();
    return *this;
  }
  ~Fields() = default;
  Fields(const Fields&) = default;
  Fields& operator=(const Fields&) = default;

  [[nodiscard]] bool empty() const noexcept { return live_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return live_; }  // fields that are not removed
  // Sum over all fields of name + value + 32 (RFC 9113 §10.5.1's measure).
  [[nodiscard]] std::size_t bytes() const noexcept;

  // Of the arena, with what was removed or replaced.
  [[nodiscard]] std::size_t text_bytes() const noexcept { return text_.size(); }
  // Forgets the fields, keeps the memory.
  void clear() noexcept;

  // `name` is lower case already; both are copied. Text of over 4 GiB is the caller's error.
  void add(std::string_view name, std::string_view value) { add(name, value, field_id(name)); }
  void add(std::string_view name, std::string_view value, FieldId id);
  void add(FieldId id, std::string_view value) { add(field_name(id), value, id); }
  // Replaces all fields of that name by one.
  void set(std::string_view name, std::string_view value);
  void set(FieldId id, std::string_view value);
  // Returns how many were removed. The others keep their order.
  std::size_t remove(std::string_view name) noexcept;
  std::size_t remove(FieldId id) noexcept;

  [[nodiscard]] bool has(FieldId id) const noexcept { return (present_ & bit(id)) != 0; }
  // The first one's value.
  [[nodiscard]] std::optional<std::string_view> find(FieldId id) const noexcept;
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;
  [[nodiscard]] std::size_t count(FieldId id) const noexcept;

  template <class F>
  void for_each(F&& f) const {
    for (const Entry& e : entries_) {
      if (!e.removed) f(Field{view({e.name, e.name_length}), view({e.value, e.value_length}), e.id});
    }
  }
  // As for_each; stops and returns false when f returns false.
  template <class F>
  bool all_of(F&& f) const {
    for (const Entry& e : entries_) {
      if (!e.removed && !f(Field{view({e.name, e.name_length}), view({e.value, e.value_length}), e.id}))
        return false;
    }
    return true;
  }

  // Room for n fields.
  void reserve(std::size_t n) { entries_.reserve(n); }
  // For parsers: one copy of a whole head, of which fields and pseudo-fields are slices.
  // The returned pointer is good until the next non-const call.
  char* adopt(std::span<const char> block, std::uint32_t& offset);
  void add_slices(Slice name, Slice value, FieldId id) {
    entries_.push_back(
        {name.offset, value.offset, value.length, static_cast<std::uint16_t>(name.length), id, false});
    repeated_ |= present_ & bit(id);
    present_ |= bit(id);
    ++live_;
  }
  // Text that is no field (a target, an authority) but lives as long as this table.
  [[nodiscard]] Slice store(std::string_view text);
  [[nodiscard]] std::string_view view(Slice s) const noexcept {
    return std::string_view(text_).substr(s.offset, s.length);
  }

 private:
  struct Entry {
    std::uint32_t name;
    std::uint32_t value;
    std::uint32_t value_length;
    std::uint16_t name_length;
    FieldId id;
    bool removed;
  };
  [[nodiscard]] bool in_arena(std::string_view text) const noexcept;
  static constexpr std::uint64_t bit(FieldId id) noexcept {
    return std::uint64_t{1} << static_cast<unsigned>(id);
  }
  // There is one, and no other was ever added.
  [[nodiscard]] bool single(FieldId id) const noexcept { return ((present_ & ~repeated_) & bit(id)) != 0; }
  void drop(Entry& e) noexcept;
  void recount(FieldId id) noexcept;

  std::string text_;
  std::vector<Entry> entries_;
  std::uint64_t present_ = 0;   // bit = FieldId
  std::uint64_t repeated_ = 0;  // those that may stand more than once: the others need no further look
  std::uint32_t live_ = 0;
};

}  // namespace sallyport::http
