// Where the access log's bytes go: a file, a pipe or standard output, and never for longer than
// the owner agrees to wait.
//
// Owned by the access log's writer, one thread. A regular file is written with writev(); to what
// may block (a pipe, a terminal, journald's socket) no more is written at once than poll() has
// promised room for, so that a reader that stalls cannot hold up the end of the process.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <sys/uio.h>

namespace sallyport::obs {

class LineSink {
 public:
  // Throws std::system_error. "off" makes a sink that is closed.
  [[nodiscard]] static LineSink open(const std::string& path);
  LineSink() noexcept = default;
  LineSink(LineSink&& other) noexcept;
  LineSink& operator=(LineSink&& other) noexcept;
  ~LineSink();

  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

  struct Outcome {
    int error = 0;               // errno; ECANCELED if give_up said so
    std::size_t lines_lost = 0;  // what of the pieces was not written, by line ends
  };
  // Writes whole lines. `give_up` is asked now and then while the sink takes nothing. The pieces
  // are moved along.
  Outcome write(std::span<iovec> pieces, const std::function<bool()>& give_up) noexcept;

 private:
  enum class Type { regular, socket, stream };
  LineSink(int fd, bool owned);
  ssize_t write_some(std::span<iovec> pieces) const noexcept;

  int fd_ = -1;
  bool owned_ = false;
  Type type_ = Type::regular;
  bool torn_ = false;  // the last write ended within a line
};

}  // namespace sallyport::obs
