// Runs committed inputs through the fuzz targets without a fuzzing engine: what one of them found
// once is tested with every build, by every compiler and sanitizer.
//
//   fuzz_replay CORPUS     CORPUS/<target>/* each; a target without inputs, or a folder without
//                          a target, is a failure
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "targets.hpp"

namespace {

namespace fs = std::filesystem;

const FuzzTarget* find(std::string_view name) {
  const auto* at = std::find_if(std::begin(kFuzzTargets), std::end(kFuzzTargets),
                                [name](const FuzzTarget& target) { return target.name == name; });
  return at == std::end(kFuzzTargets) ? nullptr : at;
}

// How many inputs there were.
std::size_t replay(const FuzzTarget& target, const fs::path& folder) {
  std::size_t count = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    std::printf("%s\n", entry.path().c_str());
    std::fflush(stdout);  // the last line names the culprit
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    std::vector<std::uint8_t> input(bytes.begin(), bytes.end());
    input.shrink_to_fit();  // so that a sanitizer sees the first byte that is read behind it
    static_cast<void>(target.run(input.data(), input.size()));
    ++count;
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: fuzz_replay CORPUS\n", stderr);
    return 2;
  }
  const fs::path corpus = argv[1];
  bool complete = true;
  for (const FuzzTarget& target : kFuzzTargets) {
    const fs::path folder = corpus / target.name;
    if (fs::is_directory(folder) && replay(target, folder) != 0) continue;
    std::printf("no input for the target %s\n", target.name);
    complete = false;
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(corpus)) {
    if (find(entry.path().filename().native()) != nullptr) continue;
    std::printf("no target for %s\n", entry.path().c_str());
    complete = false;
  }
  return complete ? 0 : 1;
}
