// The access log: one JSON line a request, through a bounded ring per worker that never blocks.
//
// A worker owns one AccessRing's writing end and serialises a record straight into its memory:
// no allocation, no lock, no system call. When the ring is full the record is dropped and
// counted. One writer thread (AccessLog's) drains all rings from their own memory in one
// writev() a batch. The worker wakes it only when a ring is half full, otherwise the writer
// looks by itself a few times a second; so a line reaches the file within kPoll.
// AccessLog is owned by the server and dies after the workers: it drains, within a deadline.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "sallyport/base/clock.hpp"

namespace sallyport::obs {

// What is said of one request. Views are borrowed for the call; empty text and negative
// durations are left out of the line. Text is cut at kMaxText (the target at kMaxTarget) and
// made safe: control characters and invalid UTF-8 are escaped.
struct AccessRecord {
  static constexpr std::size_t kMaxTarget = 4096;
  static constexpr std::size_t kMaxText = 1024;
  static constexpr base::Duration kNone = base::Duration(-1);

  base::WallTime time{};            // when the request's first byte came
  std::uint64_t connection_id = 0;  // unique in the process
  std::string_view tls_id;          // of the connection; handshake_done and handshake_failed have it too
  std::string_view client;          // the address we believe, without port
  std::string_view peer;            // the socket's peer, if it is another (a proxy, Cloudflare)
  std::string_view listener;
  std::string_view host;  // the configured host
  std::string_view route;
  std::string_view method;
  std::string_view authority;  // as sent
  std::string_view target;
  std::string_view proto;    // "HTTP/1.1"
  std::uint16_t status = 0;  // 0: none was sent
  std::uint64_t bytes_in = 0, bytes_out = 0;
  base::Duration duration{};
  base::Duration first_byte = kNone;

  std::string_view upstream;
  std::string_view endpoint;                   // "10.0.0.5:8443"
  base::Duration upstream_connect = kNone;     // a fresh connection's TCP and TLS; none when reused
  base::Duration upstream_first_byte = kNone;  // head sent → response head
  std::uint16_t upstream_status = 0;
  bool upstream_reused = false;
  std::uint16_t retries = 0;

  std::string_view error;   // base::ErrorCode's word, if it went wrong
  std::string_view fault;   // client | upstream | gateway
  std::string_view reason;  // why we answered ourselves
  std::string_view request_id;
  std::string_view cf_ray;
  std::string_view country;         // CF-IPCountry, of a trusted peer
  std::string_view visitor_scheme;  // of CF-Visitor, likewise
  std::string_view cf_risk;         // the code that a visitor behind Cloudflare would have seen: "524"
  std::string_view user_agent;
  std::string_view referer;
  std::string_view sni;
  std::string_view tls_version;
  std::string_view tls_cipher;
  std::string_view client_cert;  // of the connection, where one was asked for: ok, absent, untrusted, …
};

class AccessRing {
 public:
  // `capacity` is rounded up to a power of two. `wake` runs on the worker when the ring becomes
  // half full, at most once until the writer has looked.
  AccessRing(std::size_t capacity, std::function<void()> wake);
  AccessRing(const AccessRing&) = delete;
  AccessRing& operator=(const AccessRing&) = delete;

  // Worker. False: dropped (full), and counted.
  bool write(const AccessRecord& record) noexcept;
  // Off: write() is true and does nothing.
  void enable(bool on) noexcept { enabled_.store(on, std::memory_order_relaxed); }
  [[nodiscard]] bool enabled() const noexcept { return enabled_.load(std::memory_order_relaxed); }

  // Writer. What can be taken now: whole lines, in one or two pieces (the second after the wrap).
  struct Readable {
    std::span<const char> first, second;
  };
  [[nodiscard]] Readable readable() noexcept;
  // Gives all that the last readable() returned back to the worker.
  void release() noexcept;

  // Any thread.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

 private:
  [[nodiscard]] char* reserve(std::size_t n) noexcept;
  void publish(std::size_t length) noexcept;

  const std::size_t capacity_;
  const std::unique_ptr<char[]> memory_;
  const std::function<void()> wake_;
  std::atomic<bool> enabled_{true};

  // Positions count bytes since the start; position % capacity is the offset. A line never
  // spans the end: the worker leaves the rest of the lap unused, from lap_end_ on.
  alignas(64) std::atomic<std::uint64_t> head_{0};  // written by the worker
  std::atomic<std::uint64_t> lap_end_{UINT64_MAX};  // written by the worker before head_ passes it
  std::uint64_t seen_tail_ = 0;                     // the worker's last look at tail_
  std::uint64_t reserved_ = 0;                      // where the line being written begins
  std::int64_t stamp_second_ = -1;                  // the second that stamp_ spells
  std::array<char, 19> stamp_{};
  std::atomic<std::uint64_t> dropped_{0};
  alignas(64) std::atomic<std::uint64_t> tail_{0};  // written by the writer
  std::atomic<bool> woken_{false};
  std::uint64_t taken_ = 0;  // where release() moves tail_ to
};

struct AccessLogOptions {
  std::string path = "off";                 // stdout | off | a file's path
  std::size_t ring_bytes = 1024 * 1024;     // a worker; some 2,000 lines, or a second of a disk that stalls
  base::Duration drain = base::Seconds(2);  // how long the end may wait for a sink that does not take bytes
  std::function<void(int error)> on_error;  // errno of a failed write or reopen; writer thread
};

class AccessLog {
 public:
  static constexpr base::Milliseconds kPoll{100};

  // Throws std::system_error if the file cannot be opened.
  explicit AccessLog(AccessLogOptions options);
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;
  ~AccessLog();  // drains

  // One more worker. Any thread; the ring lives as long as this.
  [[nodiscard]] AccessRing& new_ring();

  // Any thread. The writer opens the file anew before its next batch; if that fails the old one stays.
  void reopen();
  // As reopen(), to another path (a reload). Throws std::system_error and changes nothing if it cannot be
  // opened.
  void redirect(const std::string& path);
  // Returns when everything published before the call has been handed to the kernel (or dropped).
  void flush();

  // Lines lost since the start. Any thread.
  [[nodiscard]] std::uint64_t dropped_full() const;    // a ring was full
  [[nodiscard]] std::uint64_t dropped_failed() const;  // the write failed, or the end's deadline passed

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::obs
