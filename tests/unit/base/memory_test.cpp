// What is freed goes back to the kernel at once when that is wanted, also where neighbours stay in use; what
// lives together lies together.
#include "sallyport/base/memory.hpp"

#include <array>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <vector>

#include "catch.hpp"

using sallyport::base::return_pages;

TEST_CASE("pages wholly within a block are given back, and what lies beside them is not") {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<char> block(4 * page, 'x');
  const auto at = reinterpret_cast<std::uintptr_t>(block.data());
  char* const first = block.data() + ((page - at % page) % page);  // of a page
  return_pages(first + 1, 2 * page);
  CHECK(std::string_view(first, page) == std::string(page, 'x'));
  CHECK(std::string_view(first + page, page) == std::string(page, '\0'));
  CHECK(first[2 * page] == 'x');
  return_pages(first + 1, page);  // none
  CHECK(first[page - 1] == 'x');
}

// The C library's heap ends where the last block is in use, and a sanitizer's keeps what was freed.
#ifdef SALLYPORT_MIMALLOC

namespace {

using sallyport::base::Apart;
using sallyport::base::Pages;
using sallyport::base::return_free_memory;
using sallyport::base::ReturnAtOnce;

constexpr std::size_t kMiB = 1024 * 1024;
constexpr std::size_t kBlock = 512;
constexpr std::size_t kBlocks = 64 * kMiB / kBlock;
constexpr std::size_t kKept = 4096;  // one of so many: a page of each 2 MiB stays in use
constexpr std::size_t kSlack = 8 * kMiB;

std::size_t resident() {
  std::size_t size = 0, pages = 0;
  std::ifstream("/proc/self/statm") >> size >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

using Blocks = std::vector<std::unique_ptr<char[]>>;

Blocks many_blocks() {
  Blocks blocks(kBlocks);
  for (auto& block : blocks) block = std::make_unique<char[]>(kBlock);
  return blocks;
}

void free_most(Blocks& blocks) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (i % kKept != 0) blocks[i].reset();
  }
}

}  // namespace

TEST_CASE("what is freed within a scope is given back, scopes within it or not") {
  const std::size_t before = resident();
  Blocks blocks = many_blocks();
  {
    const ReturnAtOnce outer;
    { const ReturnAtOnce inner; }
    free_most(blocks);
    return_free_memory();  // later versions do so only here
    CHECK(resident() <= before + kSlack);
  }
}

TEST_CASE("what is freed of pages apart leaves nothing behind, whoever took memory in between") {
  const std::size_t before = resident();
  Blocks dying(kBlocks), staying(kBlocks / kKept);
  for (std::size_t i = 0; i < dying.size(); ++i) {
    {
      const Apart apart(Pages::odd);
      dying[i] = std::make_unique<char[]>(kBlock);
    }
    if (i % kKept == 0) staying[i / kKept] = std::make_unique<char[]>(kBlock);
  }
  REQUIRE(resident() >= before + kBlocks * kBlock / 2);
  std::thread([&dying] { dying.clear(); }).join();
  return_free_memory();
  CHECK(resident() <= before + 2 * kMiB);
}

TEST_CASE("of two scopes the inner one says where memory comes from, the outer one after it") {
  const auto neighbours = [](const void* a, const void* b) {
    constexpr auto page = 64 * 1024;
    return reinterpret_cast<std::uintptr_t>(a) / page == reinterpret_cast<std::uintptr_t>(b) / page;
  };
  const auto one = [] { return std::make_unique<std::array<char, 3000>>(); };
  const auto common = one();
  const Apart outer(Pages::even);
  const auto first = one();
  CHECK_FALSE(neighbours(common.get(), first.get()));
  {
    const Apart inner(Pages::common);
    CHECK_FALSE(neighbours(one().get(), first.get()));
  }
  CHECK(neighbours(one().get(), first.get()));
}

#endif
