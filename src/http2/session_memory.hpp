// What nghttp2 allocates for one session, and the two blocks of it whose pages an idle session can do
// without: the frame buffer of 16 KiB, and in some versions a table of streams of 4 KiB.
//
// Owned by the codec, which outlives the session; one thread. The blocks keep their addresses, so nghttp2
// sees nothing of it: a page that was given back is there again, full of zeros, when it is next touched.
#pragma once

#include <cstddef>

#include <nghttp2/nghttp2.h>

namespace sallyport::http2 {

class SessionMemory {
 public:
  SessionMemory() = default;
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  // For nghttp2_session_*_new3(), which copies it.
  [[nodiscard]] nghttp2_mem functions() noexcept;
  // The session is made: the largest block that it took is its frame buffer.
  void opened() noexcept { opening_ = false; }
  // Gives back what nothing is lost with. Nothing may wait in the frame buffer: nghttp2 writes a frame
  // there when it is its turn, and wants to write until it has left.
  void rest() noexcept;

 private:
  struct Block {
    void* at = nullptr;
    std::size_t size = 0;
  };

  static SessionMemory& of(void* user) noexcept { return *static_cast<SessionMemory*>(user); }
  static void* allocate(std::size_t size, void* user);
  static void* allocate_zeros(std::size_t count, std::size_t size, void* user);
  static void* resize(void* at, std::size_t size, void* user);
  static void free(void* at, void* user);
  void forget(const void* at) noexcept;

  Block frame_;
  Block table_;  // the youngest that was asked for full of zeros
  bool opening_ = true;
};

}  // namespace sallyport::http2
