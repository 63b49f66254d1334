// What upstreams are told of a client's certificate: the fields of client_auth.forward.
//
// Made once a connection, on its worker, and added to each of its requests by filter/forwarded.cpp,
// which removes whatever the client sent under such names. Client-Cert is RFC 9440's, without
// Client-Cert-Chain: a resumed session has no chain any more. X-Forwarded-Client-Cert is Envoy's. The
// identity of a certificate is told only if it is good: who reads one field need not read another.
#pragma once

#include <cstdint>
#include <memory>

#include "sallyport/config/model_tls.hpp"
#include "sallyport/http/fields.hpp"
#include "sallyport/tls/client_certificate.hpp"

namespace sallyport::runtime {

[[nodiscard]] constexpr std::uint8_t client_fields_bit(config::ClientCertFields fields) noexcept {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(fields));
}

// `forward`: the bits of what is asked for. `certificate` nullptr: none was shown. nullptr: there is
// nothing to tell.
[[nodiscard]] std::shared_ptr<const http::Fields> client_fields(const tls::ClientCertificate* certificate,
                                                                std::uint8_t forward);

}  // namespace sallyport::runtime
