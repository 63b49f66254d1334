// Reads the files of address sets again, as often as they say, and hands on what has changed.
//
// Owned by the Server, on the control thread. A set that is new to the workers is posted to them
// by `changed`; what is wrong with a file goes to `problem` each time, for the operator to see.
#pragma once

#include <functional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "sallyport/config/load.hpp"
#include "sallyport/proxy/snapshot.hpp"
#include "sallyport/runtime/address_sets.hpp"

namespace sallyport::runtime {

class AddressRefresh {
 public:
  using Changed = std::function<void(const proxy::AddressSets& all, const std::string& name)>;
  using Told = std::function<void(const config::Problem& problem)>;

  AddressRefresh(boost::asio::io_context& io, Changed changed, Told problem)
      : timer_(io), changed_(std::move(changed)), problem_(std::move(problem)) {}

  // From now on these, of the snapshot that is served.
  void watch(const proxy::SnapshotPtr& snapshot, AddressSetFiles& files);

 private:
  struct Due {
    std::size_t set;  // index
    base::Instant at;
  };
  void arm();
  void look();

  boost::asio::steady_timer timer_;
  Changed changed_;
  Told problem_;
  proxy::SnapshotPtr snapshot_;
  proxy::AddressSets sets_;
  AddressSetFiles* files_ = nullptr;
  std::vector<Due> due_;
};

}  // namespace sallyport::runtime
