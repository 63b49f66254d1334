#include "acceptor.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "sallyport/base/scope_guard.hpp"
#include "sallyport/net/address.hpp"

namespace sallyport::admin {

namespace asio = boost::asio;

namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr mode_t kSocketMode = 0660;  // the group may look, others may not

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), "admin address " + what);
}

// Whether a socket file is left over from a process that is gone.
bool stale(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return false;
  const base::ScopeGuard close([probe]() noexcept { ::close(probe); });
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
         errno == ECONNREFUSED;
}

}  // namespace

Acceptor::Acceptor(asio::io_context& io, const std::string& address) : socket_(io) {
  try {
    if (address.starts_with(kUnixPrefix))
      listen_unix(address.substr(kUnixPrefix.size()));
    else
      listen_tcp(address);
  } catch (const boost::system::system_error& e) {
    fail(e.code().value(), address);
  }
}

void Acceptor::listen_tcp(const std::string& address) {
  const auto endpoint = net::Endpoint::parse(address);
  if (!endpoint) fail(EINVAL, address);
  // What stands here is not for the network: no authentication, and every number of the house.
  if (!endpoint->address.is_loopback()) fail(EACCES, address + " is not a loopback address");
  const asio::ip::tcp::endpoint wanted(asio::ip::make_address(endpoint->address.to_string()), endpoint->port);
  socket_.open(wanted.protocol());
  socket_.set_option(asio::socket_base::reuse_address(true));
  socket_.bind(wanted);
  socket_.listen();
  const Protocol::endpoint bound = socket_.local_endpoint();
  address_ = net::Endpoint::from(bound.data()).to_string();
}

void Acceptor::listen_unix(const std::string& path) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) fail(ENAMETOOLONG, path);
  const asio::local::stream_protocol::endpoint wanted(path);
  socket_.open(wanted.protocol());
  boost::system::error_code error;
  socket_.bind(wanted, error);
  if (error == asio::error::address_in_use && stale(path)) {
    ::unlink(path.c_str());
    socket_.bind(wanted, error);
  }
  if (error) fail(error.value(), path);
  // Nobody can connect before listen(), so there is no moment with a wider mode.
  struct stat status {};
  if (::chmod(path.c_str(), kSocketMode) != 0 || ::lstat(path.c_str(), &status) != 0) {
    const int reason = errno;
    ::unlink(path.c_str());
    fail(reason, path);
  }
  path_ = path;
  device_ = status.st_dev;
  inode_ = status.st_ino;
  socket_.listen();
  address_ = std::string(kUnixPrefix) + path;
}

Acceptor::~Acceptor() {
  struct stat status {};
  if (!path_.empty() && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
      status.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

}  // namespace sallyport::admin
