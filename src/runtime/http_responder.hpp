// OCSP over HTTP (RFC 6960 appendix A): one POST on a connection of its own, on the control loop.
//
// A responder is somebody else's machine: an answer is bounded in time and size, redirects are not
// followed, and what it says is believed by nobody before its signature was checked. Lives with the
// Server; questions under way end with the loop.
#pragma once

#include <boost/asio/io_context.hpp>

#include "stapler.hpp"

namespace sallyport::runtime {

class HttpResponder final : public Responder {
 public:
  explicit HttpResponder(boost::asio::io_context& io) : io_(io) {}
  void ask(const tls::ResponderUrl& url, std::string question, base::Milliseconds timeout,
           Done done) override;

 private:
  boost::asio::io_context& io_;
};

}  // namespace sallyport::runtime
