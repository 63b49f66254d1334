// ClientHellos put together from what is known of one: from the words of a log line, or from another
// with a different server name. For rehearsals: what is not known is left out, so fingerprints differ.
// Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sallyport::tls {

// In the words of Explanation: "TLSv1.3", "ECDHE-RSA-AES128-GCM-SHA256", "X25519", "0x1234".
struct HelloOutline {
  std::string sni;  // empty: none sent
  std::vector<std::string> versions, ciphers, groups, sigalgs, alpn;
};
struct ComposedHello {
  std::string records;
  std::vector<std::string> unknown;  // words without a meaning, left out
};
// Without key shares, so that under TLS 1.3 a client that is served is asked for one.
[[nodiscard]] ComposedHello compose_hello(const HelloOutline& outline);

// The same hello asking for `name`, for no name if that is empty. `records` hold a whole one.
[[nodiscard]] std::string with_server_name(std::string_view records, std::string_view name);

}  // namespace sallyport::tls
