#include <bit>

#include "sallyport/obs/access_log.hpp"

#include "json.hpp"

namespace sallyport::obs {

namespace {

// Over the sum of all keys, quotes, numbers and the time.
constexpr std::size_t kFixed = 1360;

template <std::size_t N>
char* key(char* out, const char (&name)[N]) noexcept {
  return json::put(out, std::string_view(name, N - 1));
}

// `name` is `,"name":` as it stands in the line.
template <std::size_t N>
char* text(char* out, const char (&name)[N], std::string_view value,
           std::size_t limit = AccessRecord::kMaxText) noexcept {
  return value.empty() ? out : json::put_text(key(out, name), json::cut(value, limit));
}

template <std::size_t N>
char* number(char* out, const char (&name)[N], std::uint64_t value) noexcept {
  return json::put_number(key(out, name), value);
}

template <std::size_t N>
char* duration(char* out, const char (&name)[N], base::Duration value) noexcept {
  return value.count() < 0 ? out : json::put_seconds(key(out, name), value);
}

// What the line may need at most.
std::size_t bound(const AccessRecord& r) noexcept {
  std::size_t text = std::min(r.target.size(), AccessRecord::kMaxTarget);
  for (const std::string_view v :
       {r.tls_id,     r.client,         r.peer,       r.listener,   r.host,  r.route,       r.method,
        r.authority,  r.proto,          r.upstream,   r.endpoint,   r.error, r.fault,       r.reason,
        r.request_id, r.cf_ray,         r.user_agent, r.referer,    r.sni,   r.tls_version, r.tls_cipher,
        r.country,    r.visitor_scheme, r.cf_risk,    r.client_cert}) {
    text += std::min(v.size(), AccessRecord::kMaxText);
  }
  return kFixed + json::kExpansion * text;
}

char* put_request(char* out, const AccessRecord& r) noexcept {
  out = number(out, ",\"connection\":", r.connection_id);
  out = text(out, ",\"tls_id\":", r.tls_id);
  out = text(out, ",\"client\":", r.client);
  out = text(out, ",\"peer\":", r.peer);
  out = text(out, ",\"listener\":", r.listener);
  out = text(out, ",\"host\":", r.host);
  out = text(out, ",\"route\":", r.route);
  out = text(out, ",\"method\":", r.method);
  out = text(out, ",\"authority\":", r.authority);
  out = text(out, ",\"target\":", r.target, AccessRecord::kMaxTarget);
  return text(out, ",\"proto\":", r.proto);
}

char* put_response(char* out, const AccessRecord& r) noexcept {
  out = number(out, ",\"status\":", r.status);
  out = number(out, ",\"bytes_in\":", r.bytes_in);
  out = number(out, ",\"bytes_out\":", r.bytes_out);
  out = duration(out, ",\"duration_s\":", r.duration);
  return duration(out, ",\"first_byte_s\":", r.first_byte);
}

char* put_upstream(char* out, const AccessRecord& r) noexcept {
  if (r.upstream.empty()) return out;
  out = text(out, ",\"upstream\":", r.upstream);
  out = text(out, ",\"endpoint\":", r.endpoint);
  out = duration(out, ",\"upstream_connect_s\":", r.upstream_connect);
  out = duration(out, ",\"upstream_first_byte_s\":", r.upstream_first_byte);
  if (r.upstream_status != 0) out = number(out, ",\"upstream_status\":", r.upstream_status);
  out = key(out, ",\"upstream_reused\":");
  out = json::put(out, r.upstream_reused ? "true" : "false");
  return number(out, ",\"retries\":", r.retries);
}

char* put_circumstances(char* out, const AccessRecord& r) noexcept {
  out = text(out, ",\"error\":", r.error);
  out = text(out, ",\"fault\":", r.fault);
  out = text(out, ",\"reason\":", r.reason);
  out = text(out, ",\"request_id\":", r.request_id);
  out = text(out, ",\"cf_ray\":", r.cf_ray);
  out = text(out, ",\"country\":", r.country);
  out = text(out, ",\"visitor_scheme\":", r.visitor_scheme);
  out = text(out, ",\"cf_risk\":", r.cf_risk);
  out = text(out, ",\"user_agent\":", r.user_agent);
  out = text(out, ",\"referer\":", r.referer);
  out = text(out, ",\"sni\":", r.sni);
  out = text(out, ",\"tls_version\":", r.tls_version);
  out = text(out, ",\"tls_cipher\":", r.tls_cipher);
  return text(out, ",\"client_cert\":", r.client_cert);
}

}  // namespace

AccessRing::AccessRing(std::size_t capacity, std::function<void()> wake)
    : capacity_(std::bit_ceil(capacity)), memory_(new char[capacity_]), wake_(std::move(wake)) {}

// A line's place, or nullptr. Counts what is left unused at a lap's end as taken, so that the
// worker never crosses into a lap while the writer still needs the previous lap's end.
char* AccessRing::reserve(std::size_t n) noexcept {
  const std::uint64_t head = head_.load(std::memory_order_relaxed);
  const std::uint64_t to_end = capacity_ - head % capacity_;
  const std::uint64_t begin = n <= to_end ? head : head + to_end;
  if (begin + n - seen_tail_ > capacity_) {
    seen_tail_ = tail_.load(std::memory_order_acquire);
    if (begin + n - seen_tail_ > capacity_) return nullptr;
  }
  if (begin != head) lap_end_.store(head, std::memory_order_relaxed);
  reserved_ = begin;
  return memory_.get() + begin % capacity_;
}

void AccessRing::publish(std::size_t length) noexcept {
  const std::uint64_t head = reserved_ + length;
  head_.store(head, std::memory_order_release);
  if (head - seen_tail_ <= capacity_ / 2 || woken_.load(std::memory_order_relaxed)) return;
  seen_tail_ = tail_.load(std::memory_order_acquire);
  if (head - seen_tail_ > capacity_ / 2 && !woken_.exchange(true, std::memory_order_relaxed)) wake_();
}

bool AccessRing::write(const AccessRecord& record) noexcept {
  if (!enabled_.load(std::memory_order_relaxed)) return true;
  char* const begin = reserve(bound(record));
  if (begin == nullptr) {
    dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return false;
  }
  const auto since = record.time.time_since_epoch();
  const auto second = std::chrono::floor<std::chrono::seconds>(since);
  if (second.count() != stamp_second_) {
    stamp_second_ = second.count();
    json::put_stamp(stamp_.data(), stamp_second_);
  }
  char* out = key(begin, "{\"time\":\"");
  out = json::put(out, {stamp_.data(), stamp_.size()});
  out = json::put_micros(out,
                         static_cast<std::uint32_t>(
                             std::chrono::duration_cast<std::chrono::microseconds>(since - second).count()));
  out = key(out, "Z\"");
  out = put_request(out, record);
  out = put_response(out, record);
  out = put_upstream(out, record);
  out = put_circumstances(out, record);
  out = key(out, "}\n");
  publish(static_cast<std::size_t>(out - begin));
  return true;
}

AccessRing::Readable AccessRing::readable() noexcept {
  woken_.store(false, std::memory_order_relaxed);
  const std::uint64_t head = head_.load(std::memory_order_acquire);
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  taken_ = head;
  const auto piece = [this](std::uint64_t from, std::uint64_t to) {
    return std::span<const char>(memory_.get() + from % capacity_, to - from);
  };
  const std::uint64_t lap = head / capacity_ * capacity_;
  if (tail >= lap) return {piece(tail, head), {}};
  // The head is one lap on. The old lap ends where the worker left it, or exactly at the end.
  const std::uint64_t left = lap_end_.load(std::memory_order_relaxed);
  const std::uint64_t end = left >= tail && left < lap ? left : lap;
  return {piece(tail, end), piece(lap, head)};
}

void AccessRing::release() noexcept {
  tail_.store(taken_, std::memory_order_release);
}

}  // namespace sallyport::obs
