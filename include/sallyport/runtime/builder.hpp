// From a configuration to a snapshot: reads every certificate file, builds every table, finds
// everything that is wrong.
//
// Lives with the control thread, across reloads, so that what has the same bytes is taken over.
// `run`, a reload and `check` build by this same code; `check` merely throws the result away.
// Nothing that serves is touched: a build that fails leaves no trace.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "sallyport/config/load.hpp"
#include "sallyport/filter/rate_limits.hpp"
#include "sallyport/obs/metrics.hpp"
#include "sallyport/proxy/snapshot.hpp"
#include "sallyport/runtime/address_sets.hpp"
#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/staple.hpp"
#include "sallyport/tls/ticket_keys.hpp"

namespace sallyport::runtime {

// A certificate that is shown to clients, and the OCSP answer to begin with.
struct StapleWish {
  std::shared_ptr<const tls::Certificate> certificate;
  std::string host;                              // that shows it, by its first name
  std::shared_ptr<const tls::Staple> from_file;  // may be null
};

struct Built {
  proxy::SnapshotPtr snapshot;            // nullptr if a problem is an error
  std::vector<config::Problem> problems;  // what the build found, beyond load() and validate()
  std::vector<StapleWish> staples;        // of every host's certificates
  std::vector<std::string> remarks;       // what is so, and no problem: for `check`
};

class Builder {
 public:
  explicit Builder(obs::Metrics& metrics) : metrics_(metrics) {}

  // `model` has passed load() and validate().
  [[nodiscard]] Built build(config::Model model, base::WallTime now);

  // Shared by all snapshots; nullptr before the first build, or when tickets are off.
  [[nodiscard]] const std::shared_ptr<tls::TicketKeys>& ticket_keys() const noexcept { return ticket_keys_; }
  // Snapshots that something still holds. Any thread.
  [[nodiscard]] std::uint64_t alive() const noexcept { return alive_->load(std::memory_order_relaxed); }
  // The sets' files, for a look between reloads. Control thread.
  [[nodiscard]] AddressSetFiles& address_sets() noexcept { return address_sets_; }
  // The expiry gauges of a snapshot that is served from now on.
  void publish_certificates(const proxy::Snapshot& snapshot);

 private:
  struct Work;
  void load_address_sets(Work& work);
  void load_trust(Work& work);
  void load_certificates(Work& work);
  static void load_staple(Work& work, const config::Certificate& source,
                          const std::shared_ptr<const tls::Certificate>& certificate);
  void build_tls(Work& work);
  void build_upstreams(Work& work);
  void build_routes(Work& work);
  [[nodiscard]] filter::Chain chain_of(Work& work, const config::Route& route, const config::Host* host,
                                       const std::string& name) const;
  void build_listeners(Work& work);

  obs::Metrics& metrics_;
  tls::CertificatePool certificates_;
  AddressSetFiles address_sets_;
  std::shared_ptr<tls::TicketKeys> ticket_keys_;
  std::shared_ptr<filter::RateLimits> rate_limits_ = std::make_shared<filter::RateLimits>();
  std::uint64_t generation_ = 0;
  std::shared_ptr<std::atomic<std::uint64_t>> alive_ = std::make_shared<std::atomic<std::uint64_t>>(0);
};

}  // namespace sallyport::runtime
