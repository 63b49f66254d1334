#include "opening.hpp"

#include <algorithm>
#include <utility>

#include "sallyport/http2/codec.hpp"

namespace sallyport::runtime {

Opening::Opening(net::Loop& loop, net::TcpSocket socket, std::uint32_t door, const net::Endpoint& peer,
                 const net::Endpoint& local, net::AddressTable::Seat seat, Wanted wanted, Owner& owner)
    : loop_(loop),
      io_(loop, std::move(socket), base::Fault::client),
      owner_(owner),
      peer_(peer),
      local_(local),
      seat_(std::move(seat)),
      door_(door),
      wanted_(wanted) {}

void Opening::begin(base::Milliseconds deadline) {
  loop_.timers().arm(deadline_, deadline, loop_.now());
  io_.start(*this);
}

void Opening::on_read(std::span<char> bytes) {
  if (over_) return;
  std::span<const char> input = bytes;
  if (wanted_.proxy_header && proxy_.state() == net::ProxyProtocol::State::more) {
    input = input.subspan(proxy_.consume(input));
    if (proxy_.state() == net::ProxyProtocol::State::error) return fail(Failure::bad_header);
    if (proxy_.state() == net::ProxyProtocol::State::more) return;
    if (proxy_.header().has_addresses) {
      proxied_ = true;
      peer_ = proxy_.header().source;
      local_ = proxy_.header().destination;
    }
  }
  seen_.append(input.data(), input.size());
  if (wanted_.protocol) {
    // The preface's first line is no request of HTTP/1.x, so the shortest prefix that differs decides.
    const std::size_t n = std::min(seen_.size(), http2::kClientPreface.size());
    const bool same = seen_.compare(0, n, http2::kClientPreface, 0, n) == 0;
    if (same && n < http2::kClientPreface.size()) return;
    http2_ = same;
  }
  over_ = true;
  deadline_.cancel();
  owner_.on_opened(*this);
}

void Opening::fail(Failure why) {
  if (over_) return;
  over_ = true;
  deadline_.cancel();
  owner_.on_opening_failed(*this, why);
}

}  // namespace sallyport::runtime
