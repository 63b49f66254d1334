// A host as Cloudflare finds it: what its offer (config/cloudflare.hpp) and a policy with the host's
// certificates share, and what it makes of a chain in its mode "Full (strict)".
//
// Pure functions for the command line; results hold what they speak of.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/net/address.hpp"
#include "sallyport/tls/certificate.hpp"
#include "sallyport/tls/policy.hpp"

namespace sallyport::tls {

// By the configuration's names, in our order of preference, which is the one that decides.
struct CloudflareOverlap {
  std::vector<std::string> suites12;   // that one of the certificates can serve
  std::vector<std::string> unkeyed12;  // shared too, but without a certificate of their kind
  std::vector<std::string> suites13;   // empty also where no certificate can sign for it
  std::vector<std::string> groups;
  bool post_quantum = false;  // X25519MLKEM768 is among the groups
  bool no_retry = false;      // the group that a key share always comes for is among them
};
[[nodiscard]] CloudflareOverlap meet_cloudflare(
    const Policy& policy, std::span<const std::shared_ptr<const Certificate>> certificates);

// Which rule of the policy takes its hello for that name, from one of its addresses; empty: none.
[[nodiscard]] std::optional<std::size_t> cloudflare_rule(const Policy& policy, const std::string& sni,
                                                         const net::IpAddress& from);

// Whether it takes what the key signs a handshake with.
[[nodiscard]] bool cloudflare_takes(const Certificate& certificate);

// By the name of its issuer: whoever made it, only Cloudflare takes such a chain.
[[nodiscard]] bool is_from_origin_ca(const Certificate& certificate);

// What is sent of a certificate, judged by roots alone: nothing is added that was not sent.
[[nodiscard]] ChainReport judge_sent(const Certificate& certificate, const CertificateSet* roots,
                                     base::WallTime at);

}  // namespace sallyport::tls
