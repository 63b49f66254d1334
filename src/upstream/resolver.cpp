#include "sallyport/upstream/resolver.hpp"

#include <algorithm>
#include <chrono>
#include <unordered_set>
#include <utility>

namespace sallyport::upstream {

namespace {

// A name that failed is tried again sooner than one that is merely old.
constexpr base::Milliseconds kRetryAfter{5000};
// What one name may bring; a pool walks its endpoints for every exchange.
constexpr std::size_t kMaxAddresses = 64;
constexpr base::Milliseconds kTick{1000};

}  // namespace

struct Resolver::Name {
  base::Milliseconds interval{};
  base::Milliseconds timeout{};
  std::shared_ptr<const Resolution> last;
  base::Instant due{};      // of the next look-up
  base::Instant started{};  // of the one under way
  std::uint64_t serial = 0;
  bool looking = false;
  bool late = false;  // its failure was told already
};

Resolver::Resolver(Lookup& lookup, OnResolution on_resolution, OnFailure on_failure)
    : lookup_(lookup),
      on_resolution_(std::move(on_resolution)),
      on_failure_(std::move(on_failure)),
      anchor_(*this) {}

Resolver::~Resolver() = default;

void Resolver::watch(const Clusters& clusters, base::Instant now) {
  now_ = now;
  std::unordered_set<std::string> wanted;
  for (const auto& spec : clusters) {
    for (const config::UpstreamEndpoint& endpoint : spec->endpoints) {
      if (net::IpAddress::parse(endpoint.host)) continue;
      std::unique_ptr<Name>& name = names_[endpoint.host];
      if (name == nullptr) name = std::make_unique<Name>();
      const bool first = wanted.insert(endpoint.host).second;
      // A name of several upstreams follows the most impatient of them.
      name->interval = first ? spec->resolve.interval : std::min(name->interval, spec->resolve.interval);
      name->timeout = first ? spec->resolve.timeout : std::min(name->timeout, spec->resolve.timeout);
      name->due = std::min(name->due, now + name->interval);
    }
  }
  std::erase_if(names_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  advance(now);
}

void Resolver::advance(base::Instant now) {
  now_ = now;
  std::vector<std::string> due;
  for (const auto& [host, name] : names_) {
    const bool hangs = name->looking && !name->late && now - name->started >= name->timeout;
    if (hangs || (!name->looking && name->due <= now)) due.push_back(host);
  }
  // By name: a callback may change the table.
  for (const std::string& host : due) {
    const auto at = names_.find(host);
    if (at == names_.end()) continue;
    if (at->second->looking) {
      at->second->late = true;
      failed(host, *at->second, "no answer in time");
    } else {
      start(host, *at->second, now);
    }
  }
}

void Resolver::start(const std::string& host, Name& name, base::Instant now) {
  name.looking = true;
  name.late = false;
  name.started = now;
  name.serial = ++serial_;
  lookup_.lookup(host, [self = anchor_.ref(), host, serial = name.serial](
                           std::vector<net::IpAddress> addresses, const std::string& error) {
    if (Resolver* resolver = self.get()) resolver->done(host, serial, std::move(addresses), error);
  });
}

void Resolver::done(const std::string& host, std::uint64_t serial, std::vector<net::IpAddress> addresses,
                    std::string_view error) {
  const auto at = names_.find(host);
  if (at == names_.end() || at->second->serial != serial || !at->second->looking) return;
  Name& name = *at->second;
  name.looking = false;
  if (addresses.empty()) {
    name.due = now_ + std::min(name.interval, kRetryAfter);
    if (!name.late) failed(host, name, error.empty() ? "no address" : error);
    return;
  }
  name.due = now_ + name.interval;
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  if (addresses.size() > kMaxAddresses) addresses.resize(kMaxAddresses);
  if (name.last && name.last->addresses == addresses) return;
  name.last = std::make_shared<const Resolution>(Resolution{host, std::move(addresses)});
  on_resolution_(name.last);
}

void Resolver::failed(const std::string& host, Name& name, std::string_view error) {
  const bool first = name.last == nullptr;
  if (first) name.last = std::make_shared<const Resolution>(Resolution{host, {}});
  const std::shared_ptr<const Resolution> told = name.last;
  on_failure_(host, error, told->addresses.size());
  if (first) on_resolution_(told);
}

void Resolver::drive(boost::asio::io_context& io) {
  timer_ = std::make_unique<boost::asio::steady_timer>(io);
  arm();
}

void Resolver::arm() {
  timer_->expires_after(kTick);
  timer_->async_wait([self = anchor_.ref()](const boost::system::error_code& ec) {
    Resolver* resolver = self.get();
    if (ec || resolver == nullptr) return;
    resolver->advance(base::Clock::now());
    resolver->arm();
  });
}

std::vector<std::shared_ptr<const Resolution>> Resolver::known() const {
  std::vector<std::shared_ptr<const Resolution>> all;
  for (const auto& [host, name] : names_) {
    if (name->last) all.push_back(name->last);
  }
  return all;
}

}  // namespace sallyport::upstream
