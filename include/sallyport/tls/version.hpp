// The OpenSSL that this process runs with, for `sallyport version` and the build_info metric.
#pragma once

#include <string>

namespace sallyport::tls {

[[nodiscard]] std::string library_version();  // "3.0.15"

}  // namespace sallyport::tls
