// What the admin endpoint answers: a request's method and path to a response. No I/O.
#pragma once

#include <string_view>

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include "sallyport/admin/server.hpp"

namespace sallyport::admin {

using Request = boost::beast::http::request<boost::beast::http::empty_body>;
using Response = boost::beast::http::response<boost::beast::http::string_body>;

// Calls the source that the path names; one that throws is a 500.
[[nodiscard]] Response answer(const Request& request, const Sources& sources);
// An error that ends the connection.
[[nodiscard]] Response refusal(boost::beast::http::status status, unsigned version);

}  // namespace sallyport::admin
