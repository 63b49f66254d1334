#include <algorithm>

#include "sallyport/base/renew.hpp"
#include "sallyport/http/semantics.hpp"
#include "sallyport/http1/codec.hpp"

#include "head_writer.hpp"

namespace sallyport::http1 {

namespace {

using base::ErrorCode;
using http::FieldId;
using http::Framing;
using http::Method;
using http::Version;

// "timeout=N" of a Keep-Alive field: when the origin will close; a hint, so never an error.
std::optional<base::Seconds> timeout_hint(const http::Fields& fields) {
  std::optional<base::Seconds> hint;
  const auto value = fields.find(FieldId::keep_alive);
  if (!value) return hint;
  http::each_item(*value, [&](std::string_view item) {
    constexpr std::string_view kName = "timeout=";
    constexpr std::uint64_t kLongest = 86400;
    if (!http::equals_ignoring_case(item.substr(0, kName.size()), kName)) return true;
    const auto seconds = http::parse_content_length(item.substr(kName.size()));
    if (seconds) hint = base::Seconds(std::min(*seconds, kLongest));
    return false;
  });
  return hint;
}

// A POST without a body says so (RFC 9110 §8.6).
bool expected_to_have_body(Method method) {
  return method == Method::post || method == Method::put || method == Method::patch;
}

bool accepts_websocket(const http::Fields& fields) {
  return fields.count(FieldId::upgrade) == 1 &&
         http::equals_ignoring_case(*fields.find(FieldId::upgrade), "websocket");
}

}  // namespace

ResponseCodec::ResponseCodec(const Limits& limits) noexcept
    : reader_(limits, HeadParser::Kind::response, base::Fault::upstream) {}

void ResponseCodec::write_request(const http::RequestHead& head, bool end, base::Buffer& out) {
  method_ = head.method;
  upgrade_asked_ = head.protocol() == "websocket";
  ConnectionLine connection;
  BodyLine line;
  const bool known = head.body.kind == http::BodySize::Kind::known;
  if (upgrade_asked_) {
    connection.websocket = true;
    writer_.begin(MessageWriter::State::held);
  } else if (known || end) {
    if (known || expected_to_have_body(method_))
      line = {BodyLine::Kind::length, known ? head.body.length : 0};
    writer_.begin(MessageWriter::State::length, line.length);
    if (end) writer_.close_piece(0, true, out);
  } else {
    line.kind = BodyLine::Kind::chunked;
    writer_.begin(MessageWriter::State::chunked);
  }
  connection.te_trailers = head.trailers_ok;
  connection.expect_continue = head.expects_continue && !end;
  connection.close = !keep_alive_;
  write_request_head(head, connection, line, out);
}

void ResponseCodec::write_trailers(const http::Fields& trailers, base::Buffer& out) {
  writer_.write_trailers(trailers, true, out);
}

std::size_t ResponseCodec::receive(std::span<const char> bytes, Events& events) {
  reader_.begin_receive();
  if (idle()) {
    if (!bytes.empty() && reader_.state() == MessageReader::State::head)
      reader_.fail(ErrorCode::malformed, events);
    return 0;
  }
  std::size_t used = 0;
  while (reader_.state() == MessageReader::State::head && !reader_.stopped() && !idle()) {
    const std::span<const char> rest = bytes.subspan(used);
    switch (reader_.head().parse(rest)) {
      case HeadParser::Outcome::incomplete:
        return used;
      case HeadParser::Outcome::failed:
        reader_.fail(reader_.head().error(), events);
        return used;
      case HeadParser::Outcome::complete:
        break;
    }
    const std::size_t size = reader_.head().size();
    used += size;
    take_head(rest, size, events);
  }
  return used + reader_.receive(bytes.subspan(used), events);
}

void ResponseCodec::take_head(std::span<const char> bytes, std::size_t size, Events& events) {
  const HeadParser& parsed = reader_.head();
  head_.clear();
  parsed.fill(bytes, head_.fields);
  head_.version = parsed.version();
  head_.status = parsed.status();
  const auto framing = http::message_framing({false, head_.version, method_, head_.status}, head_.fields);
  if (!framing) return reader_.fail(framing.error().code, events);
  const bool websocket = accepts_websocket(head_.fields);
  keep_alive_timeout_ = timeout_hint(head_.fields);
  const http::HopByHop hop = http::take_hop_by_hop(head_.fields);
  if (!hop.valid) return reader_.fail(ErrorCode::malformed, events);
  head_.fields.remove(FieldId::content_length);
  head_.body = http::body_size(*framing);
  if (head_.status == 101) {
    // Unasked for, it would turn a connection that others use into a tunnel.
    if (!upgrade_asked_ || !websocket || !hop.upgrade) return reader_.fail(ErrorCode::malformed, events);
    keep_alive_ = false;
    reader_.begin_tunnel();
    writer_.begin(MessageWriter::State::raw);
    return events.on_response(std::move(head_), false);
  }
  if (head_.informational()) {
    if (++informational_ > reader_.limits().informational)
      return reader_.fail(ErrorCode::interim_flood, events);
    reader_.next_head();
    return events.on_response(std::move(head_), false);
  }
  keep_alive_ = keep_alive_ && !hop.close && framing->by != Framing::By::close &&
                (head_.version == Version::http11 || hop.keep_alive);
  if (writer_.state() == MessageWriter::State::held) writer_.begin(MessageWriter::State::done);
  reader_.begin_body(*framing, bytes.size() > size);
  events.on_response(std::move(head_), framing->by == Framing::By::none);
}

void ResponseCodec::on_eof(Events& events) {
  if (idle()) return;
  if (reader_.state() == MessageReader::State::head) return reader_.fail(ErrorCode::closed, events);
  reader_.receive_end_of_stream(events);
}

void ResponseCodec::next() noexcept {
  reader_.next_head();
  writer_.reset();
  informational_ = 0;
  method_ = Method::get;
  upgrade_asked_ = false;
}

void ResponseCodec::release() noexcept {
  reader_.release();
  base::renew(head_);
}

}  // namespace sallyport::http1
