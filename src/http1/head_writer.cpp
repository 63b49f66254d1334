#include "head_writer.hpp"

#include <cassert>
#include <charconv>
#include <cstring>
#include <span>

#include "sallyport/http/semantics.hpp"

namespace sallyport::http1 {

namespace {

using http::FieldId;
using http::Fields;

constexpr std::uint64_t bit(FieldId id) {
  return std::uint64_t{1} << static_cast<unsigned>(id);
}

// Written from what we know, so never copied, even if a filter put one into a head.
constexpr std::uint64_t kOurs = bit(FieldId::connection) | bit(FieldId::keep_alive) |
                                bit(FieldId::proxy_connection) | bit(FieldId::transfer_encoding) |
                                bit(FieldId::content_length) | bit(FieldId::upgrade) | bit(FieldId::te) |
                                bit(FieldId::http2_settings);
constexpr std::uint64_t kOursInRequests = kOurs | bit(FieldId::host) | bit(FieldId::expect);

// Room for the lines of ConnectionLine, BodyLine, version and the like.
constexpr std::size_t kFixedBytes = 256;

// Appends to memory that is known to suffice.
class Pen {
 public:
  Pen(base::Buffer& out, std::size_t room) : out_(out), begin_(out.prepare(room).data()), at_(begin_) {
#ifndef NDEBUG
    room_ = room;
#endif
  }
  Pen(const Pen&) = delete;
  Pen& operator=(const Pen&) = delete;
  ~Pen() {
#ifndef NDEBUG
    assert(static_cast<std::size_t>(at_ - begin_) <= room_);
#endif
    out_.commit(static_cast<std::size_t>(at_ - begin_));
  }

  void text(std::string_view s) {
    if (s.empty()) return;
    std::memcpy(at_, s.data(), s.size());
    at_ += s.size();
  }
  void number(std::uint64_t n) {
    constexpr std::size_t kDigits = 20;
    at_ = std::to_chars(at_, at_ + kDigits, n).ptr;
  }
  void field(std::string_view name, std::string_view value) {
    assert(http::is_lower_field_name(name) && http::is_field_value(value));
    text(name);
    text(": ");
    text(value);
    text("\r\n");
  }

 private:
  base::Buffer& out_;
  char* begin_;
  char* at_;
#ifndef NDEBUG
  std::size_t room_ = 0;
#endif
};

std::string_view reason(std::uint16_t status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 103:
      return "Early Hints";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 203:
      return "Non-Authoritative Information";
    case 204:
      return "No Content";
    case 205:
      return "Reset Content";
    case 206:
      return "Partial Content";
    case 300:
      return "Multiple Choices";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 425:
      return "Too Early";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 451:
      return "Unavailable For Legal Reasons";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 511:
      return "Network Authentication Required";
    default:
      return {};
  }
}

void write_connection(const ConnectionLine& c, Pen& pen) {
  if (c.websocket) {
    pen.text("connection: upgrade\r\nupgrade: websocket\r\n");
  } else if (c.close) {
    pen.text(c.te_trailers ? "connection: close, te\r\n" : "connection: close\r\n");
  } else if (c.te_trailers) {
    pen.text("connection: te\r\n");
  } else if (c.keep_alive) {
    pen.text("connection: keep-alive\r\n");
  }
  if (c.te_trailers && !c.websocket) pen.text("te: trailers\r\n");
  if (c.expect_continue) pen.text("expect: 100-continue\r\n");
}

void write_body_line(const BodyLine& body, Pen& pen) {
  switch (body.kind) {
    case BodyLine::Kind::nothing:
      return;
    case BodyLine::Kind::chunked:
      pen.text("transfer-encoding: chunked\r\n");
      return;
    case BodyLine::Kind::length:
      pen.text("content-length: ");
      pen.number(body.length);
      pen.text("\r\n");
      return;
  }
}

// HTTP/2 may split a cookie into crumbs; HTTP/1.1 wants one line (RFC 9113 §8.2.3).
void write_joined_cookies(const Fields& fields, Pen& pen) {
  pen.text("cookie: ");
  bool first = true;
  fields.for_each([&](const Fields::Field& f) {
    if (f.id != FieldId::cookie || f.value.empty()) return;
    if (!first) pen.text("; ");
    first = false;
    pen.text(f.value);
  });
  pen.text("\r\n");
}

void write_fields(const Fields& fields, std::uint64_t left_out, Pen& pen) {
  fields.for_each([&](const Fields::Field& f) {
    if ((left_out & bit(f.id)) == 0) pen.field(f.name, f.value);
  });
}

}  // namespace

void write_request_head(const http::RequestHead& head, const ConnectionLine& connection, const BodyLine& body,
                        base::Buffer& out) {
  Pen pen(out, kFixedBytes + head.method_text().size() + head.target().size() + head.authority().size() +
                   head.fields.bytes());
  pen.text(head.method_text());
  pen.text(" ");
  pen.text(head.target());
  pen.text(" HTTP/1.1\r\nhost: ");
  pen.text(head.authority());
  pen.text("\r\n");
  const bool crumbs = head.fields.count(FieldId::cookie) > 1;
  write_fields(head.fields, crumbs ? kOursInRequests | bit(FieldId::cookie) : kOursInRequests, pen);
  if (crumbs) write_joined_cookies(head.fields, pen);
  write_body_line(body, pen);
  write_connection(connection, pen);
  pen.text("\r\n");
}

void write_response_head(const http::ResponseHead& head, const ConnectionLine& connection,
                         const BodyLine& body, base::Buffer& out) {
  Pen pen(out, kFixedBytes + head.fields.bytes());
  pen.text("HTTP/1.1 ");
  pen.number(head.status);
  pen.text(" ");
  pen.text(reason(head.status));
  pen.text("\r\n");
  write_fields(head.fields, kOurs, pen);
  write_body_line(body, pen);
  write_connection(connection, pen);
  pen.text("\r\n");
}

void write_field(std::string_view name, std::string_view value, base::Buffer& out) {
  Pen pen(out, name.size() + value.size() + 4);
  pen.field(name, value);
}

}  // namespace sallyport::http1
