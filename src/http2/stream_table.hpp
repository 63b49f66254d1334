// The streams of one connection by id: a small hash table whose links and elements are recycled,
// so that a stream costs no allocation once the connection has seen a few. Own table rather than
// nghttp2's user data, which does not know a request before it is framed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sallyport/base/buffer.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/http/head.hpp"
#include "sallyport/http2/codec.hpp"

namespace sallyport::http2 {

struct StreamState {
  StreamId id = 0;
  http::Method method = http::Method::get;  // of the request, to judge its response
  base::Buffer out;                         // taken by send_data() and not framed
  http::Fields out_trailers;
  http::BodySize due;               // how much DATA must come, if that is known
  std::uint64_t received = 0;       // octets of that
  std::uint32_t informational = 0;  // 1xx heads that arrived
  base::Error why;                  // what we reset it for
  bool announced = false;           // the caller knows of it
  bool tunnel = false;              // an extended CONNECT
  bool deaf = false;                // what arrives is dropped
  bool head_done = false;           // the (final) head arrived
  bool host_told = false;           // ... and had a Host
  bool got_end = false;             // the end was told
  bool deferred = false;            // nghttp2 waits for send_data()
  bool out_end = false;             // the caller ended its message
  bool has_out_trailers = false;
  bool sent_end = false;         // ... and the end is framed
  bool asked_reset = false;      // reset() was called
  bool reset_after_end = false;  // ... with NO_ERROR, while an end waits to be framed
  bool rst_sent = false;
  bool rst_received = false;

 private:
  friend class StreamTable;
  StreamState* next_ = nullptr;
};

class StreamTable {
 public:
  StreamTable() : buckets_(kFirstBuckets, nullptr) {}
  StreamTable(const StreamTable&) = delete;
  StreamTable& operator=(const StreamTable&) = delete;
  ~StreamTable();

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] StreamState* find(StreamId id) const noexcept;
  // The id must be new. The reference is good until recycle().
  StreamState& insert(StreamId id);
  // Takes it out of the table; it stays readable until recycle().
  void remove(StreamState& s) noexcept;
  void recycle(StreamState& s) noexcept;
  // Frees what is kept for the next streams.
  void release() noexcept;

 private:
  static constexpr std::size_t kFirstBuckets = 8;
  static constexpr std::size_t kSpares = 8;             // states kept for the next streams
  static constexpr std::size_t kKeptBuffer = 4 * 1024;  // a bigger send buffer is given back

  [[nodiscard]] std::size_t slot(StreamId id) const noexcept {
    // All ids of one side have the same lowest bit.
    return (static_cast<std::uint32_t>(id) >> 1) & (buckets_.size() - 1);
  }
  void grow();
  static void free_chain(StreamState* s) noexcept;

  std::vector<StreamState*> buckets_;
  std::size_t size_ = 0;
  StreamState* spares_ = nullptr;
  std::size_t spare_count_ = 0;
};

}  // namespace sallyport::http2
