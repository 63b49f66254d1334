// Endpoint names to addresses, once for all workers: on the control loop, looked up again as
// they age. Workers are told by values (Resolution) that runtime posts to their Pools.
//
// A look-up that fails or takes too long leaves the last good addresses in place; only a name
// that never had any is told as failed. Literal addresses never come here. Order of addresses
// has no meaning (RFC 6724's order is for one client; a pool spreads over all).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "sallyport/base/clock.hpp"
#include "sallyport/net/address.hpp"
#include "sallyport/net/anchor.hpp"
#include "sallyport/upstream/cluster.hpp"

namespace sallyport::upstream {

struct Resolution {
  std::string host;
  std::vector<net::IpAddress> addresses;  // sorted, no duplicates; empty: it failed and never succeeded
};

// One look-up; an interface, so that tests need no name server.
class Lookup {
 public:
  // Empty = it failed; `error` says why in words.
  using Done = std::function<void(std::vector<net::IpAddress> addresses, std::string error)>;
  virtual void lookup(const std::string& host, Done done) = 0;

 protected:
  ~Lookup() = default;
};

// getaddrinfo, through Asio's resolver thread.
class SystemLookup final : public Lookup {
 public:
  explicit SystemLookup(boost::asio::io_context& io);
  ~SystemLookup();
  void lookup(const std::string& host, Done done) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class Resolver {
 public:
  // A name has new addresses, or its first look-up failed. On the control loop.
  using OnResolution = std::function<void(const std::shared_ptr<const Resolution>&)>;
  // For the event log: a look-up failed (`kept` addresses go on serving).
  using OnFailure = std::function<void(std::string_view host, std::string_view error, std::size_t kept)>;

  Resolver(Lookup& lookup, OnResolution on_resolution, OnFailure on_failure);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // The names of these clusters from now on; those already known are kept and told again at
  // their next change only. New ones are looked up at once.
  void watch(const Clusters& clusters, base::Instant now);
  // Starts what is due, gives up what takes too long. Call it about once a second; drive() does.
  void advance(base::Instant now);
  // Calls advance() by a timer on the control loop until the resolver dies.
  void drive(boost::asio::io_context& io);
  // All that is known, for a worker that starts later.
  [[nodiscard]] std::vector<std::shared_ptr<const Resolution>> known() const;

 private:
  struct Name;
  void start(const std::string& host, Name& name, base::Instant now);
  void done(const std::string& host, std::uint64_t serial, std::vector<net::IpAddress> addresses,
            std::string_view error);
  void failed(const std::string& host, Name& name, std::string_view error);
  void arm();

  Lookup& lookup_;
  OnResolution on_resolution_;
  OnFailure on_failure_;
  std::unordered_map<std::string, std::unique_ptr<Name>> names_;
  std::uint64_t serial_ = 0;
  base::Instant now_{};           // of the last call that brought it
  net::Anchor<Resolver> anchor_;  // look-ups may outlive us
  std::unique_ptr<boost::asio::steady_timer> timer_;
};

}  // namespace sallyport::upstream
