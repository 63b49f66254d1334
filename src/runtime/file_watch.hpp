// Reloads without a signal: looks after the config file and every file that it names, and has them taken
// once they have settled and hold something new.
//
// Owned by the Server, on the control thread. A change comes in pieces (a certificate, then its key): what
// does not fit together is not a mistake at once. It is tried again when more has come, and told as rejected
// only when nothing came for ten times the settling time. The kernel tells of changes (inotify, through
// symbolic links); besides, the files are looked at every `poll`, for file systems that do not tell.
#pragma once

#include <functional>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "sallyport/base/clock.hpp"
#include "sallyport/net/anchor.hpp"

#include "file_marks.hpp"
#include "inotify.hpp"

namespace sallyport::runtime {

class FileWatch {
 public:
  // Reload from what the files hold now. True: taken, and watch() was called. `last`: if it fails, say so;
  // else it may be half of a change.
  using Reload = std::function<bool(bool last)>;
  // The kernel does not tell (errno): from now on the files are polled alone.
  using Limited = std::function<void(int error)>;

  FileWatch(boost::asio::io_context& io, Reload reload, Limited limited);

  [[nodiscard]] const FileMarker& marker() const noexcept { return marker_; }
  [[nodiscard]] const FileMarks& marks() const noexcept { return marks_; }

  // After a load that was taken: `loaded` is what the files were like before they were read.
  void watch(const config::Watch& how, FileMarks loaded);
  // After one that was not: what was tried need not be tried again by itself.
  void tried(const FileMarks& loaded);
  void off();

 private:
  void changed();
  void settled();
  void attempt();
  void give_up();
  void poll();
  void follow();
  [[nodiscard]] FileMarks look() const;
  // Calls `then` after a while, unless it is set again or we are off.
  void set(boost::asio::steady_timer& timer, base::Duration wait, void (FileWatch::*then)());

  Reload reload_;
  Limited limited_;
  config::Watch how_;
  FileMarker marker_;
  FileMarks marks_;  // of what was last tried or taken
  Inotify inotify_;
  boost::asio::steady_timer settle_, poll_, patience_;
  std::optional<base::Instant> restless_;  // since when changes come without a pause
  bool waiting_ = false;                   // for the other half
  bool told_limited_ = false;
  bool on_ = false;
  net::Anchor<FileWatch> anchor_;
};

}  // namespace sallyport::runtime
