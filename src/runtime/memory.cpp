#include "memory.hpp"

#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>
#include <unistd.h>

namespace sallyport::runtime {

namespace {

using std::filesystem::path;

// A file that holds one number; 0 for "max", for none and for what is no number.
std::uint64_t number_in(const path& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  return in >> value ? value : 0;
}

std::uint64_t smaller_limit(std::uint64_t a, std::uint64_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

// The limits of a group and of all that it is in. In a container the path may be the host's and
// lead nowhere; then the group's own files stand at the top.
std::uint64_t group_limit(const path& top, std::string_view group, const char* file) {
  std::uint64_t limit = number_in(top / file);
  path at = top;
  for (const path& part : path(group).relative_path()) {
    at /= part;
    limit = smaller_limit(limit, number_in(at / file));
  }
  return limit;
}

bool lists_memory(std::string_view controllers) {
  while (!controllers.empty()) {
    const std::size_t comma = controllers.find(',');
    if (controllers.substr(0, comma) == "memory") return true;
    if (comma == std::string_view::npos) return false;
    controllers.remove_prefix(comma + 1);
  }
  return false;
}

// Lines of /proc/self/cgroup: "0::/a/b" (v2), "4:memory:/a/b" (v1); see cgroups(7).
std::uint64_t control_group_memory(const path& root) {
  std::uint64_t limit = 0;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const std::string_view group = std::string_view(line).substr(second + 1);
    if (controllers.empty()) {
      limit = smaller_limit(limit, group_limit(root / "sys/fs/cgroup", group, "memory.max"));
    } else if (lists_memory(controllers)) {
      limit =
          smaller_limit(limit, group_limit(root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
    }
  }
  return limit;
}

std::uint64_t machine_memory(const path& root) {
  std::ifstream in(root / "proc/meminfo");
  std::string key;
  std::uint64_t kilobytes = 0;
  while (in >> key) {
    if (key == "MemTotal:" && in >> kilobytes) return kilobytes * 1024;
    std::getline(in, key);
  }
  return 0;
}

}  // namespace

std::uint64_t available_memory(const path& root) {
  // A v1 group without a limit says a number near 2^63: the machine's own is smaller.
  return smaller_limit(control_group_memory(root), machine_memory(root));
}

std::uint64_t resident_memory() {
  std::ifstream in("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  if (!(in >> size >> resident)) return 0;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

base::Pressure PressureGauge::at(std::uint64_t resident) const noexcept {
  auto level = base::Pressure::none;
  if (limit_ == 0) return level;
  if (resident == 0) return level_;
  const std::uint64_t percent = resident * 100 / limit_;
  for (std::size_t i = 0; i < std::size(kBegin); ++i) {
    const auto step = static_cast<base::Pressure>(i + 1);
    const std::uint32_t begin = level_ >= step ? kBegin[i] - kReturn : kBegin[i];
    if (percent >= begin) level = step;
  }
  return level;
}

base::Pressure PressureGauge::update(std::uint64_t resident) noexcept {
  return level_ = at(resident);
}

}  // namespace sallyport::runtime
