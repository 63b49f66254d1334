// Our provider for OpenSSL: the key schedules of TLS 1.3 and 1.2 (kdf.hpp), inside this program. It is
// registered once in OpenSSL's default library context and stays for the process. Contexts made with
// its property query prefer it; whatever else they ask for comes from where it came before. Called on
// any thread. Private to tls.
#pragma once

namespace sallyport::tls {

// What SSL_CTX_new_ex's property query must be so that libssl uses our key schedules. Static text.
// nullptr: OpenSSL uses its own, and no secrets are noted (key_schedule.hpp), because the provider
// could not be registered or because the configuration of OpenSSL has them done elsewhere (FIPS).
[[nodiscard]] const char* key_schedule_properties() noexcept;

}  // namespace sallyport::tls
