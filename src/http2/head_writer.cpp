#include "head_writer.hpp"

#include <charconv>

namespace sallyport::http2 {

using http::FieldId;

namespace {

// nghttp2's struct predates const.
std::uint8_t* octets(std::string_view text) noexcept {
  // NOLINTNEXTLINE: never written through
  return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
}

// Written from the message itself, of one connection only (RFC 9113 §8.2.2), or without a
// meaning in HTTP/2 (RFC 8441 §5).
bool is_left_out(FieldId id) noexcept {
  switch (id) {
    case FieldId::connection:
    case FieldId::content_length:
    case FieldId::host:
    case FieldId::http2_settings:
    case FieldId::keep_alive:
    case FieldId::proxy_connection:
    case FieldId::sec_websocket_accept:
    case FieldId::sec_websocket_key:
    case FieldId::te:
    case FieldId::transfer_encoding:
    case FieldId::upgrade:
      return true;
    default:
      return false;
  }
}

void write_fields(const http::Fields& fields, FieldList& list) {
  fields.for_each([&](const http::Fields::Field& f) {
    if (f.id == FieldId::other) {
      list.add(f.name, f.value);
    } else if (f.id == FieldId::x_request_id) {
      list.add_once(http::field_name(f.id), f.value);
    } else if (!is_left_out(f.id)) {
      list.add_known(http::field_name(f.id), f.value);
    }
  });
}

void write_length(const http::BodySize& body, Digits& digits, FieldList& list) {
  if (body.kind != http::BodySize::Kind::known) return;
  char* const first = digits.length.data();
  const auto done = std::to_chars(first, first + digits.length.size(), body.length);
  list.add_known(http::field_name(FieldId::content_length),
                 {first, static_cast<std::size_t>(done.ptr - first)});
}

}  // namespace

void FieldList::push(std::string_view name, std::string_view value, std::uint8_t flags) {
  const nghttp2_nv nv{octets(name), octets(value), name.size(), value.size(), flags};
  if (size_ < kFew) {
    few_[size_] = nv;
  } else {
    if (more_.empty()) more_.assign(few_.begin(), few_.end());
    more_.push_back(nv);
  }
  ++size_;
}

void write_request(const http::RequestHead& head, Digits& digits, FieldList& list) {
  const bool tunnel = !head.protocol().empty();
  list.add_known(":method", tunnel ? std::string_view("CONNECT") : head.method_text());
  list.add_known(":scheme", head.scheme().empty() ? std::string_view("http") : head.scheme());
  list.add_known(":authority", head.authority());
  list.add_known(":path", head.target());
  if (tunnel) list.add_known(":protocol", head.protocol());
  write_fields(head.fields, list);
  if (head.expects_continue) list.add_known(http::field_name(FieldId::expect), "100-continue");
  if (head.trailers_ok) list.add_known(http::field_name(FieldId::te), "trailers");
  if (!tunnel) write_length(head.body, digits, list);
}

void write_response(const http::ResponseHead& head, Digits& digits, FieldList& list) {
  const bool tunnel = head.status == 101;
  const unsigned status = tunnel ? 200 : head.status;
  digits.status = {static_cast<char>('0' + status / 100 % 10), static_cast<char>('0' + status / 10 % 10),
                   static_cast<char>('0' + status % 10)};
  list.add_known(":status", {digits.status.data(), digits.status.size()});
  write_fields(head.fields, list);
  if (!tunnel && !head.informational() && head.status != 204) write_length(head.body, digits, list);
}

void write_trailers(const http::Fields& trailers, FieldList& list) {
  write_fields(trailers, list);
}

}  // namespace sallyport::http2
