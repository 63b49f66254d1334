#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>

#include "families.hpp"

namespace sallyport::obs {

namespace {

// A field of /proc/self/stat by its number in proc(5); 0 if it cannot be read.
double stat_field(int number) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  // Field 2 is the program's name in parentheses and may hold blanks.
  std::size_t at = text.rfind(')');
  if (at == std::string::npos) return 0;
  for (int i = 2; i < number && at != std::string::npos; ++i) at = text.find(' ', at + 1);
  if (at == std::string::npos) return 0;
  double value = 0;
  std::from_chars(text.data() + at + 1, text.data() + text.size(), value);
  return value;
}

double ticks_a_second() {
  return static_cast<double>(sysconf(_SC_CLK_TCK));
}

double boot_time() {
  std::ifstream file("/proc/stat");
  std::string key;
  double value = 0;
  while (file >> key) {
    if (key == "btime" && file >> value) return value;
    std::getline(file, key);
  }
  return 0;
}

double open_descriptors() {
  std::error_code error;
  double n = 0;
  std::filesystem::directory_iterator it("/proc/self/fd", error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) ++n;
  return n > 0 ? n - 1 : 0;  // without the one that reads the directory
}

double descriptor_limit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

}  // namespace

void add_process_families(Registry& registry) {
  const auto add = [&registry](Kind kind, const char* name, const char* help, std::function<double()> read) {
    registry.pull(registry.add_family(kind, {name, help, {}}), {}, std::move(read));
  };
  add(Kind::counter, "process_cpu_seconds_total", "User and system CPU time spent.",
      [] { return (stat_field(14) + stat_field(15)) / ticks_a_second(); });
  add(Kind::gauge, "process_resident_memory_bytes", "Resident memory.",
      [] { return stat_field(24) * static_cast<double>(sysconf(_SC_PAGESIZE)); });
  add(Kind::gauge, "process_virtual_memory_bytes", "Virtual memory.", [] { return stat_field(23); });
  add(Kind::gauge, "process_threads", "Threads.", [] { return stat_field(20); });
  add(Kind::gauge, "process_open_fds", "Open file descriptors.", open_descriptors);
  add(Kind::gauge, "process_max_fds", "Limit of open file descriptors.", descriptor_limit);
  const double started = boot_time() + stat_field(22) / ticks_a_second();
  add(Kind::gauge, "process_start_time_seconds", "When the process started, since the epoch.",
      [started] { return started; });
}

}  // namespace sallyport::obs
