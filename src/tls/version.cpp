#include "sallyport/tls/version.hpp"

#include <openssl/crypto.h>

namespace sallyport::tls {

std::string library_version() {
  return OpenSSL_version(OPENSSL_VERSION_STRING);
}

}  // namespace sallyport::tls
