#include <array>
#include <cassert>
#include <string>

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
using http::RequestHead;
using http::Version;

constexpr std::size_t kAuthorityBytes = 300;  // is_authority() lets fewer pass

// Sets a valid authority in lower case.
bool set_authority(RequestHead& head, std::string_view text) {
  if (!http::is_authority(text) || text.size() > kAuthorityBytes) return false;
  std::array<char, kAuthorityBytes> lower;
  for (std::size_t i = 0; i < text.size(); ++i) lower[i] = http::to_lower(text[i]);
  head.set_authority({lower.data(), text.size()});
  return true;
}

// RFC 9112 §3.2: exactly one Host in HTTP/1.1; HTTP/1.0 may do without.
bool take_host(RequestHead& head) {
  const std::size_t count = head.fields.count(FieldId::host);
  if (count == 0) return head.version == Version::http10;
  if (count != 1 || !set_authority(head, *head.fields.find(FieldId::host))) return false;
  head.fields.remove(FieldId::host);
  return true;
}

// RFC 9112 §3.2.2. Host must say the same as the target: two names in one request are for
// whoever reads the other one.
bool take_absolute_target(RequestHead& head, std::string_view target, bool tls) {
  const std::string_view scheme = tls ? "https://" : "http://";
  if (!http::equals_ignoring_case(target.substr(0, scheme.size()), scheme)) return false;
  target.remove_prefix(scheme.size());
  const std::size_t behind = std::min(target.find_first_of("/?"), target.size());
  const std::string_view authority = target.substr(0, behind);
  if (!head.authority().empty()) {
    if (!http::equals_ignoring_case(authority, head.authority())) return false;
  } else if (!set_authority(head, authority)) {
    return false;
  }
  // `target` may have moved with the arena.
  const std::string_view tail = head.target().substr(scheme.size() + behind);
  std::string path;
  path.reserve(tail.size() + 1);
  if (!tail.starts_with('/')) path.push_back(tail.empty() && head.method == Method::options ? '*' : '/');
  path.append(tail);
  head.set_target(path);
  return true;
}

bool take_target(RequestHead& head, bool tls) {
  const std::string_view target = head.target();
  // The parser let only visible ASCII pass.
  if (target.front() == '/' || (target == "*" && head.method == Method::options)) return true;
  return take_absolute_target(head, target, tls);
}

// Anything but one 100-continue is malformed: obfuscated expectations desynchronise.
bool take_expect(RequestHead& head, bool has_body) {
  if (!head.fields.has(FieldId::expect)) return true;
  if (head.fields.count(FieldId::expect) != 1 ||
      !http::equals_ignoring_case(*head.fields.find(FieldId::expect), "100-continue"))
    return false;
  head.fields.remove(FieldId::expect);
  head.expects_continue = has_body && head.version == Version::http11;
  return true;
}

bool offers_websocket(const RequestHead& head) {
  return head.fields.count(FieldId::upgrade) == 1 &&
         http::lists(*head.fields.find(FieldId::upgrade), "websocket");
}

struct Facts {
  Framing framing;
  bool keep_alive = false;
};

// Brings a head whose fields are as received into the neutral form.
ErrorCode neutralise(RequestHead& head, bool tls, Facts& facts) {
  if (head.method == Method::connect) return ErrorCode::unsupported;
  const auto framing = http::message_framing({true, head.version, head.method, 0}, head.fields);
  if (!framing) return framing.error().code;
  facts.framing = *framing;
  head.body = http::body_size(*framing);
  const bool has_body = framing->by != Framing::By::none;
  if (!take_host(head) || !take_target(head, tls) || !take_expect(head, has_body))
    return ErrorCode::malformed;
  const bool websocket = offers_websocket(head);
  const http::HopByHop hop = http::take_hop_by_hop(head.fields);
  if (!hop.valid) return ErrorCode::malformed;
  head.fields.remove(FieldId::content_length);
  head.trailers_ok = hop.te_trailers;
  facts.keep_alive = !hop.close && (head.version == Version::http11 || hop.keep_alive);
  // RFC 6455 §4.1; any other upgrade is one that we may ignore (RFC 9110 §7.8).
  if (websocket && hop.upgrade && head.method == Method::get && head.version == Version::http11 && !has_body)
    head.set_protocol("websocket");
  return ErrorCode::none;
}

}  // namespace

RequestCodec::RequestCodec(const Limits& limits, bool tls) noexcept
    : reader_(limits, HeadParser::Kind::request, base::Fault::client), tls_(tls) {}

std::size_t RequestCodec::receive(std::span<const char> bytes, Events& events) {
  reader_.begin_receive();
  std::size_t used = 0;
  if (reader_.state() == MessageReader::State::head) {
    switch (reader_.head().parse(bytes)) {
      case HeadParser::Outcome::incomplete:
        return 0;
      case HeadParser::Outcome::failed:
        reader_.fail(reader_.head().error(), events);
        return 0;
      case HeadParser::Outcome::complete:
        break;
    }
    used = reader_.head().size();
    take_head(bytes.first(used), events);
  }
  return used + reader_.receive(bytes.subspan(used), events);
}

void RequestCodec::take_head(std::span<const char> bytes, Events& events) {
  const HeadParser& parsed = reader_.head();
  head_.clear();
  parsed.fill(bytes, head_.fields);
  head_.version = parsed.version();
  head_.set_method(head_.fields.view(parsed.method()));
  head_.set_scheme(tls_ ? "https" : "http");
  head_.set_target(parsed.target());
  // Also a refusal is answered in the client's terms.
  method_ = head_.method;
  version_ = head_.version;
  Facts facts;
  const ErrorCode error = neutralise(head_, tls_, facts);
  if (error != ErrorCode::none) {
    reader_.fail(error, events);
    return;
  }
  keep_alive_ = keep_alive_ && facts.keep_alive;
  trailers_ok_ = head_.trailers_ok;
  upgrade_asked_ = !head_.protocol().empty();
  if (upgrade_asked_) {
    reader_.hold();
  } else {
    reader_.begin_body(facts.framing, false);
  }
  events.on_request(std::move(head_), !upgrade_asked_ && facts.framing.by == Framing::By::none);
}

void RequestCodec::next() noexcept {
  reader_.next_head();
  writer_.reset();
  method_ = Method::get;
  version_ = Version::http11;
  trailers_ok_ = upgrade_asked_ = false;
}

void RequestCodec::write_response(const http::ResponseHead& head, bool end, base::Buffer& out) {
  if (head.status == 101) {
    assert(reader_.state() == MessageReader::State::held);
    if (reader_.state() == MessageReader::State::held) open_tunnel(head, out);
    return;
  }
  if (head.informational()) {
    if (version_ != Version::http10) write_response_head(head, {}, {}, out);
    return;
  }
  if (reader_.state() == MessageReader::State::held) reader_.end();
  const bool known = head.body.kind == http::BodySize::Kind::known;
  BodyLine line;
  if (http::is_bodiless(method_, head.status)) {
    if (known && head.status != 204) line = {BodyLine::Kind::length, head.body.length};
    writer_.begin(end ? MessageWriter::State::done : MessageWriter::State::discard);
  } else if (known || end) {
    line = {BodyLine::Kind::length, known ? head.body.length : 0};
    writer_.begin(MessageWriter::State::length, line.length);
    if (end) writer_.close_piece(0, true, out);
  } else if (version_ == Version::http11) {
    line.kind = BodyLine::Kind::chunked;
    writer_.begin(MessageWriter::State::chunked);
  } else {
    keep_alive_ = false;
    writer_.begin(MessageWriter::State::raw);
  }
  ConnectionLine connection;
  connection.close = !keep_alive();
  connection.keep_alive = version_ == Version::http10;
  write_response_head(head, connection, line, out);
}

void RequestCodec::open_tunnel(const http::ResponseHead& head, base::Buffer& out) {
  ConnectionLine connection;
  connection.websocket = true;
  write_response_head(head, connection, {}, out);
  reader_.begin_tunnel();
  writer_.begin(MessageWriter::State::raw);
  keep_alive_ = false;
}

void RequestCodec::write_trailers(const http::Fields& trailers, base::Buffer& out) {
  writer_.write_trailers(trailers, trailers_ok_, out);
}

void RequestCodec::release() noexcept {
  reader_.release();
  base::renew(head_);
}

}  // namespace sallyport::http1
