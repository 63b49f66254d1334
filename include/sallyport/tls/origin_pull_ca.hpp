// The CA of Cloudflare's Authenticated Origin Pulls for all zones ("global"), as Cloudflare
// publishes it for origins: developers.cloudflare.com/ssl/static/authenticated_origin_pull_ca.pem,
// valid until 2029-11-01. Any customer of Cloudflare's can send requests that it vouches for.
#pragma once

#include <string_view>

namespace sallyport::tls {

extern const std::string_view kOriginPullCa;  // PEM

}  // namespace sallyport::tls
