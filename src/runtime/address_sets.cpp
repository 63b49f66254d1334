#include "sallyport/runtime/address_sets.hpp"

#include <fstream>
#include <iterator>
#include <utility>

#include "sallyport/net/block_list.hpp"

namespace sallyport::runtime {

namespace {

// Cloudflare's lists are under a kilobyte.
constexpr std::size_t kMaxFile = 4 * 1024 * 1024;

boost::system::result<std::vector<net::Cidr>, std::string> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::string("it cannot be read");
  std::string text(kMaxFile + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return std::string("it cannot be read");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMaxFile) return std::string("it is larger than 4 MiB");
  return net::parse_block_list(text);
}

std::vector<net::Cidr> written(const config::AddressSet& set) {
  std::vector<net::Cidr> blocks;
  for (const std::string& text : set.ranges) {
    if (const auto block = net::Cidr::parse(text); block.has_value()) blocks.push_back(*block);
  }
  return blocks;
}

bool is_built_in(const config::AddressSet& set) {
  return set.name == config::kCloudflare && set.ranges.empty();
}

}  // namespace

void AddressSetFiles::read(const config::AddressSet& set, Kept& kept, base::WallTime now,
                           std::vector<config::Problem>& problems) {
  const auto warn = [&](const std::string& what) {
    problems.push_back({config::Problem::Severity::warning, set.origin,
                        "address set " + set.name + ": " + what + "; what was good before stays in force"});
  };
  std::vector<net::Cidr> blocks = written(set);
  for (const std::filesystem::path& file : set.files) {
    const auto listed = read_file(file);
    if (listed.has_error()) return warn(file.string() + ": " + listed.error());
    blocks.insert(blocks.end(), listed->begin(), listed->end());
  }
  if (set.files.empty() && is_built_in(set)) blocks = net::cloudflare_blocks();
  // The first list of Cloudflare's is held against the one that is built in.
  const bool first = kept.set == nullptr;
  const std::size_t before = !first             ? kept.blocks.size()
                             : is_built_in(set) ? net::cloudflare_blocks().size()
                                                : 0;
  if (!set.files.empty() && blocks.size() * 2 < before) {
    return warn(
        "its files hold " + std::to_string(blocks.size()) + " address ranges and held " +
        std::to_string(before) + ": less than half is taken for a mistake, " +
        (is_built_in(set) ? "give them as ranges if it is none" : "a restart takes it if it is none"));
  }
  kept.loaded = now;
  if (!first && blocks == kept.blocks) return;
  kept.blocks = std::move(blocks);
  kept.set = std::make_shared<const net::CidrSet>(kept.blocks);
}

proxy::AddressSets AddressSetFiles::load(const std::vector<config::AddressSet>& sets, base::WallTime now,
                                         std::vector<config::Problem>& problems) {
  proxy::AddressSets loaded;
  loaded_.clear();
  for (const config::AddressSet& set : sets) {
    Kept& mine = loaded_[set.name];
    if (const auto known = kept_.find(set.name); known != kept_.end() && known->second.from.front() == set)
      mine = known->second;
    mine.from = {set};
    read(set, mine, now, problems);
    if (mine.set == nullptr) {
      mine.blocks = is_built_in(set) ? net::cloudflare_blocks() : written(set);
      mine.set = std::make_shared<const net::CidrSet>(mine.blocks);
      mine.loaded = now;
    }
    loaded.push_back(mine.set);
  }
  return loaded;
}

std::shared_ptr<const net::CidrSet> AddressSetFiles::refresh(const config::AddressSet& set,
                                                             base::WallTime now,
                                                             std::vector<config::Problem>& problems) {
  const auto known = kept_.find(set.name);
  if (known == kept_.end()) return nullptr;
  const auto before = known->second.set;
  read(set, known->second, now, problems);
  return known->second.set == before ? nullptr : known->second.set;
}

AddressSetFiles::Facts AddressSetFiles::facts(const std::string& set) const {
  const auto known = kept_.find(set);
  return known == kept_.end() ? Facts{} : Facts{known->second.blocks.size(), known->second.loaded};
}

}  // namespace sallyport::runtime
