// A worker's data path: takes requests from client sessions and runs one exchange for each.
//
// One per worker, on its thread; outlives the worker's sessions, dies before its pools and loop.
// An exchange keeps the snapshot that was current when it began.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sallyport/base/intrusive_list.hpp"
#include "sallyport/net/loop.hpp"
#include "sallyport/obs/access_log.hpp"
#include "sallyport/obs/metrics.hpp"
#include "sallyport/proxy/snapshot.hpp"
#include "sallyport/session/client_session.hpp"
#include "sallyport/upstream/pool.hpp"

namespace sallyport::proxy {

class Exchange;
struct ExchangeTag;

class Proxy final : public session::RequestHandler {
 public:
  // All outlive the proxy.
  Proxy(net::Loop& loop, upstream::Pools& pools, const obs::Metrics& metrics, obs::Shard& shard,
        obs::AccessRing& access);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Exchanges that begin from here on read this one.
  void use(SnapshotPtr snapshot);
  [[nodiscard]] const SnapshotRef& snapshot() const noexcept { return snapshot_; }
  // Those of the snapshot, until newer ones come.
  void use(AddressSets sets) { address_sets_ = std::move(sets); }
  [[nodiscard]] const AddressSets& address_sets() const noexcept { return address_sets_; }
  [[nodiscard]] std::size_t active() const noexcept { return active_; }

  void on_request(session::ClientSession& session, http::Stream& stream, http::RequestHead&& head,
                  bool end) override;
  void on_bad_request(session::ClientSession& session, http::Stream& stream,
                      const base::Error& error) override;

 private:
  friend class Exchange;
  [[nodiscard]] Exchange& begin(session::ClientSession& session, http::Stream& stream);
  [[nodiscard]] bool shed(session::ClientSession& session, http::Stream& stream);
  void ended(Exchange& exchange);
  // "10.0.0.5:8443", spelled once for each of the few endpoints there are.
  [[nodiscard]] std::string_view text_of(const net::Endpoint& endpoint);
  // 32 hex digits that no other request of any worker has, short of a 128-bit coincidence.
  void make_request_id(std::span<char, 32> id) noexcept;

  net::Loop& loop_;
  upstream::Pools& pools_;
  const obs::Metrics& metrics_;
  obs::Shard& shard_;
  obs::AccessRing& access_;
  SnapshotRef snapshot_;
  AddressSets address_sets_;
  std::uint64_t random_[2];
  // Memory of heads that are over, for those to come: a steady flow of requests allocates none.
  std::vector<http::RequestHead> spare_requests_;
  std::vector<http::ResponseHead> spare_responses_;
  std::unordered_map<std::uint64_t, std::pair<net::Endpoint, std::string>> endpoint_texts_;
  std::string scratch_;  // of one call
  std::size_t active_ = 0;
  base::IntrusiveList<Exchange, ExchangeTag> running_;
};

}  // namespace sallyport::proxy
