// The fields of an outgoing head, as nghttp2 takes them: pseudo-fields from the neutral form,
// framing from what is known of the body, and never a field that concerns one connection.
// A list lives on the stack of one call; nghttp2 copies what may not live long enough.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include <nghttp2/nghttp2.h>

#include "sallyport/http/head.hpp"

namespace sallyport::http2 {

class FieldList {
 public:
  // Both views must live until the list was submitted.
  void add(std::string_view name, std::string_view value) { push(name, value, NGHTTP2_NV_FLAG_NONE); }
  // `name` lives as long as the program.
  void add_known(std::string_view name, std::string_view value) {
    push(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  }
  // The same, for a value that does not come again: the peer's HPACK table keeps what does.
  void add_once(std::string_view name, std::string_view value) {
    push(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_INDEX);
  }
  [[nodiscard]] const nghttp2_nv* data() const noexcept { return more_.empty() ? few_.data() : more_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  void push(std::string_view name, std::string_view value, std::uint8_t flags);

  static constexpr std::size_t kFew = 48;  // a browser's request with what a proxy adds
  std::array<nghttp2_nv, kFew> few_;       // NOLINT: filled up to size_
  std::vector<nghttp2_nv> more_;
  std::size_t size_ = 0;
};

// Room for the numbers that a head is written with.
struct Digits {
  std::array<char, 3> status;
  std::array<char, 20> length;
};

void write_request(const http::RequestHead& head, Digits& digits, FieldList& list);
void write_response(const http::ResponseHead& head, Digits& digits, FieldList& list);
void write_trailers(const http::Fields& trailers, FieldList& list);

}  // namespace sallyport::http2
