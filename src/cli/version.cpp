#include "version.hpp"

#include <cstdio>

#include "sallyport/base/memory.hpp"
#include "sallyport/http2/version.hpp"
#include "sallyport/tls/version.hpp"

#include "commands.hpp"

namespace sallyport::cli {

int version() {
  std::printf("sallyport %s (%s)\nOpenSSL %s\nnghttp2 %s\n%s\n", kVersion, kCommit,
              tls::library_version().c_str(), http2::library_version().c_str(), base::allocator().c_str());
  return kOk;
}

}  // namespace sallyport::cli
