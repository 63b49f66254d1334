// How OpenSSL gets from the certificate that it chose to the answer to staple. Private to tls.
#pragma once

#include <memory>

#include "sallyport/tls/staple.hpp"

#include "openssl.hpp"

namespace sallyport::tls {

// The leaf holds the slot for as long as it lives, also where a connection holds nothing but the leaf.
// False: no memory.
[[nodiscard]] bool hang_slot(X509* leaf, std::shared_ptr<StapleSlot> slot);

// Connections of this context show what the chosen certificate's slot has, to clients that ask for it.
void show_staples(SSL_CTX* context);

}  // namespace sallyport::tls
