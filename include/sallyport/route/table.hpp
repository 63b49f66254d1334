// Host and path matching: a request's name and head → which route of the config serves it.
//
// Immutable once built, part of a snapshot, read by every worker without a lock. A look-up
// allocates nothing and takes time linear in the request, regular expressions included.
// Hosts: exact name, then the one-label wildcard above it (RFC 6125 §6.4.3), then the default.
// Routes: in the file's order, the first that matches wins. Paths are compared byte by byte as
// they came (RFC 3986 §6.2.1), so that no two parties can disagree on what was matched.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "sallyport/config/model.hpp"
#include "sallyport/http/head.hpp"

namespace sallyport::route {

// The host of "host", "host:port" or "[v6]:port", without brackets and without a trailing dot. A view into
// it.
[[nodiscard]] std::string_view host_part(std::string_view authority) noexcept;

struct Match {
  enum class Outcome : std::uint8_t {
    route,     // `route` serves it
    redirect,  // the listener's redirect to https does
    no_host,   // no host has that name: 421 over TLS, else 404
    no_route,  // `host` has it, but none of its routes matches: 404
  };
  static constexpr std::uint32_t kNone = 0xffff'ffff;

  Outcome outcome = Outcome::no_host;
  std::uint32_t host = kNone;   // index in Model::hosts; kNone for a listener's own route
  std::uint32_t route = kNone;  // dense over the whole model, see Table::place
};

class Table {
 public:
  // Where a dense route index stands in the model.
  struct Place {
    bool of_listener;  // Model::listeners[owner].routes[index], else Model::hosts[owner].routes[index]
    std::uint32_t owner;
    std::uint32_t index;
  };

  // The model is validated and every host has its names. Copies what it needs. Throws
  // std::invalid_argument for a regular expression that does not compile.
  explicit Table(const config::Model& model);
  ~Table();
  Table(Table&&) noexcept;
  Table& operator=(Table&&) noexcept;

  // `host` as host_part() gives it, in any case; `listener` is an index in Model::listeners.
  [[nodiscard]] Match find(std::string_view host, std::uint32_t listener,
                           const http::RequestHead& head) const noexcept;
  // The index in Model::hosts that serves a name on a listener; a name no host has goes to
  // "*", or else to the host that tls.unknown_sni (for a name) or tls.missing_sni (for an
  // address or an empty name) names.
  [[nodiscard]] std::optional<std::uint32_t> host_of(std::string_view host,
                                                     std::uint32_t listener) const noexcept;

  [[nodiscard]] std::uint32_t routes() const noexcept;  // dense indices are below this
  [[nodiscard]] Place place(std::uint32_t route) const noexcept;
  [[nodiscard]] const config::Route& route(const config::Model& model, std::uint32_t index) const noexcept;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace sallyport::route
