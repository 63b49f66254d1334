// What the doctor's checks have in common: whom Cloudflare reaches, and words.
#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <iterator>

#include "sallyport/net/block_list.hpp"

#include "doctor.hpp"

namespace sallyport::cli {

namespace {

// Lists of ranges are a few kilobytes.
constexpr std::size_t kMaxFile = 4 * config::kMiB;

void add_blocks(const config::AddressSet& set, std::vector<net::Cidr>& to) {
  const auto add = [&to](const std::vector<net::Cidr>& blocks) {
    to.insert(to.end(), blocks.begin(), blocks.end());
  };
  if (set.name == config::kCloudflare && set.ranges.empty() && set.files.empty())
    add(net::cloudflare_blocks());
  for (const std::string& text : set.ranges) {
    if (const auto block = net::Cidr::parse(text); block.has_value()) to.push_back(*block);
  }
  for (const std::filesystem::path& file : set.files) {
    std::ifstream in(file, std::ios::binary);
    std::string text(kMaxFile, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (const auto blocks = net::parse_block_list(text); blocks.has_value()) add(*blocks);
  }
}

net::IpAddress last_of(const net::Cidr& block) {
  std::array<std::uint8_t, 16> bytes = block.network.bytes();
  const unsigned kept = block.prefix + (block.network.is_v4() ? 96U : 0U);
  for (unsigned bit = kept; bit < 128; ++bit) bytes[bit / 8] |= static_cast<std::uint8_t>(0x80U >> bit % 8);
  return net::IpAddress::v6(bytes);
}

}  // namespace

std::string_view to_string(Severity severity) noexcept {
  switch (severity) {
    case Severity::ok:
      return "ok";
    case Severity::warn:
      return "warn";
    case Severity::fail:
      break;
  }
  return "fail";
}

std::size_t Report::count(Severity severity) const noexcept {
  return static_cast<std::size_t>(std::count_if(findings_.begin(), findings_.end(),
                                                [&](const Finding& f) { return f.severity == severity; }));
}

Severity Report::worst() const noexcept {
  Severity worst = Severity::ok;
  for (const Finding& finding : findings_) worst = std::max(worst, finding.severity);
  return worst;
}

Addresses::Addresses(const config::Model& model, const std::vector<std::string>& list) {
  std::vector<net::Cidr> blocks;
  for (const std::string& item : list) {
    const auto set = std::find_if(model.address_sets.begin(), model.address_sets.end(),
                                  [&](const config::AddressSet& s) { return s.name == item; });
    if (set != model.address_sets.end()) {
      add_blocks(*set, blocks);
    } else if (const auto block = net::Cidr::parse(item); block.has_value()) {
      blocks.push_back(*block);
    }
  }
  set_ = net::CidrSet(blocks);
}

// Nobody lists a block with a hole in it: its first and last address stand for all.
std::vector<std::string> Addresses::missing_of_cloudflare() const {
  std::vector<std::string> missing;
  for (const net::Cidr& block : net::cloudflare_blocks()) {
    if (!set_.contains(block.network) || !set_.contains(last_of(block))) missing.push_back(block.to_string());
  }
  return missing;
}

bool Addresses::has_some_of_cloudflare() const {
  return missing_of_cloudflare().size() < net::cloudflare_blocks().size();
}

bool admits_cloudflare(const config::Model& model, const config::Listener& listener) {
  return listener.allow.empty() || Addresses(model, listener.allow).has_some_of_cloudflare();
}

bool trusts_cloudflare(const config::Model& model, const config::Listener& listener) {
  return Addresses(model, listener.trust).has_some_of_cloudflare();
}

std::vector<const config::Listener*> listeners_of(const config::Model& model, const config::Host& host) {
  std::vector<const config::Listener*> found;
  for (const config::Listener& listener : model.listeners) {
    const bool named = host.listeners.empty() || std::find(host.listeners.begin(), host.listeners.end(),
                                                           listener.name) != host.listeners.end();
    if (named && listener.protocol == config::ListenerProtocol::https && admits_cloudflare(model, listener))
      found.push_back(&listener);
  }
  return found;
}

std::string subject_of(const config::Host& host) {
  return "host " + (host.names.empty() ? std::string("without a name") : host.names.front());
}

const config::TlsPolicy* find_policy(const config::Model& model, std::string_view name) {
  for (const config::TlsPolicy& policy : model.tls.policies) {
    if (policy.name == name) return &policy;
  }
  return nullptr;
}

const config::Upstream* find_upstream(const config::Model& model, std::string_view name) {
  for (const config::Upstream& upstream : model.upstreams) {
    if (upstream.name == name) return &upstream;
  }
  return nullptr;
}

std::string joined(const std::vector<std::string>& list, std::string_view between, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(list.size(), most); ++i) {
    if (i > 0) text += between;
    text += list[i];
  }
  if (list.size() > most) text += " and " + std::to_string(list.size() - most) + " more";
  return text;
}

std::string text_of(config::Milliseconds time) {
  const auto count = time.count();
  return count % 1000 == 0 ? std::to_string(count / 1000) + " s" : std::to_string(count) + " ms";
}

std::string size_text(std::size_t bytes) {
  if (bytes >= config::kMiB && bytes % config::kMiB == 0)
    return std::to_string(bytes / config::kMiB) + " MiB";
  if (bytes >= config::kKiB && bytes % config::kKiB == 0)
    return std::to_string(bytes / config::kKiB) + " KiB";
  return std::to_string(bytes) + " bytes";
}

std::string date_text(base::WallTime time) {
  const std::time_t seconds = base::WallClock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

}  // namespace sallyport::cli
