// A step that may change a request's head on its way to the upstream, or a response's head on
// its way back. One filter a file; a route's chain is built with the snapshot and is immutable.
//
// Filters are shared by all workers and exchanges: they hold configuration, never state of an
// exchange. They run on the exchange's worker, do no I/O, and see the neutral form of a head
// (http/head.hpp), so each is written once for every version and side.
#pragma once

#include <string_view>

#include "sallyport/base/clock.hpp"
#include "sallyport/base/error.hpp"
#include "sallyport/http/head.hpp"
#include "sallyport/net/address.hpp"

namespace sallyport::filter {

// What a filter may know of the exchange. Views are good for the call.
struct Context {
  const net::Endpoint& client;
  std::string_view client_text;  // the client's address in words, without port
  std::uint16_t local_port = 0;  // where the client connected to
  bool tls = false;
  std::string_view request_id;  // ours, unique
  base::Instant now{};
  std::string_view visitor_scheme{};                 // as a trusted peer tells it; empty: not told
  std::string_view cdn_id{};                         // to be appended to CDN-Loop (RFC 8586); empty: not
  const http::Fields* client_certificate = nullptr;  // what the upstream is told of it; nullptr: nothing
};

// A step that may refuse a request before anything is done for it. Like a filter, it is shared.
class Guard {
 public:
  Guard() = default;
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  virtual ~Guard() = default;

  // No error: let through. The one table in proxy/ says what an error is answered with.
  [[nodiscard]] virtual base::Error admit(const Context&, const http::RequestHead&) const = 0;
};

class Filter {
 public:
  Filter() = default;
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  virtual ~Filter() = default;

  virtual void on_request(const Context&, http::RequestHead&) const {}
  virtual void on_response(const Context&, http::ResponseHead&) const {}
};

}  // namespace sallyport::filter
