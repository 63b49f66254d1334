// The sending half that both codecs share: a body's framing, written from events.
//
// Part of the codecs (codec.hpp). Nothing of a received Content-Length or Transfer-Encoding is
// ever copied, so a smuggled length cannot pass; a body cannot outgrow the length that its head
// announced. One connection, one thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sallyport/base/buffer.hpp"
#include "sallyport/http/fields.hpp"

namespace sallyport::http1 {

class MessageWriter {
 public:
  enum class State : std::uint8_t {
    idle,     // no head yet
    discard,  // a bodiless message that is not ended yet
    length,
    chunked,
    raw,   // until close, and tunnels
    held,  // an upgrade was asked for and not answered yet
    done,
  };

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool done() const noexcept { return state_ == State::done; }
  // The body did not keep to its announced length: the connection must not carry another message.
  [[nodiscard]] bool broken() const noexcept { return broken_; }

  void begin(State state, std::uint64_t length = 0) noexcept {
    state_ = state;
    left_ = length;
  }
  void reset() noexcept { *this = {}; }

  [[nodiscard]] bool open_piece(std::size_t n, base::Buffer& out);
  void close_piece(std::size_t n, bool end, base::Buffer& out);
  // Ends the message; the fields are written if it is chunked and `wanted`.
  void write_trailers(const http::Fields& trailers, bool wanted, base::Buffer& out);

 private:
  std::uint64_t left_ = 0;
  State state_ = State::idle;
  bool broken_ = false;
  bool refused_ = false;  // the open piece
};

}  // namespace sallyport::http1
