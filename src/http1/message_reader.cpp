#include "sallyport/http1/message_reader.hpp"

#include "sallyport/base/renew.hpp"

namespace sallyport::http1 {

MessageReader::MessageReader(const Limits& limits, HeadParser::Kind kind, base::Fault fault) noexcept
    : limits_(limits), kind_(kind), fault_(fault) {
  next_head();
}

void MessageReader::next_head() noexcept {
  head_.begin(kind_, {limits_.head_bytes, limits_.field_bytes, limits_.target_bytes, limits_.fields});
  state_ = State::head;
  surplus_ = false;
}

void MessageReader::begin_body(const http::Framing& framing, bool more) noexcept {
  if (framing.by == http::Framing::By::none) return finish(more);
  body_.begin(framing);
  state_ = State::body;
}

void MessageReader::begin_tunnel() noexcept {
  body_.begin_tunnel();
  state_ = State::tunnel;
}

void MessageReader::fail(base::ErrorCode code, MessageEvents& events) {
  state_ = State::failed;
  base::Error error;
  error.code = code;
  error.fault = fault_;
  events.on_error(error);
}

std::size_t MessageReader::receive(std::span<const char> bytes, MessageEvents& events) {
  std::size_t used = 0;
  while (used < bytes.size() && !stopped_) {
    const std::span<const char> rest = bytes.subspan(used);
    if (state_ == State::trailers) return used + receive_trailers(rest, events);
    if (state_ != State::body && state_ != State::tunnel) return used;
    const BodyParser::Piece piece = body_.next(rest, limits_);
    used += piece.used;
    switch (piece.kind) {
      case BodyParser::Piece::Kind::more:
        return used;
      case BodyParser::Piece::Kind::failed:
        fail(base::ErrorCode::malformed, events);
        return used;
      case BodyParser::Piece::Kind::trailers:
        head_.begin(HeadParser::Kind::trailers,
                    {limits_.trailer_bytes, limits_.field_bytes, 0, limits_.trailers});
        state_ = State::trailers;
        break;
      case BodyParser::Piece::Kind::data:
        if (piece.end) finish(used < bytes.size());
        events.on_data(piece.data, piece.end);
        if (piece.end) return used;
        break;
    }
  }
  return used;
}

std::size_t MessageReader::receive_trailers(std::span<const char> bytes, MessageEvents& events) {
  switch (head_.parse(bytes)) {
    case HeadParser::Outcome::incomplete:
      return 0;
    case HeadParser::Outcome::failed:
      fail(head_.error(), events);
      return 0;
    case HeadParser::Outcome::complete:
      break;
  }
  const std::size_t used = head_.size();
  finish(used < bytes.size());
  trailers_.clear();
  if (head_.lines() != 0) {
    head_.fill(bytes, trailers_);
    http::strip_forbidden_trailers(trailers_);
  }
  if (trailers_.empty()) {
    events.on_data({}, true);
  } else {
    events.on_trailers(std::move(trailers_));
  }
  return used;
}

void MessageReader::receive_end_of_stream(MessageEvents& events) {
  switch (state_) {
    case State::head:
      if (head_.started()) fail(base::ErrorCode::closed, events);
      return;
    case State::trailers:
    case State::held:
      fail(base::ErrorCode::closed, events);
      return;
    case State::body:
    case State::tunnel:
      if (!body_.ends_with_stream()) {
        fail(base::ErrorCode::closed, events);
        return;
      }
      state_ = State::done;
      events.on_data({}, true);
      return;
    case State::done:
    case State::failed:
      return;
  }
}

void MessageReader::release() noexcept {
  head_.release();
  base::renew(trailers_);
}

}  // namespace sallyport::http1
