#include "sallyport/http2/version.hpp"

#include <nghttp2/nghttp2.h>

namespace sallyport::http2 {

std::string library_version() {
  return nghttp2_version(0)->version_str;
}

}  // namespace sallyport::http2
