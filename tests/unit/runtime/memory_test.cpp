// How much memory there is, read from trees that look like /proc and /sys, and the levels.
#include "memory.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "file_limit.hpp"

using sallyport::base::Pressure;
using sallyport::runtime::available_memory;
using sallyport::runtime::connections_for;
using sallyport::runtime::PressureGauge;
namespace fs = std::filesystem;

namespace {

class Tree {
 public:
  Tree() {
    std::string name = (fs::temp_directory_path() / "sallyport-memory-XXXXXX").string();
    root_ = mkdtemp(name.data());
    file("proc/meminfo", "MemFree: 5 kB\nMemTotal:       1000000 kB\n");
  }
  ~Tree() { fs::remove_all(root_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  Tree& file(const char* path, const char* text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
    return *this;
  }
  [[nodiscard]] std::uint64_t available() const { return available_memory(root_); }

 private:
  fs::path root_;
};

constexpr std::uint64_t kMachine = 1'024'000'000;

}  // namespace

TEST_CASE("without a control group the machine's memory is what there is") {
  CHECK(Tree().available() == kMachine);
  CHECK(Tree().file("proc/self/cgroup", "0::/user.slice\n").available() == kMachine);
  CHECK(available_memory("/nowhere") == 0);
  CHECK(available_memory() > 0);
}

TEST_CASE("the smallest limit of a version 2 group and those around it counts") {
  Tree tree;
  tree.file("proc/self/cgroup", "0::/system.slice/sallyport.service\n")
      .file("sys/fs/cgroup/system.slice/memory.max", "700000000\n")
      .file("sys/fs/cgroup/system.slice/sallyport.service/memory.max", "max\n");
  CHECK(tree.available() == 700'000'000);
  tree.file("sys/fs/cgroup/system.slice/sallyport.service/memory.max", "500000000\n");
  CHECK(tree.available() == 500'000'000);
  tree.file("sys/fs/cgroup/system.slice/memory.max", "max\n");
  CHECK(tree.available() == 500'000'000);
}

TEST_CASE("in a container, where the path is the host's, the files at the top count") {
  CHECK(Tree()
            .file("proc/self/cgroup", "0::/../../docker/abc\n")
            .file("sys/fs/cgroup/memory.max", "300000000\n")
            .available() == 300'000'000);
}

TEST_CASE("a version 1 group is read where the memory controller is") {
  Tree tree;
  tree.file("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:blkio,memory:/a/b\n1:name=systemd:/\n")
      .file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
      .file("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "400000000\n")
      .file("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(tree.available() == 400'000'000);
}

TEST_CASE("a level more begins at each step") {
  PressureGauge gauge;
  CHECK(gauge.update(1'000'000) == Pressure::none);  // no limit
  gauge.limit(1000);
  CHECK(gauge.update(849) == Pressure::none);
  CHECK(gauge.update(850) == Pressure::no_connections);
  CHECK(gauge.update(900) == Pressure::no_streams);
  CHECK(gauge.update(950) == Pressure::no_requests);
  CHECK(gauge.update(980) == Pressure::no_idle);
  CHECK(gauge.update(5000) == Pressure::no_idle);
}

TEST_CASE("a level ends some way below its begin, so that it does not come and go") {
  PressureGauge gauge;
  gauge.limit(1000);
  gauge.update(990);
  CHECK(gauge.update(930) == Pressure::no_idle);
  CHECK(gauge.update(929) == Pressure::no_requests);
  CHECK(gauge.update(940) == Pressure::no_requests);
  CHECK(gauge.update(899) == Pressure::no_streams);
  CHECK(gauge.update(849) == Pressure::no_connections);
  CHECK(gauge.update(800) == Pressure::no_connections);
  CHECK(gauge.update(799) == Pressure::none);
  CHECK(gauge.update(840) == Pressure::none);
}

TEST_CASE("an amount that cannot be read leaves the level as it is") {
  PressureGauge gauge;
  gauge.limit(1000);
  CHECK(gauge.update(0) == Pressure::none);
  gauge.update(960);
  CHECK(gauge.update(0) == Pressure::no_requests);
  gauge.limit(0);
  CHECK(gauge.update(0) == Pressure::none);
}

TEST_CASE("as many connections as open files leave a handle for the upstream of each") {
  CHECK(connections_for(1'048'576, 8, 2) > 500'000);
  CHECK(connections_for(1024, 2, 2) == 482);
  CHECK(connections_for(20, 2, 2) == 1);
}
