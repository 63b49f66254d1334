#include "file_limit.hpp"

#include <algorithm>
#include <limits>
#include <sys/resource.h>

namespace sallyport::runtime {

namespace {
// Logs, the admin endpoint and its scrapers, signals, the files that a reload reads.
constexpr std::uint64_t kForProcess = 48;
// epoll, event and timer descriptors of a loop.
constexpr std::uint64_t kForWorker = 4;
}  // namespace

std::uint64_t raise_file_limit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit wanted{limit.rlim_max, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) limit = wanted;
  }
  return limit.rlim_cur;
}

std::uint32_t connections_for(std::uint64_t files, std::size_t workers, std::size_t listeners) noexcept {
  const std::uint64_t own = kForProcess + workers * (kForWorker + listeners);
  const std::uint64_t pairs = files > own ? (files - own) / 2 : 0;
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(pairs, 1, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace sallyport::runtime
