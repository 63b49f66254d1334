// One listening socket of one worker, and what its connections are counted by.
//
// Owned by the worker, on its thread. It survives reloads that keep its address; when no listener
// has it any more it drains, and stays until the last connection that came by it is gone.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sallyport/net/listener.hpp"
#include "sallyport/obs/metrics.hpp"

#include "worker.hpp"

namespace sallyport::runtime {

class Worker::Door final : public net::Reapable, private net::Listener::Handler {
 public:
  Door(Worker& worker, std::uint32_t number, std::string socket_key, net::ListenerSocket socket)
      : id(number),
        key(std::move(socket_key)),
        worker_(worker),
        listener(worker.loop_, std::move(socket), *this) {}

  // Where its listener stands in a snapshot: its own index, or for one that is gone, any.
  [[nodiscard]] std::uint32_t snapshot_index(const proxy::Snapshot& snapshot) const noexcept {
    return index < snapshot.listeners.size() ? index : 0;
  }

  const std::uint32_t id;
  const std::string key;
  std::uint32_t index = 0;
  std::string name;
  std::shared_ptr<const obs::ListenerMetrics> metrics;
  std::shared_ptr<Budget> budget;
  std::uint32_t connections = 0;
  // By the host's index in the snapshot's store; in host_series_. Found at first use.
  std::vector<const HostSeries*> hosts;
  bool leaving = false;
  bool out_of_files = false;  // accepting rests for want of handles

 private:
  void on_accept(net::TcpSocket socket, const net::Endpoint& peer, const net::Endpoint& local) override {
    worker_.on_accept(*this, std::move(socket), peer, local);
  }
  void on_accept_error(const base::Error& error) override { worker_.on_accept_error(*this, error); }
  void on_drained() override { worker_.on_door_drained(); }

  Worker& worker_;

 public:
  net::Listener listener;
};

}  // namespace sallyport::runtime
