#include "file_marks.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/scope_guard.hpp"

namespace sallyport::runtime {

namespace {

// No file of certificates or configuration is as large; of one that is, the rest counts by its dates.
constexpr std::size_t kMostBytes = 8 * 1024 * 1024;
// Some ticks, of 4 ms mostly.
constexpr base::Milliseconds kTooFresh{100};
// As many as the kernel follows.
constexpr int kMostLinks = 40;

FileMark::Stat stat_of(const struct stat& info) {
  const auto nanoseconds = [](const timespec& t) {
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  };
  FileMark::Stat made;
  made.device = info.st_dev;
  made.inode = info.st_ino;
  made.size = static_cast<std::uint64_t>(info.st_size);
  made.modified = nanoseconds(info.st_mtim);
  made.changed = nanoseconds(info.st_ctim);
  return made;
}

FileMark::Stat stat_at(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) == 0) return stat_of(info);
  FileMark::Stat missing;
  missing.error = errno;
  return missing;
}

// 0 or errno.
int read_all(int fd, std::string& bytes) {
  std::array<char, 16 * 1024> block;
  while (bytes.size() < kMostBytes) {
    const ssize_t n = ::read(fd, block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) break;
    bytes.append(block.data(), static_cast<std::size_t>(n));
  }
  return 0;
}

// The way to one file, component by component, as the kernel goes it.
class Way {
 public:
  explicit Way(const std::string& file) { push_front(file); }

  void go(Places& places) {
    while (!ahead_.empty()) {
      const std::string name = std::move(ahead_.front());
      ahead_.pop_front();
      if (name == "..") {
        if (!at_.empty()) at_.erase(at_.rfind('/'));
      } else if (!step(name, places)) {
        return;
      }
    }
  }

 private:
  void push_front(const std::filesystem::path& path) {
    std::vector<std::string> names;
    for (const auto& part : path.relative_path()) {
      if (!part.empty() && part != ".") names.push_back(part.string());
    }
    ahead_.insert(ahead_.begin(), names.begin(), names.end());
  }

  // False: the way ends here.
  bool step(const std::string& name, Places& places) {
    const std::string directory = at_.empty() ? "/" : at_;
    const std::string full = at_ + "/" + name;
    struct stat info {};
    const bool there = ::lstat(full.c_str(), &info) == 0;
    if (there && S_ISDIR(info.st_mode) && !ahead_.empty()) {
      at_ = full;
      return true;
    }
    places[directory].insert(name);
    if (!there || !S_ISLNK(info.st_mode) || ++links_ > kMostLinks) return false;
    std::error_code failed;
    const std::filesystem::path target = std::filesystem::read_symlink(full, failed);
    if (failed) return false;
    if (target.is_absolute()) at_.clear();
    push_front(target);
    return true;
  }

  std::string at_;  // a directory without links on its way; empty: the root
  std::deque<std::string> ahead_;
  int links_ = 0;
};

}  // namespace

FileMark FileMarker::mark(const std::string& file) const {
  FileMark made;
  // O_NONBLOCK: a fifo in the place of a file must not stop the control loop.
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    made.error = errno;
    made.stat = stat_at(file);
    return made;
  }
  const base::ScopeGuard close_file([fd] { ::close(fd); });
  struct stat info {};
  if (::fstat(fd, &info) == 0) made.stat = stat_of(info);  // before it is read: what changes meanwhile shows
  if (!S_ISREG(info.st_mode)) {
    made.error = EINVAL;
    return made;
  }
  std::string bytes;
  made.error = read_all(fd, bytes);
  made.content = hash_(bytes);
  // Its dates count in ticks of the kernel: a change within this one would not show, so it is read again.
  const auto age = base::WallClock::now().time_since_epoch() - std::chrono::nanoseconds(made.stat.changed);
  if (age < kTooFresh) made.stat = {};
  return made;
}

FileMarks FileMarker::look(const std::vector<std::string>& files, const FileMarks& before) const {
  FileMarks marks;
  for (const std::string& file : files) {
    const auto known = before.find(file);
    if (known != before.end() && known->second.stat == stat_at(file)) {
      marks.insert(*known);
    } else {
      marks.emplace(file, mark(file));
    }
  }
  return marks;
}

bool same_content(const FileMarks& a, const FileMarks& b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.content == y.second.content && x.second.error == y.second.error;
  });
}

std::vector<std::string> files_of(const config::Model& model, const std::filesystem::path& config) {
  std::vector<std::string> files;
  const auto add = [&files](const std::filesystem::path& file) {
    std::error_code failed;
    std::filesystem::path whole = std::filesystem::absolute(file, failed);
    if (!file.empty() && !failed) files.push_back(whole.string());
  };
  const auto add_certificate = [&add](const config::Certificate& certificate) {
    add(certificate.chain);
    add(certificate.key);
    add(certificate.ocsp);
  };
  add(config);
  add(model.tls.intermediates);
  add(model.tls.roots);
  for (const config::TlsPolicy& policy : model.tls.policies) {
    add(policy.client_auth.ca);
    for (const auto& crl : policy.client_auth.crls) add(crl);
  }
  for (const config::Host& host : model.hosts) {
    for (const config::Certificate& certificate : host.certificates) add_certificate(certificate);
    add(host.origin_pull.ca);
  }
  for (const config::Upstream& upstream : model.upstreams) {
    if (!upstream.tls) continue;
    add(upstream.tls->ca);
    if (upstream.tls->certificate) add_certificate(*upstream.tls->certificate);
  }
  for (const config::AddressSet& set : model.address_sets) {
    for (const auto& file : set.files) add(file);
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

Places places_of(const std::vector<std::string>& files) {
  Places places;
  for (const std::string& file : files) Way(file).go(places);
  return places;
}

}  // namespace sallyport::runtime
