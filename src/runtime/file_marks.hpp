// What files are like, so that a change is told from a touch, and where in the file system such a change
// would show. Control thread; nothing here waits, but for the disk.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sallyport/base/siphash.hpp"
#include "sallyport/config/model.hpp"

namespace sallyport::runtime {

struct FileMark {
  // Of the file that the path leads to, through whatever links. Cheap to ask for; when they are the same, so
  // is the content.
  struct Stat {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t modified = 0, changed = 0;  // nanoseconds
    int error = 0;                           // errno: there is no such file now
    bool operator==(const Stat&) const = default;
  };
  Stat stat;
  base::Digest content;
  int error = 0;  // errno of reading it
};
using FileMarks = std::map<std::string, FileMark>;  // by path

class FileMarker {
 public:
  FileMarker() : hash_(base::SipHash::random_key()) {}
  // Reads a file only if it is not as it was in `before`.
  [[nodiscard]] FileMarks look(const std::vector<std::string>& files, const FileMarks& before) const;

 private:
  [[nodiscard]] FileMark mark(const std::string& file) const;
  base::SipHash hash_;
};

// Whether the same files hold the same, however often they were written.
[[nodiscard]] bool same_content(const FileMarks& a, const FileMarks& b) noexcept;

// The config file and all that it names, as absolute paths, sorted.
[[nodiscard]] std::vector<std::string> files_of(const config::Model& model,
                                                const std::filesystem::path& config);

// Directories and the names in them at which one of the files may become another: where it is itself, each
// symbolic link on the way to it (Kubernetes: the file, then ..data), and what is missing of the way.
using Places = std::map<std::string, std::set<std::string, std::less<>>>;
[[nodiscard]] Places places_of(const std::vector<std::string>& files);

}  // namespace sallyport::runtime
