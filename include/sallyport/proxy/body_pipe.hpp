// Carries one direction's body from the stream it arrives on to the stream it leaves by.
//
// Part of an exchange, on its worker. Nothing but calls: no coroutine and no allocation per
// piece. What arrives before there is somewhere to send it waits here, bounded by the source's
// receive window, for credit goes back to the source only when the sink's bytes have left. The
// first kKeep bytes are kept for a retry until the body grows past them or keep(false).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "sallyport/base/buffer.hpp"
#include "sallyport/http/stream.hpp"

namespace sallyport::proxy {

class BodyPipe {
 public:
  // A body of up to so many bytes can be sent again.
  static constexpr std::size_t kKeep = 16 * 1024;

  // nullptr: no longer there; its credit is not given back.
  void source(http::Stream* stream) noexcept { source_ = stream; }
  // Passes on what waited here. nullptr disconnects.
  void connect(http::Stream* sink);
  // Another message takes the place of the one whose first part came: none of that may be in it. It is sent
  // once.
  void restart() noexcept;
  // After a failed try: what was sent is to be sent again. Only if replayable().
  void rewind();
  [[nodiscard]] bool replayable() const noexcept { return sink_ == nullptr || kept_whole_; }
  void keep(bool on) noexcept;

  void on_data(std::span<const char> bytes, bool end);
  void on_trailers(http::Fields&& trailers);
  void on_sent(std::size_t n);

  [[nodiscard]] std::uint64_t bytes() const noexcept { return received_; }
  // By the present sink, for its connection.
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
  // The present sink holds bytes that its connection has not taken.
  [[nodiscard]] bool waits() const noexcept { return sink_ != nullptr && sent_ < received_; }
  // The message's end has arrived.
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  // … and everything was passed to the sink.
  [[nodiscard]] bool passed() const noexcept { return ended_ && sink_ != nullptr; }
  // … and has left the sink's buffer.
  [[nodiscard]] bool delivered() const noexcept { return ended_ && sent_ >= received_; }
  // The head already said that there is no body.
  void end_without_body() noexcept { ended_ = headless_end_ = true; }

 private:
  void pass_end();

  http::Stream* source_ = nullptr;
  http::Stream* sink_ = nullptr;
  base::Buffer waiting_;  // arrived while there was no sink
  base::Buffer kept_;     // copy of all that the sink was given, while it is short
  std::optional<http::Fields> trailers_;
  std::uint64_t received_ = 0;
  std::uint64_t sent_ = 0;      // by the present sink
  std::uint64_t credited_ = 0;  // given back to the source
  bool kept_whole_ = true;
  bool ended_ = false;
  bool headless_end_ = false;
};

}  // namespace sallyport::proxy
