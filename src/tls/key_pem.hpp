// A private key out of PEM text, as PEM_read_bio_PrivateKey() reads it and in a ninth of its time. OpenSSL 3
// looks through all its decoders and builds a chain of them for each key that it reads, which is most of what
// a start with ten thousand certificates takes; here a chain is built once a thread and used again. Private
// to tls. Any thread.
#pragma once

#include <string_view>

#include "openssl.hpp"

namespace sallyport::tls {

// The first private key in the text; nullptr with the reason in OpenSSL's error queue. `encrypted` becomes
// true if a passphrase was needed: a service has nobody to ask.
[[nodiscard]] KeyPtr read_private_key(std::string_view pem, bool& encrypted);

}  // namespace sallyport::tls
