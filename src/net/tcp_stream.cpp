#include "sallyport/net/tcp_stream.hpp"

#include <utility>

namespace sallyport::net {

namespace {
// From here on a copy into the gather buffer costs more than the send call that it may save. Above
// a TLS record or an HTTP/2 frame: an upload comes in such pieces, of which one turn reads two and
// a rest; sent apart, they cost the origin a wake-up each.
constexpr std::size_t kSendAtOnce = 32 * 1024;
}  // namespace

TcpStream::TcpStream(Loop& loop, TcpSocket socket, base::Fault side, const Endpoint& peer,
                     const Endpoint& local, std::span<const char> early)
    : io_(loop, std::move(socket), side), early_(early.begin(), early.end()), peer_(peer), local_(local) {}

void TcpStream::start(ByteStream::Handler& handler) {
  handler_ = &handler;
  io_.start(*this, early_);
  early_ = {};
}

void TcpStream::write(std::span<const char> bytes) {
  if (bytes.size() >= kSendAtOnce) {
    io_.write_gather(bytes);
  } else {
    io_.append(bytes);
  }
}

}  // namespace sallyport::net
