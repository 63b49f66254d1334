// Lists of address blocks as they are published: the text of a file into blocks, and Cloudflare's
// own, which are built in.
//
// Pure functions for the control plane. What is listed decides who is believed, so one bad line
// makes the whole list bad.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

#include "sallyport/net/cidr.hpp"

namespace sallyport::net {

// A block a line, with # comments, as at www.cloudflare.com/ips-v4; or the JSON of Cloudflare's API
// (GET /client/v4/ips: result.ipv4_cidrs and result.ipv6_cidrs). An error says where and what.
[[nodiscard]] boost::system::result<std::vector<Cidr>, std::string> parse_block_list(std::string_view text);

// As published in 2026: 15 of IPv4, 7 of IPv6.
[[nodiscard]] const std::vector<Cidr>& cloudflare_blocks();

}  // namespace sallyport::net
