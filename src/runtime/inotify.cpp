#include "inotify.hpp"

#include <cerrno>
#include <cstring>
#include <string_view>
#include <sys/inotify.h>
#include <utility>

#include <boost/asio/buffer.hpp>

namespace sallyport::runtime {

namespace {
// Whole writes only: IN_MODIFY would wake us for each line of a log in the same directory.
constexpr std::uint32_t kEvents = IN_CREATE | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |
                                  IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr std::uint32_t kOfItself = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_Q_OVERFLOW | IN_UNMOUNT;
}  // namespace

Inotify::Inotify(boost::asio::io_context& io, std::function<void()> on_event)
    : on_event_(std::move(on_event)), descriptor_(io), anchor_(*this) {}

int Inotify::open() {
  if (descriptor_.is_open()) return 0;
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return errno;
  boost::system::error_code failed;
  descriptor_.assign(fd, failed);
  if (failed) return failed.value();
  ++opened_;
  read();
  return 0;
}

int Inotify::watch(const Places& places) {
  if (const int error = open(); error != 0) return error;
  int worst = 0;
  std::map<int, std::set<std::string, std::less<>>> fresh;
  for (const auto& [directory, names] : places) {
    // The same directory has the same number again.
    const int number = ::inotify_add_watch(descriptor_.native_handle(), directory.c_str(), kEvents);
    if (number >= 0) {
      fresh[number].insert(names.begin(), names.end());
    } else if (errno == ENOSPC || errno == ENOMEM) {
      worst = errno;
    }
  }
  for (const auto& [number, names] : names_) {
    if (!fresh.contains(number)) ::inotify_rm_watch(descriptor_.native_handle(), number);
  }
  names_ = std::move(fresh);
  return worst;
}

void Inotify::off() {
  boost::system::error_code ignored;
  descriptor_.close(ignored);
  names_.clear();
}

void Inotify::read() {
  descriptor_.async_read_some(
      boost::asio::buffer(buffer_),
      [self = anchor_.ref(), opened = opened_](const boost::system::error_code& ec, std::size_t bytes) {
        Inotify* inotify = self.get();
        if (ec || inotify == nullptr || inotify->opened_ != opened) return;
        inotify->take(bytes);
        inotify->read();
      });
}

void Inotify::take(std::size_t bytes) {
  bool ours = false;
  for (std::size_t at = 0; at + sizeof(inotify_event) <= bytes;) {
    inotify_event event{};
    std::memcpy(&event, buffer_.data() + at, sizeof event);
    const char* text = buffer_.data() + at + sizeof event;
    const std::string_view name(text, ::strnlen(text, event.len));
    at += sizeof event + event.len;
    const auto watched = names_.find(event.wd);
    ours = ours || (event.mask & IN_Q_OVERFLOW) != 0 ||
           (watched != names_.end() && ((event.mask & kOfItself) != 0 || watched->second.contains(name)));
    if ((event.mask & IN_IGNORED) != 0 && watched != names_.end()) names_.erase(watched);
  }
  if (ours) on_event_();
}

}  // namespace sallyport::runtime
