// The kernel's word that something happened to a name in a directory (inotify). Owned by FileWatch, on
// the control loop. Not every file system tells, and watches may run out: who relies on it polls too.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "sallyport/net/anchor.hpp"

#include "file_marks.hpp"

namespace sallyport::runtime {

class Inotify {
 public:
  Inotify(boost::asio::io_context& io, std::function<void()> on_event);

  // These names and no others from now on. 0, or why the kernel will not tell of all of them (errno).
  [[nodiscard]] int watch(const Places& places);
  void off();

 private:
  [[nodiscard]] int open();
  void read();
  void take(std::size_t bytes);

  std::function<void()> on_event_;
  boost::asio::posix::stream_descriptor descriptor_;
  std::map<int, std::set<std::string, std::less<>>> names_;  // by watch
  alignas(8) std::array<char, 16 * 1024> buffer_{};
  std::uint64_t opened_ = 0;  // so many times: what was read before is of another
  net::Anchor<Inotify> anchor_;
};

}  // namespace sallyport::runtime
