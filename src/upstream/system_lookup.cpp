#include <utility>

#include <boost/asio/ip/tcp.hpp>

#include "sallyport/upstream/resolver.hpp"

namespace sallyport::upstream {

namespace asio = boost::asio;

struct SystemLookup::Impl {
  explicit Impl(asio::io_context& io) : resolver(io) {}
  asio::ip::tcp::resolver resolver;
};

SystemLookup::SystemLookup(asio::io_context& io) : impl_(std::make_unique<Impl>(io)) {}

SystemLookup::~SystemLookup() = default;

void SystemLookup::lookup(const std::string& host, Done done) {
  // address_configured: no IPv6 addresses for a machine that has no IPv6.
  impl_->resolver.async_resolve(
      host, "", asio::ip::resolver_base::address_configured,
      [done = std::move(done)](const boost::system::error_code& ec,
                               const asio::ip::tcp::resolver::results_type& results) {
        std::vector<net::IpAddress> addresses;
        if (!ec) {
          for (const auto& entry : results) {
            const asio::ip::address address = entry.endpoint().address();
            addresses.push_back(address.is_v4() ? net::IpAddress::v4(address.to_v4().to_bytes())
                                                : net::IpAddress::v6(address.to_v6().to_bytes()));
          }
        }
        done(std::move(addresses), ec ? ec.message() : std::string());
      });
}

}  // namespace sallyport::upstream
