// What Cloudflare does as the client of an origin, as its documentation had it in 2026: the one
// table for everything that judges by it. Constants; the page that each comes from stands beside it
// (all under developers.cloudflare.com). Its address ranges are net/block_list.hpp's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sallyport/config/model_base.hpp"

namespace sallyport::config::cloudflare {

// /ssl/origin-configuration/cipher-suites/, in its order: with ECDHE, AES128-GCM for ECDSA and RSA and
// AES128-SHA for RSA; AES128-GCM and AES128-SHA with plain RSA; then the same with AES256. No ChaCha20
// before TLS 1.3 and no DHE; DES-CBC3 with TLS 1.0 alone. The origin chooses.
inline constexpr std::array<std::uint16_t, 9> kSuites12{0xc02b, 0xc02f, 0xc013, 0x009c, 0x002f,
                                                        0xc02c, 0xc030, 0xc028, 0x0035};
inline constexpr std::array<std::uint16_t, 3> kSuites13{0x1301, 0x1302, 0x1303};

// /ssl/post-quantum-cryptography/pqc-to-origin/ and BoringSSL's own list: X25519MLKEM768, X25519,
// P-256, P-384. A key share comes for X25519 and, once a scan found that the origin has it
// (/ssl/origin-configuration/automatic-key-exchange/, about once a day), for X25519MLKEM768; for others
// it takes a HelloRetryRequest.
inline constexpr std::array<std::uint16_t, 4> kGroups{0x11ec, 0x001d, 0x0017, 0x0018};
inline constexpr std::uint16_t kPostQuantumGroup = 0x11ec;
inline constexpr std::uint16_t kKeyShareGroup = 0x001d;

// BoringSSL's: ECDSA with P-256 and P-384, RSA-PSS and PKCS#1 with SHA-2. No Ed25519, no P-521.
inline constexpr std::array<std::uint16_t, 8> kSignatures{0x0403, 0x0804, 0x0401, 0x0503,
                                                          0x0805, 0x0501, 0x0806, 0x0601};

// /fundamentals/reference/network-ports/: those that it proxies without Spectrum.
inline constexpr std::array<std::uint16_t, 6> kHttpsPorts{443, 2053, 2083, 2087, 2096, 8443};
inline constexpr std::array<std::uint16_t, 7> kHttpPorts{80, 8080, 8880, 2052, 2082, 2086, 2095};

// /fundamentals/reference/connection-limits/
inline constexpr Milliseconds kIdle = 900s;         // it uses a connection again after up to this: 520
inline constexpr Milliseconds kReadTimeout = 120s;  // no response: 524 …
inline constexpr Milliseconds kReadTimeoutOfOldZones = 100s;  // … in zones that are older
inline constexpr Milliseconds kWriteTimeout = 30s;            // we take nothing of a request's body: 524
inline constexpr std::size_t kHeaderBytes = 128 * kKiB;       // of a request or a response; above: 520
inline constexpr std::size_t kHeaderFieldBytes = 16 * kKiB;   // one field
inline constexpr std::size_t kUrl = 16 * kKiB;

// /speed/optimization/protocol/http2-to-origin/
inline constexpr std::uint32_t kStreams = 200;

// /ssl/origin-configuration/origin-ca/: in the issuer of what it issues for origins, besides its own name.
inline constexpr std::string_view kOriginCaRsa = "CloudFlare Origin SSL Certificate Authority";
inline constexpr std::string_view kOriginCaEcc = "CloudFlare Origin SSL ECC Certificate Authority";
// /ssl/origin-configuration/authenticated-origin-pull/: in the subject of the CA that all zones share.
inline constexpr std::string_view kGlobalOriginPullCa = "origin-pull.cloudflare.net";

}  // namespace sallyport::config::cloudflare
