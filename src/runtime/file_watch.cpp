#include "file_watch.hpp"

#include <algorithm>
#include <utility>

namespace sallyport::runtime {

namespace {
// Who writes without a pause is not waited for forever, nor is the other half of a pair.
constexpr int kPatience = 10;
constexpr base::Milliseconds kMostPatience{60'000};

base::Milliseconds patience_of(const config::Watch& how) {
  return std::max(how.settle, std::min(how.settle * kPatience, kMostPatience));
}
}  // namespace

FileWatch::FileWatch(boost::asio::io_context& io, Reload reload, Limited limited)
    : reload_(std::move(reload)),
      limited_(std::move(limited)),
      inotify_(io, [this] { changed(); }),
      settle_(io),
      poll_(io),
      patience_(io),
      anchor_(*this) {}

void FileWatch::set(boost::asio::steady_timer& timer, base::Duration wait, void (FileWatch::*then)()) {
  timer.expires_after(wait);
  timer.async_wait([self = anchor_.ref(), then](const boost::system::error_code& ec) {
    FileWatch* watch = self.get();
    if (!ec && watch != nullptr && watch->on_) (watch->*then)();
  });
}

void FileWatch::watch(const config::Watch& how, FileMarks loaded) {
  if (!how.enabled) return off();
  on_ = true;
  how_ = how;
  marks_ = std::move(loaded);
  waiting_ = false;
  patience_.cancel();
  follow();
  set(poll_, how_.poll, &FileWatch::poll);
  // What changed while it was loaded, before the kernel was asked to tell.
  if (!same_content(look(), marks_)) changed();
}

void FileWatch::tried(const FileMarks& loaded) {
  if (!on_) return;
  // Also files that only the configuration that failed names: it may be for one of them that it did.
  for (const auto& [file, mark] : loaded) marks_[file] = mark;
  follow();
  if (!same_content(look(), marks_)) changed();
}

void FileWatch::off() {
  on_ = false;
  waiting_ = false;
  restless_.reset();
  inotify_.off();
  for (auto* timer : {&settle_, &poll_, &patience_}) timer->cancel();
  marks_.clear();
}

// Links may lead elsewhere than before.
void FileWatch::follow() {
  std::vector<std::string> files;
  for (const auto& [file, mark] : marks_) files.push_back(file);
  const int error = inotify_.watch(places_of(files));
  if (error != 0 && !std::exchange(told_limited_, true)) limited_(error);
  if (error == 0) told_limited_ = false;
}

FileMarks FileWatch::look() const {
  std::vector<std::string> files;
  for (const auto& [file, mark] : marks_) files.push_back(file);
  return marker_.look(files, marks_);
}

void FileWatch::changed() {
  const base::Instant now = base::Clock::now();
  if (!restless_) restless_ = now;
  const base::Duration left = *restless_ + patience_of(how_) - now;
  set(settle_, std::clamp<base::Duration>(left, base::Duration::zero(), how_.settle), &FileWatch::settled);
}

void FileWatch::settled() {
  restless_.reset();
  follow();  // before looking: what comes in between is told
  FileMarks fresh = look();
  const bool same = same_content(fresh, marks_);
  marks_ = std::move(fresh);
  if (!same) attempt();
}

void FileWatch::attempt() {
  if (reload_(false)) return;
  if (!std::exchange(waiting_, true)) set(patience_, patience_of(how_), &FileWatch::give_up);
}

void FileWatch::give_up() {
  if (!std::exchange(waiting_, false)) return;
  marks_ = look();
  static_cast<void>(reload_(true));
}

void FileWatch::poll() {
  set(poll_, how_.poll, &FileWatch::poll);
  if (restless_) return;
  FileMarks fresh = look();
  if (same_content(fresh, marks_)) {
    marks_ = std::move(fresh);
  } else {
    changed();
  }
}

}  // namespace sallyport::runtime
