// What a request says of who sent it: the client's address as a trusted peer tells it, the
// visitor's scheme, the loops that it went through. Pure functions over its fields.
//
// Only what a trusted peer says is asked here; whatever anybody else claims is removed
// (remove_claims) before routing, logs or an upstream could see it. Untrusted input all the same:
// a trusted peer passes on what its own clients wrote.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "sallyport/config/model_trust.hpp"
#include "sallyport/http/fields.hpp"
#include "sallyport/net/address.hpp"
#include "sallyport/obs/metrics.hpp"

namespace sallyport::proxy {

using Trusted = std::function<bool(const net::IpAddress&)>;

// nullopt: not told, told twice, or no address. X-Forwarded-For is read from the right, over
// those that are trusted (each of which appended the one before it), to the first that is not.
[[nodiscard]] std::optional<net::IpAddress> told_address(const http::Fields& fields,
                                                         config::ClientAddress where, const Trusted& trusted);

// CF-Visitor's: "https", "http", or empty.
[[nodiscard]] std::string_view visitor_scheme(const http::Fields& fields) noexcept;

// How often a CDN-Loop field names `id` (RFC 8586 §2; parameters are passed over).
[[nodiscard]] std::size_t passes(const http::Fields& fields, std::string_view id) noexcept;

// Removes CF-… and True-Client-IP. Counts nothing.
void remove_claims(http::Fields& fields) noexcept;

}  // namespace sallyport::proxy
