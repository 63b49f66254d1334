#include "sallyport/http1/message_writer.hpp"

#include <cassert>
#include <charconv>

#include "sallyport/http/semantics.hpp"

#include "head_writer.hpp"

namespace sallyport::http1 {

bool MessageWriter::open_piece(std::size_t n, base::Buffer& out) {
  refused_ = true;
  switch (state_) {
    case State::length:
      if (n > left_) {
        broken_ = true;
        return false;
      }
      left_ -= n;
      break;
    case State::chunked:
      if (n != 0) {
        constexpr std::size_t kSizeLine = 18;  // 16 digits and CRLF
        const std::span<char> line = out.prepare(kSizeLine);
        char* end = std::to_chars(line.data(), line.data() + 16, n, 16).ptr;
        *end++ = '\r';
        *end++ = '\n';
        out.commit(static_cast<std::size_t>(end - line.data()));
      }
      break;
    case State::raw:
      break;
    case State::discard:
      return false;
    case State::idle:
    case State::held:
    case State::done:
      assert(n == 0 && "a body where none may be");
      broken_ = broken_ || n != 0;
      return false;
  }
  refused_ = false;
  return true;
}

void MessageWriter::close_piece(std::size_t n, bool end, base::Buffer& out) {
  if (state_ == State::idle || state_ == State::held || state_ == State::done) {
    broken_ = broken_ || end;
    return;
  }
  if (state_ == State::chunked) {
    if (n != 0 && !refused_) out.append("\r\n");
    if (end) out.append("0\r\n\r\n");
  }
  if (!end) return;
  if (state_ == State::length && left_ != 0) broken_ = true;
  state_ = State::done;
}

void MessageWriter::write_trailers(const http::Fields& trailers, bool wanted, base::Buffer& out) {
  if (state_ != State::chunked) {
    close_piece(0, true, out);
    return;
  }
  out.append("0\r\n");
  if (wanted) {
    trailers.for_each([&](const http::Fields::Field& f) {
      if (!http::is_forbidden_trailer(f.name, f.id)) write_field(f.name, f.value, out);
    });
  }
  out.append("\r\n");
  state_ = State::done;
}

}  // namespace sallyport::http1
