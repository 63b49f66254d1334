// The nghttp2 that this process runs with, for `sallyport version` and the build_info metric.
#pragma once

#include <string>

namespace sallyport::http2 {

[[nodiscard]] std::string library_version();  // "1.52.0"

}  // namespace sallyport::http2
